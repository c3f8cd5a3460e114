"""A conversation as the page keeps it: turns, and replies that grow from the model's events.

Everything here is a plain value on the server; the browser sees a view of it and is never asked for it back. How it is
shown is `view`'s business, where it is stored is `library`'s.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field, replace

from nextgpt_core.conversation import (
    Event,
    Media,
    MediaFailed,
    MediaProgress,
    MediaReady,
    MediaStarted,
    Message,
    Modality,
    Notice,
    Provenance,
    Text,
    TextDelta,
    Timings,
    TurnDone,
)


@dataclass(frozen=True)
class Medium:
    """One medium of a reply, from its announcement to its file or its failure.

    `left` is the estimate in seconds until the last step, None before the second; `started` is a clock reading.
    """

    index: int
    modality: Modality
    caption: str
    steps: int = 0
    step: int = 0
    started: float = 0.0
    left: float | None = None
    media: Media | None = None
    provenance: Provenance | None = None
    failure: str | None = None

    @property
    def running(self) -> bool:
        return self.media is None and self.failure is None


@dataclass(frozen=True)
class Reply:
    """What the assistant answered, so far or in the end. `ending` is "" while it runs.

    An ending is "done", "stopped", "refused" (the message could not be read; `note` says why) or "failed" (a fault of
    ours; `note` is its reference). With "done", `note` tells people something about how the turn went.
    """

    parts: tuple[Text | Medium, ...] = ()
    ending: str = ""
    note: str = ""
    timings: Timings | None = None

    def after(self, event: Event, now: float) -> Reply:
        """The reply once `event` has happened at clock reading `now`, in seconds."""
        if isinstance(event, TextDelta):
            if self.parts and isinstance(self.parts[-1], Text):
                return replace(self, parts=(*self.parts[:-1], Text(self.parts[-1].text + event.text)))
            return replace(self, parts=(*self.parts, Text(event.text)))
        if isinstance(event, MediaStarted):
            medium = Medium(event.index, event.modality, event.caption, event.steps, started=now)
            return replace(self, parts=(*self.parts, medium))
        if isinstance(event, MediaProgress):
            medium = self.medium(event.index)
            left = (now - medium.started) / event.step * (event.steps - event.step) if event.step > 1 else None
            return self._with(replace(medium, step=event.step, steps=event.steps, left=left))
        if isinstance(event, MediaReady):
            medium = self.medium(event.index)
            return self._with(replace(medium, media=event.media, provenance=event.provenance))
        if isinstance(event, MediaFailed):
            if any(medium.index == event.index for medium in self.media):
                return self._with(replace(self.medium(event.index), failure=event.reason))
            medium = Medium(event.index, event.modality, "", failure=event.reason)
            return replace(self, parts=(*self.parts, medium))
        if isinstance(event, Notice):
            return replace(self, note=event.text)
        assert isinstance(event, TurnDone)
        return replace(self, ending="done", timings=event.timings)

    def ended(self, ending: str, note: str = "") -> Reply:
        """The reply cut short: media that were being made are dropped, what is ready stays."""
        kept = tuple(part for part in self.parts if isinstance(part, Text) or not part.running)
        return replace(self, parts=kept, ending=ending, note=note)

    def medium(self, index: int) -> Medium:
        return next(medium for medium in self.media if medium.index == index)

    def _with(self, medium: Medium) -> Reply:
        parts = tuple(medium if isinstance(p, Medium) and p.index == medium.index else p for p in self.parts)
        return replace(self, parts=parts)

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def media(self) -> tuple[Medium, ...]:
        return tuple(part for part in self.parts if isinstance(part, Medium))

    @property
    def message(self) -> Message | None:
        """What the model is told that it said; None if there is nothing to tell."""
        said = [part if isinstance(part, Text) else part.media for part in self.parts]
        parts = tuple(part for part in said if part is not None)
        return Message("assistant", parts) if parts else None


@dataclass(frozen=True)
class Turn:
    """A question and its answers; `reply` None waits for its first."""

    id: str
    asked: Message
    reply: Reply | None = None


@dataclass(frozen=True)
class Conversation:
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    turns: tuple[Turn, ...] = ()

    def messages(self, before: str | None = None) -> list[Message]:
        """What the model reads: the turns before turn `before` that came to something, and that turn's question."""
        messages: list[Message] = []
        for turn in self.turns:
            if turn.id == before:
                return [*messages, turn.asked]
            if turn.reply and turn.reply.ending in ("done", "stopped") and (said := turn.reply.message):
                messages += [turn.asked, said]
        return messages

    def turn(self, id: str) -> Turn:
        return next(turn for turn in self.turns if turn.id == id)

    def asking(self, message: Message, reply: Reply | None = None) -> Conversation:
        return replace(self, turns=(*self.turns, Turn(secrets.token_urlsafe(6), message, reply)))

    def answered(self, id: str, reply: Reply) -> Conversation:
        turns = tuple(replace(turn, reply=reply) if turn.id == id else turn for turn in self.turns)
        return replace(self, turns=turns)


class Session:
    """One visitor's tab (or one API client): the open conversation, and the turn that is being answered.

    Gradio copies a State's first value for every session and then hands the same object to all of its events.
    """

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.language = "en"
        self.waiting: str | None = None  # the turn that nobody has begun to answer
        self.answering: str | None = None  # the turn under way, from its question until its answer has ended
        self.stop = threading.Event()  # of that turn; each has its own, so that an old one can't be woken again

    def __deepcopy__(self, memo: dict[int, object]) -> Session:
        return Session()
