"""What the page's events do to a visitor's conversation. Nothing here raises: what goes wrong is said on the page.

This file knows the visitor, takes a message in and shows the answer grow; `actions` is what the buttons do, `api` the
endpoint for programs.
"""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from nextgpt_core.config import Config
from nextgpt_core.conversation import ChatOptions, Message, Text
from nextgpt_core.media import MediaError
from nextgpt_core.page.session import Session
from nextgpt_core.page.settings import Settings
from nextgpt_core.page.show import side, view
from nextgpt_core.page.show.examples import cards, examples
from nextgpt_core.page.store import shares, uploads, visitors
from nextgpt_core.page.store.library import Library
from nextgpt_core.page.store.limits import Allowance, Limits
from nextgpt_core.page.talk.lane import Lane
from nextgpt_core.page.talk.live import Chat
from nextgpt_core.page.talk.reply import Reply
from nextgpt_core.page.words import WORDS, Words, choose

MAX_FILES = 8  # a message
_SOON = 45  # seconds; a longer wait is told as a minute
Value = Mapping[str, Any]  # of a MultimodalTextbox: text, and files as paths


class Screen(NamedTuple):
    """What an event shows anew; the rest stays as it is."""

    chat: Any = gr.skip()
    status: Any = gr.skip()
    box: Any = gr.skip()
    list: Any = gr.skip()
    open: Any = gr.skip()  # the conversation's id, which the browser keeps in its address
    download: Any = gr.skip()  # where a file lies that the browser is to save
    keeping: Any = gr.skip()


class Handlers:
    """The events of one page: `lane` leads to the model, `library` keeps the conversations."""

    def __init__(self, lane: Lane, library: Library, config: Config, limits: Limits) -> None:
        self.lane = lane
        self.library = library
        self.settings = Settings(config)
        self.examples = examples(config)
        self.limits = limits
        self._messages = Allowance(limits.messages_a_minute, 60.0)

    def enter(self, session: Session, request: gr.Request) -> tuple[Any, ...]:
        """A tab opens, or is reloaded: → the screen, head, camera."""
        self.know(session, request)
        words = self.words(session)
        wanted = request.query_params.get("c", "")
        session.chat = self.library.open(session.visitor, wanted) or self.library.new(session.visitor)
        screen = self.screen(session)
        shown = gr.Chatbot(value=screen.chat, placeholder=cards(self.examples, words))
        box = busy_box() if session.chat.answering else gr.skip()
        return (*screen._replace(chat=shown, box=box), side.head(words), side.camera(words))

    def ask(self, value: Value | None, session: Session, request: gr.Request, *settings: Any) -> Screen:
        """Takes the message in and begins to answer it; `follow` comes next."""
        self.know(session, request)
        refusal = self.refusal(session, request) or self.accept(value, session, session.editing)
        if refusal:
            gr.Info(refusal)
            return Screen()
        session.editing = None
        self.answer(session, self.settings.named(settings))
        return self.screen(session)._replace(box=busy_box() if session.chat.answering else idle_box(empty=True))

    async def follow(self, session: Session) -> AsyncIterator[tuple[Any, Any]]:
        """Streams what the open conversation becomes until its answer has ended: → chat, status."""
        chat = session.chat
        if session.watched or chat is None:
            yield gr.skip(), gr.skip()
            return
        session.watched = True
        try:
            async for _ in chat.watch():
                if session.chat is not chat:  # the visitor opened another one, and its answer is followed next
                    break
                yield self._view(session)
        finally:
            session.watched = False

    def stop(self, session: Session) -> None:
        if session.chat is not None:
            session.chat.stop()

    def rest(self, session: Session) -> tuple[Any, Any]:
        """Once an answer has ended: → box, list."""
        if session.chat is None or session.chat.answering:
            return gr.skip(), gr.skip()
        return idle_box(), self.list(session)

    def estimates(self, session: Session, *settings: Any) -> list[Any]:
        """What each medium would take with the panel as it stands: → the panel's lines."""
        try:
            options = self.options(session.chat, self.settings.named(settings)) if session.chat else ChatOptions()
        except ValueError:  # a number that is being typed
            return [gr.skip()] * len(self.settings.modalities)
        expected = self.settings.expected(options, self.lane.costs)
        return [side.estimate(modality, expected, self.words(session)) for modality in self.settings.modalities]

    def know(self, session: Session, request: gr.Request) -> None:
        """Who asks, in which language, and that there is a conversation to speak in."""
        session.language = choose(request.headers.get("accept-language", ""))
        known = visitors.visitor(request)
        session.passing = not known
        visitor = known or session.visitor or visitors.passing()
        if visitor != session.visitor or session.chat is None or session.chat.deleted:
            session.visitor, session.chat = visitor, self.library.new(visitor)

    def refusal(self, session: Session, request: gr.Request) -> str:
        """Why nothing can be answered for this visitor now, or ""."""
        words = self.words(session)
        if session.chat.answering:
            return words["still_answering"]
        if self.lane.full:
            return words["full"].format(when=self._when(words))
        if refusal := self.refusal_of_space(session):
            return refusal
        name = session.visitor if visitors.visitor(request) else getattr(request.client, "host", "")
        if seconds := self._messages.spend(name):
            return words["too_fast"].format(seconds=round(seconds) or 1)
        return ""

    def refusal_of_space(self, session: Session) -> str:
        used, most = self.library.used(session.visitor), self.limits.bytes_on_disk
        if used <= most:
            return ""
        return self.words(session)["disk_full"].format(used=used >> 20, limit=most >> 20)

    def accept(self, value: Value | None, session: Session, beside: str | None = None) -> str:
        """Adds a turn to the conversation, or says what is missing. A file that can't be read is a turn, too."""
        words, chat = self.words(session), session.chat
        text, files = (value or {}).get("text") or "", (value or {}).get("files") or []
        if not text.strip() and not files:
            return words["nothing"]
        if len(files) > MAX_FILES:
            return words["too_many_files"].format(limit=MAX_FILES)
        if beside is not None and all(turn.id != beside for turn in chat.conversation.turns):
            beside = None
        said = (Text(text),) if text.strip() else ()
        reply, media = None, ()
        try:
            media = tuple(uploads.take(Path(file), chat.folder) for file in files)
        except MediaError as error:
            reply = Reply().ended("refused", error.sentence)
        chat.change(lambda conversation: conversation.asking(Message("user", (*media, *said)), reply, beside))
        return ""

    def answer(self, session: Session, settings: Mapping[str, Any], fresh: bool = False) -> None:
        """Begins to answer the last message, unless it is answered. `fresh`: not with the same words again."""
        chat = session.chat
        turn = chat.conversation.turn(chat.conversation.leaf)
        if turn.reply is None:
            options = self.options(chat, settings, fresh)
            messages = chat.conversation.messages(turn.id)
            expected = self.settings.expected(options, self.lane.costs)
            chat.answer(turn.id, self.lane, lambda model: model.chat(messages, options), expected)

    def options(self, chat: Chat, settings: Mapping[str, Any], fresh: bool = False) -> ChatOptions:
        """Raises ValueError for settings that there are not."""
        return self.settings.options(settings, chat.folder, chat.conversation.id, fresh)

    def screen(self, session: Session) -> Screen:
        """All of it, but for the box."""
        shown, status = self._view(session)
        token = shares.token_of(session.chat.folder)
        keeping = side.keeping(self.words(session), session.passing, shares.address(token) if token else "")
        return Screen(shown, status, list=self.list(session), open=session.chat.conversation.id, keeping=keeping)

    def _view(self, session: Session) -> tuple[Any, str]:
        chat, words = session.chat, self.words(session)
        shown = view.messages(chat.conversation, words, chat.answering, session.received)
        return shown, self._load_note(words) or view.status(chat, words, session.editing is not None)

    def list(self, session: Session) -> str:
        entries = self.library.list(session.visitor)
        return side.conversations(entries, session.chat.conversation.id, self.words(session))

    def words(self, session: Session) -> Words:
        return WORDS[session.language]

    def _load_note(self, words: Words) -> str:
        """Why there is no model. Errors of our own are written for people; others only for the log."""
        error = self.lane.failure
        if error is None:
            return ""
        ours = type(error).__module__.startswith("nextgpt_core")
        reason = words["not_loaded"].format(reason=str(error) if ours else words["not_loaded_reason"])
        return f'<p role="alert" class="alert">{html.escape(reason)}</p>'

    def _when(self, words: Words) -> str:
        seconds = self.lane.estimate(1)
        soon = seconds is not None and seconds < _SOON
        return words["full_seconds"].format(seconds=max(5, round(seconds))) if soon else words["full_minute"]


def busy_box() -> Any:
    return gr.MultimodalTextbox(value=None, submit_btn=False, stop_btn=True)


def idle_box(empty: bool = False) -> Any:
    box: dict[str, Any] = {"value": None} if empty else {}
    return gr.MultimodalTextbox(submit_btn=True, stop_btn=False, **box)


def filled_box(message: Message) -> Any:
    """The box with a message that was sent before."""
    files = [str(uploads.shown(item)) for item in message.media if uploads.shown(item).is_file()]
    return gr.MultimodalTextbox(value={"text": message.text, "files": files}, submit_btn=True, stop_btn=False)
