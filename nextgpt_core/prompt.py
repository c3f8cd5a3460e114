"""Messages become segments: token ids, media to encode, runs of signal tokens; and which of them bear loss.

One walk serves chat and training. The template's own strings may spell special tokens; what people wrote is encoded
as plain text and can spell neither a marker, nor a signal token, nor a path. Media the assistant made come back as
what it was trained on: the words and the signal run, not the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nextgpt_core.config import TemplateConfig
from nextgpt_core.conversation import Media, Message, Modality, Text
from nextgpt_core.signals import SignalTokens


class PlainTokenizer(Protocol):
    """Encodes text without special tokens, whatever the text spells; special tokens are looked up by name."""

    special_tokens: dict[str, int]

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class Tokens:
    ids: tuple[int, ...]
    loss: bool = False


@dataclass(frozen=True)
class Run:
    """A signal run. `caption` is what its medium shows, the target of the alignment loss."""

    modality: Modality
    ids: tuple[int, ...]
    caption: str | None
    loss: bool = False


@dataclass(frozen=True)
class Upload:
    """A medium whose encoded and projected rows stand here."""

    media: Media


Segment = Tokens | Run | Upload


@dataclass
class Targets:
    """Where a batch bears loss: `labels[i]` is to follow row `positions[i]` of sample `samples[i]`.

    `runs` holds, by modality, each signal run's sample, its first row and its caption.
    """

    samples: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    runs: dict[Modality, list[tuple[int, int, str]]] = field(default_factory=dict)


def supervise(batch: Sequence[Sequence[Segment]], length: Callable[[Segment], int]) -> Targets:
    """The assistant's words, its stops, and of a signal run the first token, which alone is ever sampled.

    `length` says how many rows a segment has.
    """
    targets = Targets()
    for sample, segments in enumerate(batch):
        at = 0
        for segment in segments:
            if isinstance(segment, Run):
                targets.runs.setdefault(segment.modality, []).append((sample, at, segment.caption or ""))
            if not isinstance(segment, Upload) and segment.loss:
                bearing = segment.ids[:1] if isinstance(segment, Run) else segment.ids
                targets.samples += [sample] * len(bearing)
                targets.positions += range(at - 1, at - 1 + len(bearing))
                targets.labels += bearing
            at += length(segment)
    return targets


class PromptRenderer:
    def __init__(self, template: TemplateConfig, tokenizer: PlainTokenizer, signals: SignalTokens) -> None:
        self._template = template
        self._tokenizer = tokenizer
        self._signals = signals
        specials = sorted(tokenizer.special_tokens, key=len, reverse=True)
        self._special = re.compile("(" + "|".join(map(re.escape, specials)) + ")") if specials else None

    def render(self, messages: Sequence[Message], reply: bool = True) -> list[Segment]:
        """The conversation from its first message on; with `reply` it ends where the assistant is to speak.

        Loss stands on the assistant's words, its signal runs and the stop that ends its message.
        """
        walk = _Walk(self, self._template.as_released)
        walk.template(self._template.system)
        if self._template.as_released and messages and isinstance(next(iter(messages[0].parts), None), Text):
            walk.end_piece()
        for message in messages:
            before, after = getattr(self._template, message.role)
            walk.template(before)
            if message.role == "user":
                self._user(walk, message)
                walk.template(after)
            else:
                self._assistant(walk, message)
                stop = self._template.stop[0]
                walk.template(stop, loss=True)
                walk.template(after.removeprefix(stop))
        if reply:
            walk.template(self._template.assistant[0])
        return walk.segments()

    def _user(self, walk: _Walk, message: Message) -> None:
        for part in message.parts:
            if isinstance(part, Text):
                walk.text(part.text)
            else:
                before, after = self._template.media[part.modality]
                walk.template(before)
                walk.add(Upload(part))
                walk.template(after)

    def _assistant(self, walk: _Walk, message: Message) -> None:
        for part in message.parts:
            if isinstance(part, Text):
                walk.text(part.text, loss=True)
            else:
                walk.add(Run(part.modality, self._signals.runs[part.modality], part.caption, loss=True))

    def split_template(self, text: str) -> list[str]:
        return [piece for piece in self._special.split(text) if piece] if self._special else [text]

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def special(self, piece: str) -> int | None:
        return self._tokenizer.special_tokens.get(piece)


class _Walk:
    """Gathers atoms; neighbouring text of equal loss is encoded in one piece, so that merges fall as in plain text."""

    def __init__(self, renderer: PromptRenderer, as_released: bool) -> None:
        self._renderer = renderer
        self._as_released = as_released
        self._segments: list[Segment] = []
        self._text, self._loss = "", False
        self._after_token = False  # whether what came last is one token of its own, or a run

    def template(self, text: str, loss: bool = False) -> None:
        for piece in self._renderer.split_template(text):
            special = self._renderer.special(piece)
            if special is None:
                self.text(piece, loss)
            else:
                self.add(Tokens((special,), loss))

    def text(self, text: str, loss: bool = False) -> None:
        if loss != self._loss:
            self.end_piece()
        self._text, self._loss = self._text + text, loss

    def add(self, segment: Segment) -> None:
        is_token = not isinstance(segment, Upload)
        if self._as_released and is_token:
            self._text = self._text.rstrip()
        self.end_piece()
        self._segments.append(segment)
        self._after_token = is_token

    def segments(self) -> list[Segment]:
        self.end_piece()
        return self._segments

    def end_piece(self) -> None:
        text = self._text.lstrip() if self._as_released and self._after_token else self._text
        if text:
            self._segments.append(Tokens(tuple(self._renderer.encode(text)), self._loss))
            self._after_token = False
        self._text = ""
