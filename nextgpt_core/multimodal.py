"""The multimodal language model: media and text in, hidden states out, and from a signal run's states a condition.

What chat and training have in common: a segment becomes rows here, whoever asks. `forward` is the whole pass over
finished conversations, for training. How a reply is decoded, and what is made of a condition, is `model`'s business.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core import media
from nextgpt_core.config import Config, InputProjectorConfig
from nextgpt_core.conversation import Media, Message, Modality
from nextgpt_core.encoders import Encoder
from nextgpt_core.language_model import LanguageModel
from nextgpt_core.parts import Parts
from nextgpt_core.projectors import InputProjector, OutputProjector
from nextgpt_core.prompt import PromptRenderer, Segment, Targets, Upload, supervise
from nextgpt_core.signals import SignalTokens
from nextgpt_core.tokenizer import Tokenizer

_KEPT_FEATURES = 1024  # items, of up to 43 kilobytes each


@dataclass(frozen=True)
class Losses:
    """What `forward` found. text: () mean cross-entropy; projected: by modality, (runs, length, width) and captions.

    `labels` says over how many tokens `text` is the mean. Runs stand in the order of the conversations' media.
    """

    text: Tensor
    projected: Mapping[Modality, tuple[Tensor, list[str]]]
    labels: int


class MultimodalLanguageModel(nn.Module):
    """A language model on its device, between fresh projectors; encoders are among the `parts`."""

    def __init__(self, config: Config, language_model: LanguageModel, tokenizer: Tokenizer, parts: Parts) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.language_model = language_model
        self.signals = SignalTokens(config.signals, language_model.vocabulary)
        self.renderer = PromptRenderer(config.language_model.template, tokenizer, self.signals)
        self._parts = parts
        self._features: OrderedDict[str, Tensor] = OrderedDict()
        self.input_projectors = nn.ModuleDict(
            {
                name: InputProjector(
                    parts.built_encoder(projector.encoder).dim,
                    language_model.width,
                    projector.tokens,
                    projector.recalls,
                    language_model.embed,
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
        """Loaded on first use."""
        return self._parts.encoder(name)

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

    def received(self, item: Media) -> tuple[np.ndarray, int]:
        """What the encoder gets of an upload, to be looked at or heard, and its rate; see `Encoder`."""
        return self.encoder(self._input(item.modality).encoder).received(item)

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

    def length(self, segment: Segment) -> int:
        """How many of `rows` are a segment's, known before anything is encoded."""
        if not isinstance(segment, Upload):
            return len(segment.ids)
        projector = self._input(segment.media.modality)
        return self._parts.built_encoder(projector.encoder).rows[segment.media.modality] * projector.tokens

    def project(self, modality: Modality, states: Tensor) -> Tensor:
        """states: (b, run length, width), hidden plus embedding → the decoder's condition (b, length, width)."""
        return self.output_projectors[self.config.writes[modality]](states.float()).float()

    def forward(self, conversations: Sequence[Sequence[Message]]) -> Losses:
        """Teacher-forced: the same prompt, encoders, projectors and language model as in a chat, all of it at once."""
        hidden, rows, targets = self._read(conversations)
        logits = self.language_model.logits(hidden[targets.samples, targets.positions])
        text = F.cross_entropy(logits.float(), torch.tensor(targets.labels, device=logits.device))
        projected = {
            modality: (self.project(modality, states), captions)
            for modality, (states, captions) in self._runs(hidden, rows, targets).items()
        }
        return Losses(text, projected, len(targets.labels))

    def signal_states(self, conversations: Sequence[Sequence[Message]]) -> dict[Modality, tuple[Tensor, list[str]]]:
        """What `forward` gives to `project`: by modality, the runs' states (runs, run length, width) and captions."""
        return self._runs(*self._read(conversations))

    def _read(self, conversations: Sequence[Sequence[Message]]) -> tuple[Tensor, Tensor, Targets]:
        """Hidden states and rows (b, n, width), and where they bear loss."""
        rendered = [self.renderer.render(messages, reply=False) for messages in conversations]
        rows = nn.utils.rnn.pad_sequence([self.rows(segments) for segments in rendered], batch_first=True)
        hidden = self.language_model(rows)  # no mask: padding stands behind, where causal attention never looks
        return hidden, rows, supervise(rendered, self.length)

    def _runs(self, hidden: Tensor, rows: Tensor, targets: Targets) -> dict[Modality, tuple[Tensor, list[str]]]:
        found = {}
        for modality, places in targets.runs.items():
            if modality in self.config.writes:
                length = len(self.signals.runs[modality])
                states = [hidden[i, at : at + length] + rows[i, at : at + length] for i, at, _ in places]
                found[modality] = torch.stack(states), [caption for _, _, caption in places]
        return found

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
