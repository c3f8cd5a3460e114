"""What people and the model say to each other: messages, and the events of one turn.

Pure values, without torch and without Gradio. The page, the command line, the API and the evaluation all speak in
these; how a message becomes tokens is `prompt`'s business, how a file is read is `media`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Modality = Literal["image", "video", "audio"]
MODALITIES: tuple[Modality, ...] = ("image", "video", "audio")
Role = Literal["user", "assistant"]
Wanted = Literal["auto", "always", "never"]


class Sentence(str):
    """Words for people in English which other languages can say as well: `pattern`, filled with `values`.

    The pattern is the key to another language's own pattern, as in gettext. The value `kind` is a word of ours, which
    that language says in its own way too; other values, such as a file's name, stay as they are.
    """

    pattern: str
    values: Mapping[str, str]

    def __new__(cls, pattern: str, /, **values: object) -> Sentence:
        return cls.rebuilt(pattern.format(**values), pattern, values)

    @classmethod
    def rebuilt(cls, text: str, pattern: str, values: Mapping[str, object]) -> Sentence:
        """One that was sent or stored. Anybody may have written its pattern, so that is never filled in here."""
        sentence = super().__new__(cls, text)
        sentence.pattern, sentence.values = str(pattern), {str(name): str(value) for name, value in values.items()}
        return sentence

    def __reduce__(self) -> tuple[object, ...]:
        return Sentence.rebuilt, (str(self), self.pattern, self.values)


class RefusedError(ValueError):
    """What somebody sent cannot be used; `sentence` tells them what was found and what is expected."""

    def __init__(self, pattern: str, /, **values: object) -> None:
        self.sentence = pattern if isinstance(pattern, Sentence) else Sentence(pattern, **values)
        super().__init__(self.sentence)


class TooLongError(RefusedError):
    """The last message alone does not fit the context; the sentence says by how much."""


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Media:
    """A file on disk. `caption` is what the assistant said about a medium that it made; uploads have none."""

    modality: Modality
    path: Path
    caption: str | None = None


@dataclass(frozen=True)
class Message:
    role: Role
    parts: tuple[Text | Media, ...]

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def media(self) -> tuple[Media, ...]:
        return tuple(part for part in self.parts if isinstance(part, Media))


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 is greedy: `top_p` has no effect then, `repetition_penalty` has."""

    temperature: float = 0.0
    top_p: float = 0.95
    repetition_penalty: float = 1.0
    max_tokens: int = 256


@dataclass(frozen=True)
class ChatOptions:
    """One turn's wishes. What is None is taken from the checkpoint's config.

    `decoding` overrides a decoder's own settings for the modality, by name (`steps`, `guidance_scale`, …).
    `scope` keeps cached prefixes apart: only turns of one scope share them, so give each conversation its own.
    """

    sampling: Sampling | None = None
    seed: int | None = None
    wanted: Mapping[Modality, Wanted] = field(default_factory=dict)
    decoding: Mapping[Modality, Mapping[str, float]] = field(default_factory=dict)
    out_dir: Path = Path("outputs")
    scope: str = ""


@dataclass(frozen=True)
class Provenance:
    """How a medium came to be: enough to make it again."""

    model: str
    modality: Modality
    caption: str
    seed: int
    settings: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class TextDelta:
    text: str


@dataclass(frozen=True)
class MediaStarted:
    """`index` counts the reply's media from 0; the other media events of the same medium carry it too."""

    index: int
    modality: Modality
    caption: str
    steps: int


@dataclass(frozen=True)
class MediaProgress:
    index: int
    step: int
    steps: int


@dataclass(frozen=True)
class MediaReady:
    index: int
    media: Media
    provenance: Provenance


@dataclass(frozen=True)
class MediaFailed:
    """One medium could not be made; the rest of the reply goes on. `reason` is for people, mostly a Sentence."""

    index: int
    modality: Modality
    reason: str


@dataclass(frozen=True)
class Notice:
    """A Sentence about how the turn goes, not part of the reply: that memory ran short, for instance."""

    text: str


@dataclass(frozen=True)
class Timings:
    """Seconds, but for the token counts. `fed_tokens` counts prompt rows that no cached prefix held."""

    first_token: float
    prompt_tokens: int
    fed_tokens: int
    new_tokens: int
    tokens_per_second: float
    media: tuple[float, ...] = ()


@dataclass(frozen=True)
class TurnDone:
    """The end of a turn. `message` is what the caller appends to the conversation."""

    message: Message
    timings: Timings


Event = TextDelta | MediaStarted | MediaProgress | MediaReady | MediaFailed | Notice | TurnDone
