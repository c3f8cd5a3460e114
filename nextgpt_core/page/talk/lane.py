"""The lane to the model: it loads in the background, and answers one turn at a time, in the order of asking.

A turn is read in batches of events, at least every `POLL` seconds, so that whoever reads can always stop at once. The
thread ends at the model's next event then; the turn after it waits for that, never beside it.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from nextgpt_core.config import Config
from nextgpt_core.conversation import ChatOptions, Event, Media, MediaReady, Message
from nextgpt_core.page.talk.costs import Costs

logger = logging.getLogger(__name__)
POLL = 0.1  # seconds between two looks at the stop sign
MAX_WAITING = 16  # turns that wait behind the one that runs; the page refuses further ones
_PACE = 0.05  # seconds between two batches: more often than a screen can be read costs only traffic
_REMEMBERED = 8  # turns whose seconds make the estimate


class Model(Protocol):
    """The model's public face: see `nextgpt_core.model.NextGPT`."""

    config: Config

    def chat(self, messages: Sequence[Message], options: ChatOptions) -> Iterator[Event]: ...
    def remake(self, messages: Sequence[Message], index: int, options: ChatOptions) -> Iterator[Event]: ...
    def received(self, item: Media) -> tuple[np.ndarray, int]: ...


@dataclass(frozen=True)
class Waiting:
    """What a turn waits for: the model, or `before` others, which take about `seconds` (None: nobody knows yet)."""

    what: Literal["loading", "line"]
    before: int = 0
    seconds: float | None = None


class Lane:
    """`load` gives the model; it runs in the background from `open` on, and once more for a turn after it failed.

    `costs` is what the media took that were made here, whoever asked for them.
    """

    def __init__(self, load: Callable[[], Model]) -> None:
        self.costs = Costs()
        self._load = load
        self._model: Future[Model] = Future()
        self._line: deque[object] = deque()  # a place for each turn; the first one runs
        self._moved = threading.Condition()
        self._took: deque[float] = deque(maxlen=_REMEMBERED)

    def open(self) -> None:
        threading.Thread(target=self._open, args=[self._model], name="model-load", daemon=True).start()

    def _open(self, loaded: Future[Model]) -> None:
        try:
            loaded.set_result(self._load())
        except BaseException as error:  # whoever asks the model hears of it
            logger.error("The model could not be loaded: %s", error)
            loaded.set_exception(error)

    @property
    def model(self) -> Model | None:
        """The model once it is loaded."""
        return self._model.result() if self._model.done() and not self._model.exception() else None

    @property
    def failure(self) -> BaseException | None:
        """Why the model could not be loaded."""
        return self._model.exception() if self._model.done() else None

    @property
    def state(self) -> str:
        """What a turn would wait for: "loading", "busy" or "" for nothing."""
        if not self._model.done():
            return "loading"
        return "busy" if self._line else ""

    @property
    def full(self) -> bool:
        return len(self._line) > MAX_WAITING

    def estimate(self, before: int) -> float | None:
        """Seconds until `before` turns have been answered, by what the last ones took."""
        took = list(self._took)
        return before * sum(took) / len(took) if took else None

    def turn(
        self, messages: Sequence[Message], options: ChatOptions, stop: threading.Event
    ) -> Iterator[tuple[Waiting | None, list[Event]]]:
        """Yields (what is waited for, events since the last time), and ends with the turn or once `stop` is set.

        Raises what the model raises. Closing the iterator stops the turn as well.
        """
        return self.run(lambda model: model.chat(messages, options), stop)

    def run(
        self, answer: Callable[[Model], Iterator[Event]], stop: threading.Event
    ) -> Iterator[tuple[Waiting | None, list[Event]]]:
        """The same for anything that the model makes event by event."""
        if self.failure is not None:
            self._model = Future()
            self.open()
        place, events = object(), queue.SimpleQueue()
        with self._moved:
            self._line.append(place)
        # The caller's context travels along: a Space reads the visitor from it.
        work = contextvars.copy_context().run
        threading.Thread(
            target=work, args=(self._work, answer, place, stop, events), name="model-turn", daemon=True
        ).start()
        waiting = self._waiting(place)
        try:
            yield waiting, []
            while not stop.is_set():
                batch, ended = _drain(events)
                now = None if batch else self._waiting(place)
                if batch or now != waiting:
                    waiting = now
                    yield waiting, batch
                    time.sleep(_PACE)
                if isinstance(ended, BaseException):
                    raise ended
                if ended is not False:
                    return
        finally:
            stop.set()
            with self._moved:
                self._moved.notify_all()

    def _waiting(self, place: object) -> Waiting | None:
        if not self._model.done():
            return Waiting("loading")
        with self._moved:
            before = self._line.index(place) if place in self._line else 0
        seconds = self.estimate(before)
        return Waiting("line", before, None if seconds is None else float(round(seconds))) if before else None

    def _work(
        self,
        answer: Callable[[Model], Iterator[Event]],
        place: object,
        stop: threading.Event,
        events: queue.SimpleQueue[Event | BaseException | None],
    ) -> None:
        try:
            with self._moved:
                self._moved.wait_for(lambda: self._line[0] is place or stop.is_set())
            if not stop.is_set():
                model = self._model.result()
                began = time.monotonic()
                with closing(answer(model)) as turn:
                    for event in turn:
                        if isinstance(event, MediaReady):
                            self.costs.learn(event.provenance)
                        events.put(event)
                        if stop.is_set():
                            break
                self._took.append(time.monotonic() - began)
            events.put(None)
        except BaseException as error:  # handed to the reader, who raises it
            events.put(error)
        finally:
            with self._moved:
                self._line.remove(place)
                self._moved.notify_all()


def _drain(events: queue.SimpleQueue) -> tuple[list[Event], BaseException | bool | None]:
    """Everything that has arrived, after waiting up to POLL for the first; and the end, or False if it is not there."""
    batch: list[Event] = []
    try:
        item = events.get(timeout=POLL)
        while item is not None and not isinstance(item, BaseException):
            batch.append(item)
            item = events.get_nowait()
        return batch, item
    except queue.Empty:
        return batch, False
