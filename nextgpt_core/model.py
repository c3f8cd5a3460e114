"""NextGPT: the only place where the parts meet.

`chat` is one turn, a straight pass from messages to events; `forward` is the same pass over finished conversations,
for training. Parts that a turn may not need (encoders, decoders) are loaded on first use. Nothing about a visitor is
kept here but keys and values of recent prompts, apart by scope; the conversation belongs to the caller.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core import media
from nextgpt_core.config import Config, InputProjectorConfig
from nextgpt_core.conversation import (
    ChatOptions,
    Event,
    Media,
    MediaFailed,
    MediaReady,
    MediaStarted,
    Message,
    Modality,
    Notice,
    Provenance,
    Timings,
    TooLongError,
    TurnDone,
)
from nextgpt_core.decoders import Decoder
from nextgpt_core.decoding import Decoding, Key, PrefixCache, SignalRun
from nextgpt_core.encoders import Encoder
from nextgpt_core.language_model import LanguageModel
from nextgpt_core.memory import Plan
from nextgpt_core.parts import Parts
from nextgpt_core.projectors import InputProjector, OutputProjector
from nextgpt_core.prompt import PromptRenderer, Run, Segment, Upload, supervise
from nextgpt_core.signals import ReplyGrammar, SignalTokens
from nextgpt_core.tokenizer import TextStream, Tokenizer
from nextgpt_core.turn import Reply, card, steps_as_events

logger = logging.getLogger(__name__)
_KEPT_FEATURES = 4096  # items; a feature row is a few kilobytes
_NAMES = {"image": "pictures", "video": "videos", "audio": "sounds"}


@dataclass(frozen=True)
class Losses:
    """What `forward` found. text: () mean cross-entropy; projected: by modality, (runs, length, width) and captions.

    `labels` says over how many tokens `text` is the mean. Runs stand in the order of the conversations' media.
    """

    text: Tensor
    projected: Mapping[Modality, tuple[Tensor, list[str]]]
    labels: int


class NextGPT(nn.Module):
    """Built from its config and a language model on its device; `checkpoint.load` adds the trained weights."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        language_model: LanguageModel,
        tokenizer: Tokenizer,
        plan: Plan | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.folder = folder
        self.tokenizer = tokenizer
        self.language_model = language_model
        self.signals = SignalTokens(config.signals, language_model.vocabulary)
        self.renderer = PromptRenderer(config.language_model.template, tokenizer, self.signals)
        self._features: OrderedDict[str, Tensor] = OrderedDict()
        self._prefixes = PrefixCache(plan.cache_bytes if plan else config.language_model.cache_bytes)
        self._parts = Parts(config, folder, str(self.device), plan, release=self._forget_prefixes)
        self._lock = threading.Lock()  # pipelines keep state while they run
        stops = config.language_model.template.stop
        self.stop_ids = [tokenizer.special_tokens[stop] for stop in stops if stop in tokenizer.special_tokens]
        self.input_projectors = nn.ModuleDict(
            {
                name: InputProjector(
                    self._parts.built_encoder(projector.encoder).dim, language_model.width, projector.tokens
                )
                for name, projector in config.input_projectors.items()
            }
        )
        self.output_projectors = nn.ModuleDict(
            {
                name: OutputProjector(language_model.width, self._run_length(name), projector)
                for name, projector in config.output_projectors.items()
            }
        )

    @property
    def device(self) -> torch.device:
        return self.language_model.signal_head.device

    def encoder(self, name: str) -> Encoder:
        return self._parts.encoder(name)

    def decoder(self, modality: Modality) -> Decoder:
        """Loaded on first use. Raises KeyError where the config names none."""
        return self._parts.decoder(modality)

    def prepare(self) -> None:
        """Loads now what a turn would load at its first use, so that nobody waits for it then."""
        for modality in self.config.decoders:
            with self._lock:
                self.decoder(modality)
        for name in self.config.encoders:
            self.encoder(name)

    def features(self, item: Media) -> Tensor:
        """The encoder's answer to a file, (rows, dim) on the CPU; each content is encoded once. Raises MediaError."""
        key = f"{item.modality}:{media.content_hash(item.path)}"
        if key not in self._features:
            encoder = self.encoder(self._input(item.modality).encoder)
            inputs = encoder.load(item)
            features = self._parts.with_room(encoder, lambda: encoder.encode([inputs]))
            self._features[key] = features[0].float().cpu().clone()  # clone: trainable on
        self._features.move_to_end(key)
        while len(self._features) > _KEPT_FEATURES:
            self._features.popitem(last=False)
        return self._features[key]

    def chat(self, messages: Sequence[Message], options: ChatOptions | None = None) -> Iterator[Event]:
        """Answers the last message. Closing the iterator stops the turn, between two tokens or denoising steps.

        Raises MediaError for an upload that cannot be read and TooLongError; a medium that cannot be made is a
        MediaFailed event instead, and the rest of the reply arrives.
        """
        options = options or ChatOptions()
        seed = secrets.randbelow(2**31) if options.seed is None else options.seed
        started = time.perf_counter()
        segments = self._fitting(messages)
        keys, rows = self._keys(segments), self.rows(segments)
        decoding = Decoding(self.language_model, self.signals, self._prefixes, options.scope)
        stream = TextStream(self.tokenizer, self.config.language_model.template.stop)
        reply = Reply()
        first_token, new_tokens, media_seconds = 0.0, 0, []
        grammar = ReplyGrammar(self.signals, options.wanted)
        sampling = options.sampling or self.config.language_model.sampling
        for item in decoding.run(keys, rows.detach(), grammar, sampling, self.stop_ids, seed):
            first_token = first_token or time.perf_counter() - started
            if isinstance(item, SignalRun):
                for text in stream.flush():
                    yield reply.say(text)
                began = time.perf_counter()
                yield from self._make(item, reply, options, seed)
                media_seconds.append(time.perf_counter() - began)
            else:
                new_tokens += 1
                for text in stream.push(item.id):
                    yield reply.say(text)
                decoding.ended = stream.stopped
        for text in stream.flush():
            yield reply.say(text)
        speaking = time.perf_counter() - started - first_token - sum(media_seconds)
        rate = (new_tokens - 1) / speaking if new_tokens > 1 and speaking > 0 else 0.0
        timings = Timings(first_token, len(keys), decoding.fed, new_tokens, rate, tuple(media_seconds))
        while self._parts.notices:
            yield Notice(self._parts.notices.pop())
        yield TurnDone(reply.message(), timings)

    def remake(self, messages: Sequence[Message], index: int, options: ChatOptions | None = None) -> Iterator[Event]:
        """Makes medium `index` of the last message, the assistant's, once more; yields that medium's events.

        The condition is read from the words as they stand there, so with the first making's seed the same comes out.
        Raises what `chat` raises.
        """
        options = options or ChatOptions()
        seed = secrets.randbelow(2**31) if options.seed is None else options.seed
        at = [i for i, part in enumerate(messages[-1].parts) if isinstance(part, Media)][index]
        said = Message("assistant", messages[-1].parts[: at + 1])
        segments = self._fitting([*messages[:-1], said], reply=False)
        run = max(i for i, segment in enumerate(segments) if isinstance(segment, Run))
        rows = self.rows(segments[: run + 1])
        with torch.inference_mode():
            hidden = self.language_model(rows[None])[0]  # (n, width)
        states = (hidden + rows)[-len(segments[run].ids) :]
        reply = Reply(said.parts[:-1], index)
        yield from self._make(SignalRun(said.parts[-1].modality, states), reply, options, seed)

    def received(self, item: Media) -> tuple[np.ndarray, int]:
        """What the encoder gets of an upload, to be looked at or heard, and its rate; see `Encoder`."""
        return self.encoder(self._input(item.modality).encoder).received(item)

    def forward(self, conversations: Sequence[Sequence[Message]]) -> Losses:
        """Teacher-forced: the same prompt, encoders, projectors and language model as `chat`, whole conversations."""
        rendered = [self.renderer.render(messages, reply=False) for messages in conversations]
        rows = [self.rows(segments) for segments in rendered]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        hidden = self.language_model(padded)  # no mask: padding stands behind, where causal attention never looks
        targets = supervise(rendered, self._length)
        logits = self.language_model.logits(hidden[targets.samples, targets.positions])
        text = F.cross_entropy(logits.float(), torch.tensor(targets.labels, device=logits.device))
        projected = {
            modality: (self._project_runs(modality, hidden, padded, places), [caption for _, _, caption in places])
            for modality, places in targets.runs.items()
            if modality in self.config.writes
        }
        return Losses(text, projected, len(targets.labels))

    def rows(self, segments: Sequence[Segment]) -> Tensor:
        """(n, width): what the language model reads, token rows and projected media rows in order."""
        pieces = []
        for segment in segments:
            if isinstance(segment, Upload):
                projector = self.input_projectors[self.config.reads[segment.media.modality]]
                features = self.features(segment.media).to(self.device)
                pieces.append(projector(features[None])[0].to(self.language_model.base.dtype))
            else:
                pieces.append(self.language_model.embed(torch.tensor(segment.ids, device=self.device)))
        return torch.cat(pieces)

    def project(self, modality: Modality, states: Tensor) -> Tensor:
        """states: (b, run length, width), hidden plus embedding → the decoder's condition (b, length, width)."""
        return self.output_projectors[self.config.writes[modality]](states.float()).float()

    def _project_runs(
        self, modality: Modality, hidden: Tensor, rows: Tensor, places: Sequence[tuple[int, int, str]]
    ) -> Tensor:
        length = len(self.signals.runs[modality])
        states = [hidden[i, at : at + length] + rows[i, at : at + length] for i, at, _ in places]
        return self.project(modality, torch.stack(states))

    def _make(self, run: SignalRun, reply: Reply, options: ChatOptions, seed: int) -> Iterator[Event]:
        """One medium, from the run's states to the file; yields a progress event a step."""
        modality, index, caption = run.modality, reply.media_count, reply.caption()
        reply.media_count += 1
        if modality not in self.config.decoders:
            reason = f"This model can't make {_NAMES[modality]}: {self.config.name} has no decoder for them."
            yield MediaFailed(index, modality, reason)
            return
        settings = {**self.config.decoders[modality].settings, **options.decoding.get(modality, {})}
        if unknown := settings.keys() - self.config.decoders[modality].settings.keys():
            known = ", ".join(self.config.decoders[modality].settings)
            yield MediaFailed(index, modality, f"There is no setting {', '.join(unknown)}; there are: {known}.")
            return
        yield MediaStarted(index, modality, caption, int(settings["steps"]))
        began = time.perf_counter()
        try:
            with torch.inference_mode():
                condition = self.project(modality, run.states[None])
            sample = yield from steps_as_events(
                index, lambda on_step: self._generate(modality, condition, settings, seed + index, on_step)
            )
            provenance = Provenance(
                self.config.name, modality, caption, seed + index, settings, time.perf_counter() - began
            )
            options.out_dir.mkdir(parents=True, exist_ok=True)
            path = options.out_dir / f"{modality}-{uuid.uuid4().hex}"
            made = self.decoder(modality).save(sample, path, card(provenance))
        except Exception:  # any fault of one decoder costs one medium, never the reply
            logger.exception("Making the %s failed.", modality)
            yield MediaFailed(index, modality, f"The {modality} could not be made. The log says why.")
            return
        made = Media(modality, made.path, caption)
        reply.parts.append(made)
        yield MediaReady(index, made, provenance)

    def _generate(
        self,
        modality: Modality,
        condition: Tensor,
        settings: Mapping[str, float],
        seed: int,
        on_step: Callable[[int, int], None],
    ) -> object:
        with self._lock:
            decoder = self.decoder(modality)
            return self._parts.with_room(decoder, lambda: decoder.generate(condition, settings, seed, on_step))

    def _fitting(self, messages: Sequence[Message], reply: bool = True) -> list[Segment]:
        """The newest messages that fit the context beside the longest reply; whole turns leave from the front."""
        config = self.config.language_model
        room = config.context - config.sampling.max_tokens
        users = [i for i, message in enumerate(messages) if message.role == "user"]
        for first in users:
            segments = self.renderer.render(messages[first:], reply)
            length = sum(map(self._length, segments))
            if length <= room:
                return segments
        raise TooLongError(f"The message is {length} tokens long; {room} fit. Shorten it or attach fewer files.")

    def _length(self, segment: Segment) -> int:
        if not isinstance(segment, Upload):
            return len(segment.ids)
        projector = self._input(segment.media.modality)
        return self._parts.built_encoder(projector.encoder).rows[segment.media.modality] * projector.tokens

    def _keys(self, segments: Sequence[Segment]) -> list[Key]:
        keys: list[Key] = []
        for segment in segments:
            if isinstance(segment, Upload):
                content = (segment.media.modality, media.content_hash(segment.media.path))
                keys += [(*content, i) for i in range(self._length(segment))]
            else:
                keys += segment.ids
        return keys

    def _forget_prefixes(self) -> None:
        self._prefixes = PrefixCache(0)

    def _input(self, modality: Modality) -> InputProjectorConfig:
        return self.config.input_projectors[self.config.reads[modality]]

    def _run_length(self, output_projector: str) -> int:
        lengths = {
            self.config.signals[modality].count
            for modality, name in self.config.writes.items()
            if name == output_projector
        }
        if len(lengths) != 1:
            raise ValueError(f"Modalities that share the projector {output_projector!r} need runs of one length.")
        return lengths.pop()
