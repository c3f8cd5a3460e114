"""A conversation while somebody has it open: the turn under way, and a count of changes to look at.

The answer is gathered by a thread of its own and not by whoever watches, so it goes on when a page is reloaded or a
telephone sleeps, and every tab that shows the conversation sees it grow.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from nextgpt_core.conversation import Event, Modality, RefusedError, Sentence
from nextgpt_core.page.talk.lane import Lane, Model, Waiting
from nextgpt_core.page.talk.reply import Reply
from nextgpt_core.page.talk.state import Conversation

logger = logging.getLogger(__name__)
_PACE = 0.06  # seconds between two looks


class Chat:
    """`folder` is where the conversation's files lie; `save` is called after every change that is to last."""

    def __init__(self, conversation: Conversation, folder: Path, save: Callable[[Chat], None]) -> None:
        self.conversation = conversation
        self.folder = folder
        self.answering: str | None = None  # the turn under way
        self.waiting: Waiting | None = None  # what that one waits for
        self.changes = 0
        self.deleted = False
        self._save = save
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._saving = threading.Lock()

    def change(self, step: Callable[[Conversation], Conversation]) -> None:
        """Changes the conversation for good."""
        self._show(step)
        self._keep()

    def stop(self) -> None:
        self._stop.set()

    def delete(self) -> None:
        self.deleted = True
        self.stop()

    def answer(
        self,
        turn: str,
        lane: Lane,
        make: Callable[[Model], Iterator[Event]],
        expected: Mapping[Modality, float],
        remade: int | None = None,
    ) -> None:
        """Begins to fold what `make` yields into the reply of `turn`, unless another turn is under way.

        `expected` is how many seconds a medium will take, where that is known. `remade` is the medium of a finished
        reply that is made again: how the reply ended stays.
        """
        with self._lock:
            if self.answering is not None:
                return
            # Each answer has a stop sign of its own, so that an old one can't be woken again.
            self.answering, self._stop, self.waiting = turn, threading.Event(), None
        self.changes += 1
        gather = contextvars.copy_context().run  # a Space reads the visitor from the caller's context
        arguments = (self._gather, turn, lane, make, expected, remade, self._stop)
        threading.Thread(target=gather, args=arguments, name="answer", daemon=True).start()

    def _gather(
        self,
        turn: str,
        lane: Lane,
        make: Callable[[Model], Iterator[Event]],
        expected: Mapping[Modality, float],
        remade: int | None,
        stop: threading.Event,
    ) -> None:
        reply = self.conversation.turn(turn).reply or Reply()
        try:
            with closing(lane.run(make, stop)) as progress:
                for self.waiting, events in progress:
                    for event in events:
                        reply = reply.after(event, time.monotonic(), expected)
                    self._show(lambda conversation: conversation.answered(turn, reply))  # noqa: B023
            if remade is None and not reply.ending:
                reply = reply.ended("stopped")
        except Exception as error:
            note = refusal(error) or _load_failure(error, lane)
            if remade is not None:
                reason = note or Sentence("That went wrong on our side. Reference: {note}", note=_reference())
                reply = reply.having(replace(reply.medium(remade), failure=reason))
            else:
                reply = reply.ended("refused", note) if note else reply.ended("failed", _reference())
        finally:
            self.waiting = None
            self.change(lambda conversation: conversation.answered(turn, reply.settled()))
            if self.deleted:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.answering = None
            self.changes += 1

    def _show(self, step: Callable[[Conversation], Conversation]) -> None:
        with self._lock:
            self.conversation = step(self.conversation)
        self.changes += 1

    def _keep(self) -> None:
        try:
            with self._saving:
                self._save(self)
        except OSError as error:  # a full disk must not end a conversation
            logger.error("A conversation could not be stored: %s", error)

    async def watch(self) -> AsyncIterator[None]:
        """Yields at once, and after every change until nothing is being answered any more."""
        seen = -1
        while True:
            ended = self.answering is None
            if self.changes != seen:
                seen = self.changes
                yield
            elif ended:
                return
            else:
                await asyncio.sleep(_PACE)


def refusal(error: Exception) -> str:
    """The error's Sentence where the fault lies in the message and it is for the one who wrote it, else ""."""
    return error.sentence if isinstance(error, RefusedError) else ""


def _load_failure(error: Exception, lane: Lane) -> str:
    """Why there is no model, where our own parts say so in people's words."""
    if error is not lane.failure or not type(error).__module__.startswith("nextgpt_core"):
        return ""
    return str(error)


def _reference() -> str:
    """Logs the error at hand and returns the reference under which the log has it."""
    reference = secrets.token_hex(4)
    logger.exception("An answer failed; the visitor was given the reference %s.", reference)
    return reference
