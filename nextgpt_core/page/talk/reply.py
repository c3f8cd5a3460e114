"""A reply of the assistant as the page keeps it: it grows from the model's events, and its media have versions.

Plain values, on the server; how they are shown is `view`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
class Version:
    """One making of a medium; `provenance` is None only where an older file says nothing of it."""

    media: Media
    provenance: Provenance | None = None


@dataclass(frozen=True)
class Medium:
    """One medium of a reply: what was made of it so far, and which of that is shown.

    `failure` is why the last attempt came to nothing. `left` is the estimate in seconds until the last step: before
    the second step by what such media took lately, None where none was made; `started` is a clock reading.
    """

    index: int
    modality: Modality
    caption: str
    running: bool = False
    steps: int = 0
    step: int = 0
    started: float = 0.0
    left: float | None = None
    versions: tuple[Version, ...] = ()
    chosen: int = 0
    failure: str | None = None

    @property
    def media(self) -> Media | None:
        return self.versions[self.chosen].media if self.versions else None

    @property
    def provenance(self) -> Provenance | None:
        return self.versions[self.chosen].provenance if self.versions else None


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

    def after(self, event: Event, now: float, expected: Mapping[Modality, float] | None = None) -> Reply:
        """The reply once `event` has happened at clock reading `now`, in seconds.

        `expected` is how many seconds a medium will take, where that is known.
        """
        if isinstance(event, TextDelta):
            if self.parts and isinstance(self.parts[-1], Text):
                return replace(self, parts=(*self.parts[:-1], Text(self.parts[-1].text + event.text)))
            return replace(self, parts=(*self.parts, Text(event.text)))
        if isinstance(event, MediaStarted):
            return self._started(event, now, (expected or {}).get(event.modality))
        if isinstance(event, MediaProgress):
            medium = self.medium(event.index)
            took = now - medium.started
            left = took / event.step * (event.steps - event.step) if event.step > 1 else medium.left
            return self.having(replace(medium, step=event.step, steps=event.steps, left=left))
        if isinstance(event, MediaReady):
            medium = self.medium(event.index)
            versions = (*medium.versions, Version(event.media, event.provenance))
            return self.having(replace(_at_rest(medium), versions=versions, chosen=len(versions) - 1))
        if isinstance(event, MediaFailed):
            known = [medium for medium in self.media if medium.index == event.index]
            medium = known[0] if known else Medium(event.index, event.modality, "")
            return self.having(replace(_at_rest(medium), failure=event.reason))
        if isinstance(event, Notice):
            return replace(self, note=event.text)
        assert isinstance(event, TurnDone)
        return replace(self, ending="done", timings=event.timings)

    def _started(self, event: MediaStarted, now: float, expected: float | None) -> Reply:
        """A medium is begun, or begun again: then its versions stay."""
        known = [medium for medium in self.media if medium.index == event.index]
        medium = known[0] if known else Medium(event.index, event.modality, event.caption)
        begun = replace(medium, running=True, steps=event.steps, step=0, started=now, left=expected, failure=None)
        return self.having(begun)

    def settled(self) -> Reply:
        """Nothing runs any more: media that were being made go, or show what they had before."""
        parts = [p if isinstance(p, Text) else _at_rest(p) for p in self.parts]
        return replace(self, parts=tuple(p for p in parts if isinstance(p, Text) or p.versions or p.failure))

    def ended(self, ending: str, note: str = "") -> Reply:
        """The reply cut short: what is ready stays."""
        return replace(self.settled(), ending=ending, note=note)

    def medium(self, index: int) -> Medium:
        """Raises StopIteration where there is none."""
        return next(medium for medium in self.media if medium.index == index)

    def having(self, medium: Medium) -> Reply:
        """With `medium` in the place of the one that has its index, or at the end."""
        if all(known.index != medium.index for known in self.media):
            return replace(self, parts=(*self.parts, medium))
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


def _at_rest(medium: Medium) -> Medium:
    return replace(medium, running=False, steps=0, step=0, started=0.0, left=None)
