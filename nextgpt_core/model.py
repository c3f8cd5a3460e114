"""NextGPT: the only place where all the parts meet.

`chat` is one turn, a straight pass from messages to events; what it shares with training is `multimodal`'s. Decoders
are loaded on first use, as encoders are. Nothing about a visitor is kept here but keys and values of recent prompts,
apart by scope; the conversation belongs to the caller.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core import media
from nextgpt_core.config import Config
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
    Sentence,
    Timings,
    TooLongError,
    TurnDone,
)
from nextgpt_core.decoders import Decoder
from nextgpt_core.decoding import Decoding, Key, PrefixCache, SignalRun
from nextgpt_core.language_model import LanguageModel
from nextgpt_core.memory import Plan
from nextgpt_core.multimodal import MultimodalLanguageModel
from nextgpt_core.parts import Parts
from nextgpt_core.prompt import Run, Segment, Upload
from nextgpt_core.signals import ReplyGrammar
from nextgpt_core.tokenizer import TextStream, Tokenizer
from nextgpt_core.turn import Reply, card, steps_as_events

logger = logging.getLogger(__name__)
NAMES = {"image": "pictures", "video": "videos", "audio": "sounds"}


class NextGPT(MultimodalLanguageModel):
    """Built from its config and a language model on its device; `checkpoint.load` adds the trained weights."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        language_model: LanguageModel,
        tokenizer: Tokenizer,
        plan: Plan | None = None,
    ) -> None:
        device = str(language_model.signal_head.device)
        super().__init__(
            config, language_model, tokenizer, Parts(config, folder, device, plan, release=self._forget_prefixes)
        )
        self.folder = folder
        self._prefixes = PrefixCache(plan.cache_bytes if plan else config.language_model.cache_bytes)
        self._lock = threading.Lock()  # pipelines keep state while they run
        stops = config.language_model.template.stop
        self.stop_ids = [tokenizer.special_tokens[stop] for stop in stops if stop in tokenizer.special_tokens]

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

    def chat(self, messages: Sequence[Message], options: ChatOptions | None = None) -> Iterator[Event]:
        """Answers the last message. Closing the iterator stops the turn, between two tokens or denoising steps.

        Raises MediaError for an upload that cannot be read and TooLongError; a medium that cannot be made is a
        MediaFailed event instead, and the rest of the reply arrives.
        """
        options = options or ChatOptions()
        seed = secrets.randbelow(2**31) if options.seed is None else options.seed
        started = time.perf_counter()
        segments = self._fitting(messages)
        keys, rows = self.keys(segments), self.rows(segments)
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
            decoding.goes_on = grammar.may_give(reply.owed())
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

    def keys(self, segments: Sequence[Segment]) -> list[Key]:
        """What each row of `rows` is: a token's id, or where it stands in which upload."""
        keys: list[Key] = []
        for segment in segments:
            if isinstance(segment, Upload):
                content = (segment.media.modality, media.content_hash(segment.media.path))
                keys += [(*content, i) for i in range(self.length(segment))]
            else:
                keys += segment.ids
        return keys

    def _make(self, run: SignalRun, reply: Reply, options: ChatOptions, seed: int) -> Iterator[Event]:
        """One medium, from the run's states to the file; yields a progress event a step."""
        modality, index, caption = run.modality, reply.begin(run.modality), reply.caption()
        if modality not in self.config.decoders:
            reason = Sentence(
                "This model can't make {kind}: {model} has no decoder for them.",
                kind=NAMES[modality],
                model=self.config.name,
            )
            yield MediaFailed(index, modality, reason)
            return
        settings = {**self.config.decoders[modality].settings, **options.decoding.get(modality, {})}
        if unknown := settings.keys() - self.config.decoders[modality].settings.keys():
            known = ", ".join(self.config.decoders[modality].settings)
            reason = Sentence("There is no setting {names}; there are: {known}.", names=", ".join(unknown), known=known)
            yield MediaFailed(index, modality, reason)
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
            reason = Sentence("The {kind} could not be made. The log says why.", kind=modality)
            yield MediaFailed(index, modality, reason)
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
            length = sum(map(self.length, segments))
            if length <= room:
                return segments
        raise TooLongError(
            "The message is {length} tokens long; {room} fit. Shorten it or attach fewer files.",
            length=length,
            room=room,
        )

    def _forget_prefixes(self) -> None:
        self._prefixes = PrefixCache(0)
