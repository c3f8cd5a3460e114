"""What the page's events do. Nothing here raises: what goes wrong becomes an answer, and the conversation goes on."""

from __future__ import annotations

import html
import logging
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from nextgpt_core.conversation import ChatOptions, Message, Text
from nextgpt_core.media import MediaError
from nextgpt_core.page import uploads, view
from nextgpt_core.page.lane import Lane
from nextgpt_core.page.state import Medium, Reply, Session
from nextgpt_core.page.words import WORDS, Words, choose

logger = logging.getLogger(__name__)
MAX_FILES = 8  # a message
Value = Mapping[str, Any]  # of a MultimodalTextbox: text, and files as paths


class Handlers:
    """The events of one page: `lane` leads to the model, `folder` keeps conversations, one folder each."""

    def __init__(self, lane: Lane, folder: Path) -> None:
        self.lane = lane
        self.folder = folder

    def ask(self, value: Value | None, session: Session, request: gr.Request) -> tuple[Any, Any]:
        """Puts the message into the conversation: → chat, box. `answer` comes next."""
        session.language = choose(request.headers.get("accept-language", ""))
        words = self._words(session)
        if session.answering:
            gr.Info(words["still_answering"])
            return gr.skip(), gr.skip()
        if refusal := self._accept(value, session):
            gr.Info(refusal)
            return gr.skip(), gr.skip()
        return self._view(session), busy_box()

    def answer(self, session: Session) -> Iterator[tuple[Any, Any]]:
        """Streams the answer to the message that waits: → chat, status."""
        for waiting in self._answer(session):
            words = self._words(session)
            status = f'<p role="status">{html.escape(words[waiting])}</p>' if waiting else ""
            yield self._view(session), status

    def stop(self, session: Session) -> None:
        session.stop.set()

    def rest(self, session: Session) -> Any:
        """The box once an answer has ended: → box."""
        return gr.skip() if session.answering else idle_box()

    def refused(self, session: Session) -> tuple[Any, Any]:
        """The queue took no more: the message that waits is answered by that. → chat, box."""
        if session.waiting:
            note = self._words(session)["full"]
            session.conversation = session.conversation.answered(session.waiting, Reply().ended("refused", note))
            session.waiting = None
        session.answering = None
        return self._view(session), idle_box()

    def chat(self, message: Value, session: Session) -> Iterator[tuple[str, list[str]]]:
        """Answers one message of a conversation.

        message: {"text": "...", "files": [...]}, files as uploads (`handle_file` in gradio_client). Returns the
        answer's text and the files of its pictures, videos and sounds. Calls of one client continue one conversation.
        """
        if refusal := self._accept(message, session):
            yield refusal, []
            return
        for _ in self._answer(session):
            reply = session.conversation.turns[-1].reply
            yield plain(reply, self._words(session)), [str(m.media.path) for m in reply.media if m.media]

    def _accept(self, value: Value | None, session: Session) -> str:
        """Adds a turn to the conversation, or says what is missing. A file that can't be read is a turn, too."""
        words = self._words(session)
        text, files = (value or {}).get("text") or "", (value or {}).get("files") or []
        if not text.strip() and not files:
            return words["nothing"]
        if len(files) > MAX_FILES:
            return words["too_many_files"].format(limit=MAX_FILES)
        said = (Text(text),) if text.strip() else ()
        conversation = session.conversation
        try:
            media = tuple(uploads.take(Path(file), self.folder / conversation.id) for file in files)
        except MediaError as error:
            session.conversation = conversation.asking(Message("user", said), Reply().ended("refused", str(error)))
            return ""
        session.conversation = conversation.asking(Message("user", (*media, *said)))
        session.waiting = session.answering = session.conversation.turns[-1].id
        session.stop = threading.Event()
        return ""

    def _answer(self, session: Session) -> Iterator[str]:
        """Yields what is waited for, after every change of the conversation."""
        turn, session.waiting = session.waiting, None
        if turn is None:
            yield ""
            return
        reply, stop = Reply(), session.stop
        try:
            options = ChatOptions(out_dir=self.folder / session.conversation.id, scope=session.conversation.id)
            messages = session.conversation.messages(turn)
            with closing(self.lane.turn(messages, options, stop)) as progress:
                for waiting, events in progress:
                    for event in events:
                        reply = reply.after(event, time.monotonic())
                    session.conversation = session.conversation.answered(turn, reply)
                    yield waiting
            if not reply.ending:
                reply = reply.ended("stopped")
        except Exception as error:
            reply = reply.ended("refused", str(error)) if _is_refusal(error) else reply.ended("failed", _reference())
        finally:  # also when the visitor leaves, which closes this generator
            if not reply.ending:
                reply = reply.ended("stopped")
            session.conversation = session.conversation.answered(turn, reply)
            if session.answering == turn:
                session.answering = None
        yield ""

    def _view(self, session: Session) -> list[dict[str, object]]:
        return view.messages(session.conversation, self._words(session))

    def _words(self, session: Session) -> Words:
        return WORDS[session.language]


def busy_box() -> Any:
    return gr.MultimodalTextbox(value=None, submit_btn=False, stop_btn=True)


def idle_box() -> Any:
    return gr.MultimodalTextbox(submit_btn=True, stop_btn=False)


def plain(reply: Reply, words: Words) -> str:
    """A reply as text alone: its words, and a line for whatever went wrong."""
    lines = [reply.text.strip()]
    lines += [part.failure for part in reply.parts if isinstance(part, Medium) and part.failure]
    if reply.ending in ("failed", "refused"):
        lines.append(words["failed"].format(note=reply.note) if reply.ending == "failed" else reply.note)
    return "\n".join(line for line in lines if line)


def _is_refusal(error: Exception) -> bool:
    """Whether the fault lies in the message, and the error's words are for the one who wrote it."""
    model = sys.modules.get("nextgpt_core.model")  # not imported here: torch comes with it, and who raises has it
    return isinstance(error, MediaError) or (model is not None and isinstance(error, model.TooLongError))


def _reference() -> str:
    """Logs the error at hand and returns the reference under which the log has it."""
    reference = secrets.token_hex(4)
    logger.exception("An answer failed; the visitor was given the reference %s.", reference)
    return reference
