"""The lane to the model: it loads in the background, and answers one turn at a time in a thread of its own.

A turn is read in batches of events, at least every `POLL` seconds, so that whoever reads can always stop at once. The
thread ends at the model's next event then; the turn after it waits for that, never beside it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import Protocol

from nextgpt_core.config import Config
from nextgpt_core.conversation import ChatOptions, Event, Message

logger = logging.getLogger(__name__)
POLL = 0.1  # seconds between two looks at the stop sign
_PACE = 0.05  # seconds between two batches: more often than a screen can be read costs only traffic


class Model(Protocol):
    config: Config

    def chat(self, messages: Sequence[Message], options: ChatOptions) -> Iterator[Event]: ...


class Lane:
    """`load` gives the model; it runs once, in the background, from `open` on."""

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._model: Future[Model] = Future()
        self._busy = threading.Lock()

    def open(self) -> None:
        threading.Thread(target=self._open, name="model-load", daemon=True).start()

    def _open(self) -> None:
        try:
            self._model.set_result(self._load())
        except BaseException as error:  # whoever asks the model hears of it
            logger.error("The model could not be loaded: %s", error)
            self._model.set_exception(error)

    @property
    def model(self) -> Model | None:
        """The model once it is loaded."""
        return self._model.result() if self._model.done() and not self._model.exception() else None

    @property
    def state(self) -> str:
        """What a turn would wait for: "loading", "busy" or "" for nothing."""
        if not self._model.done():
            return "loading"
        return "busy" if self._busy.locked() else ""

    def turn(
        self, messages: Sequence[Message], options: ChatOptions, stop: threading.Event
    ) -> Iterator[tuple[str, list[Event]]]:
        """Yields (what is waited for, events since the last time), and ends with the turn or once `stop` is set.

        Raises what the model raises. Closing the iterator stops the turn as well.
        """
        events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
        thread = threading.Thread(
            target=self._run, args=(messages, options, stop, events), name="model-turn", daemon=True
        )
        thread.start()
        waiting = self.state
        try:
            yield waiting, []
            while not stop.is_set():
                batch, ended = _drain(events)
                if batch:
                    waiting = ""
                    yield "", batch
                    time.sleep(_PACE)
                elif waiting == "loading" and self.state != "loading":
                    waiting = ""
                    yield waiting, []
                if isinstance(ended, BaseException):
                    raise ended
                if ended is not False:
                    return
        finally:
            stop.set()

    def _run(
        self,
        messages: Sequence[Message],
        options: ChatOptions,
        stop: threading.Event,
        events: queue.SimpleQueue[Event | BaseException | None],
    ) -> None:
        try:
            model = self._model.result()
            with self._busy:
                if not stop.is_set():
                    with closing(model.chat(messages, options)) as turn:
                        for event in turn:
                            events.put(event)
                            if stop.is_set():
                                break
            events.put(None)
        except BaseException as error:  # handed to the reader, who raises it
            events.put(error)


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
