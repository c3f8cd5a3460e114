"""What a turn gathers on its way: the reply so far, a medium's card, and steps that become events.

`model` walks the turn; this holds what it carries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from nextgpt_core.conversation import Media, MediaProgress, Message, Modality, Provenance, Text, TextDelta
from nextgpt_core.outline import Outline, sentences

Result = TypeVar("Result")


class Reply:
    """What the assistant has said so far in this turn."""

    def __init__(self, parts: Sequence[Text | Media] = (), media_count: int = 0) -> None:
        self.parts: list[Text | Media] = list(parts)
        self.media_count = media_count
        self._begun: set[Modality] = set()

    def begin(self, modality: Modality) -> int:
        """The number of the medium that is made next, whether or not that succeeds."""
        self._begun.add(modality)
        self.media_count += 1
        return self.media_count - 1

    def say(self, text: str) -> TextDelta:
        if self.parts and isinstance(self.parts[-1], Text):
            text_so_far = self.parts.pop().text
            self.parts.append(Text(text_so_far + text))
        else:
            self.parts.append(Text(text))
        return TextDelta(text)

    def caption(self) -> str:
        """The last sentence said: what the medium that follows it shows."""
        return sentences(self.message().text)[-1]

    def owed(self) -> frozenset[str]:
        """What it began by listing and has neither given nor tried to make."""
        parts = (part.text if isinstance(part, Text) else part.modality for part in self.parts)
        return Outline(tuple(parts)).owed - self._begun

    def message(self) -> Message:
        return Message("assistant", tuple(self.parts))


def card(provenance: Provenance) -> dict[str, str]:
    """What is written into the file."""
    settings = " ".join(f"{name}={value:g}" for name, value in provenance.settings.items())
    return {
        "Software": f"NExT-GPT {provenance.model}",
        "Description": provenance.caption,
        "Seed": str(provenance.seed),
        "Settings": settings,
    }


def steps_as_events(
    index: int, generate: Callable[[Callable[[int, int], None]], Result]
) -> Generator[MediaProgress, None, Result]:
    """Runs `generate` in a thread and turns its step calls into events; returns what it returned.

    A generator cannot yield from inside a callback. Closing the iterator makes the next step call raise, so the
    denoising ends there and the thread with it.
    """
    condition = threading.Condition()
    reports: list[tuple[int, int]] = []
    outcome: list[Result | BaseException] = []
    closed = False

    def on_step(step: int, steps: int) -> None:
        with condition:
            if closed:
                raise InterruptedError("The turn was stopped.")
            reports.append((step, steps))
            condition.notify()

    def work() -> None:
        try:
            result: Result | BaseException = generate(on_step)
        except BaseException as error:  # handed to the waiting side, which raises it
            result = error
        with condition:
            outcome.append(result)
            condition.notify()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            with condition:
                condition.wait_for(lambda: reports or outcome)
                ready, reports[:] = list(reports), []
                done = bool(outcome)
            for step, steps in ready:
                yield MediaProgress(index, step, steps)
            if done:
                break
    finally:
        with condition:
            closed = True
        thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
