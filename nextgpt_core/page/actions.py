"""What the page's buttons do. A button says its name and what it is about; both come from the browser and are checked.

Every action has the same form: it changes the session and its conversation, and returns what the screen shows anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from nextgpt_core.conversation import Media, Message
from nextgpt_core.media import MediaError
from nextgpt_core.page.handlers import Handlers, Screen, busy_box, filled_box, idle_box
from nextgpt_core.page.session import Session
from nextgpt_core.page.show.figures import file_url
from nextgpt_core.page.show.received import received
from nextgpt_core.page.store import archive, shares, uploads
from nextgpt_core.page.talk.reply import Medium
from nextgpt_core.page.talk.state import Turn
from nextgpt_core.page.words import say


class Refusal(Exception):
    """The action can't be done; the message is for the visitor."""


@dataclass(frozen=True)
class Click:
    """`value` is the button's, split at spaces; `box` what lies in the box; `settings` the panel's values."""

    value: tuple[str, ...]
    box: dict[str, Any]
    settings: Mapping[str, Any]
    request: gr.Request


def act(
    handlers: Handlers, event: gr.EventData, box: Any, session: Session, request: gr.Request, settings: Sequence[Any]
) -> Screen:
    """Does what the button says, or tells why not."""
    handlers.know(session, request)
    name, value = str(event._data.get("name", "")), str(event._data.get("value", ""))
    words = handlers.words(session)
    action = _ACTIONS.get(name)
    try:
        if action is None:
            raise Refusal(words["gone"])
        if session.chat.answering and name in _CHANGES:
            raise Refusal(words["still_answering"])
        named = handlers.settings.named(settings)
        return action(handlers, session, Click(tuple(value.split()), dict(box or {}), named, request))
    except Refusal as refusal:
        gr.Info(str(refusal))
    except (StopIteration, ValueError, IndexError):  # a button of a turn that is gone, or one that we never made
        gr.Info(words["gone"])
    return Screen()


def _again(handlers: Handlers, session: Session, click: Click) -> Screen:
    turn = _turn(session, click)
    _refuse(handlers.refusal(session, click.request))
    session.chat.change(lambda conversation: conversation.asking(turn.asked, beside=turn.id))
    handlers.answer(session, click.settings, fresh=True)
    return handlers.screen(session)._replace(box=_busy_keeping(click))


def _remake(handlers: Handlers, session: Session, click: Click) -> Screen:
    turn, medium = _medium(session, click)
    _refuse(handlers.refusal(session, click.request))
    chat = session.chat
    parts = [_told(part) if isinstance(part, Medium) else part for part in turn.reply.parts]
    messages = [*chat.conversation.messages(turn.id), Message("assistant", tuple(parts))]
    options = handlers.options(chat, click.settings)
    expected = handlers.settings.expected(options, handlers.lane.costs)
    chat.answer(
        turn.id, handlers.lane, lambda model: model.remake(messages, medium.index, options), expected, medium.index
    )
    return handlers.screen(session)._replace(box=_busy_keeping(click))


def _told(medium: Medium) -> Media:
    """As the model is told of it: the words and the run count, so one whose making failed has a place too."""
    return medium.media or Media(medium.modality, Path(), medium.caption)


def _version(handlers: Handlers, session: Session, click: Click) -> Screen:
    turn, medium = _medium(session, click)
    chosen = int(click.value[2])
    medium.versions[chosen]
    shown = turn.reply.having(replace(medium, chosen=chosen, failure=None))
    session.chat.change(lambda conversation: conversation.answered(turn.id, shown))
    return handlers.screen(session)


def _show_turn(handlers: Handlers, session: Session, click: Click) -> Screen:
    turn = _turn(session, click)
    session.chat.change(lambda conversation: conversation.showing(turn.id))
    return handlers.screen(session)


def _undo(handlers: Handlers, session: Session, click: Click) -> Screen:
    turn = _turn(session, click)
    session.chat.change(lambda conversation: conversation.without(turn.id))
    session.editing = None
    return handlers.screen(session)._replace(box=filled_box(turn.asked))


def _edit(handlers: Handlers, session: Session, click: Click) -> Screen:
    turn = _turn(session, click)
    session.editing = turn.id
    return handlers.screen(session)._replace(box=filled_box(turn.asked))


def _cancel(handlers: Handlers, session: Session, click: Click) -> Screen:
    session.editing = None
    return handlers.screen(session)._replace(box=idle_box(empty=True))


def _use(handlers: Handlers, session: Session, click: Click) -> Screen:
    _, medium = _medium(session, click)
    if medium.media is None or not medium.media.path.is_file():
        raise Refusal(handlers.words(session)["expired"])
    files = [*(click.box.get("files") or []), str(uploads.shown(medium.media))]
    return Screen(box=gr.MultimodalTextbox(value={"text": click.box.get("text") or "", "files": files}))


def _received(handlers: Handlers, session: Session, click: Click) -> Screen:
    turn, number = _turn(session, click), int(click.value[1])
    if session.received.pop((turn.id, number), None) is None:
        if handlers.lane.model is None:
            raise Refusal(handlers.words(session)["loading"])
        try:
            session.received[turn.id, number] = received(turn.asked.media[number], handlers.lane.model)
        except MediaError as error:
            raise Refusal(say(error.sentence, handlers.words(session))) from error
    return handlers.screen(session)


def _judge(feedback: str) -> Callable[[Handlers, Session, Click], Screen]:
    def judge(handlers: Handlers, session: Session, click: Click) -> Screen:
        turn = _turn(session, click)
        said = "" if turn.feedback == feedback else feedback
        session.chat.change(lambda conversation: conversation.judged(turn.id, said))
        return handlers.screen(session)

    return judge


def _example(handlers: Handlers, session: Session, click: Click) -> Screen:
    example = handlers.examples[int(click.value[0])]
    _refuse(handlers.refusal(session, click.request))
    files = [str(example.file)] if example.file else []
    _refuse(handlers.accept({"text": example.text, "files": files}, session))
    handlers.answer(session, click.settings)
    return handlers.screen(session)._replace(box=_busy_keeping(click))


def _new(handlers: Handlers, session: Session, click: Click) -> Screen:
    session.chat = handlers.library.new(session.visitor)
    return _turn_to(handlers, session)


def _open(handlers: Handlers, session: Session, click: Click) -> Screen:
    chat = handlers.library.open(session.visitor, click.value[0])
    if chat is None:
        raise Refusal(handlers.words(session)["gone"])
    session.chat = chat
    return _turn_to(handlers, session)


def _delete(handlers: Handlers, session: Session, click: Click) -> Screen:
    handlers.library.delete(session.visitor, click.value[0])
    if click.value[0] != session.chat.conversation.id:
        return handlers.screen(session)
    return _new(handlers, session, click)


def _clear(handlers: Handlers, session: Session, click: Click) -> Screen:
    handlers.library.delete(session.visitor, session.chat.conversation.id)
    return _new(handlers, session, click)


def _delete_all(handlers: Handlers, session: Session, click: Click) -> Screen:
    handlers.library.delete_all(session.visitor)
    gr.Info(handlers.words(session)["deleted"])
    return _new(handlers, session, click)


def _export(handlers: Handlers, session: Session, click: Click) -> Screen:
    chat, words = session.chat, handlers.words(session)
    if not chat.conversation.turns:
        raise Refusal(words["nothing_to_export"])
    return Screen(download=file_url(archive.pack(chat.conversation, chat.folder, words)))


def _share(handlers: Handlers, session: Session, click: Click) -> Screen:
    """Shares the conversation as it stands, or no longer."""
    chat, words = session.chat, handlers.words(session)
    if shares.token_of(chat.folder):
        shares.revoke(chat.folder)
        return handlers.screen(session)
    if not chat.conversation.turns:
        raise Refusal(words["nothing_to_share"])
    _refuse(handlers.refusal_of_space(session))
    shares.share(chat.conversation, chat.folder, words)
    if chat.deleted:  # meanwhile, in another tab
        handlers.library.delete(session.visitor, chat.conversation.id)
    return handlers.screen(session)


def take_in(handlers: Handlers, path: str | None, session: Session, request: gr.Request) -> Screen:
    """Opens a conversation that was exported, as a new one."""
    handlers.know(session, request)
    if not path:
        return Screen()
    try:
        _refuse(handlers.refusal_of_space(session))
        id = secrets.token_urlsafe(16)
        conversation = archive.unpack(Path(path), handlers.library.place(session.visitor) / id, id)
    except Refusal as refusal:
        gr.Warning(str(refusal))
        return Screen()
    except archive.ArchiveError as error:
        gr.Warning(say(error.sentence, handlers.words(session)))
        return Screen()
    session.chat = handlers.library.add(session.visitor, conversation)
    handlers.library.save(session.chat)
    return _turn_to(handlers, session)


def _turn_to(handlers: Handlers, session: Session) -> Screen:
    """Shows another conversation; what was written in the box stays."""
    session.editing = None
    session.received.clear()
    box = busy_box() if session.chat.answering else idle_box()
    return handlers.screen(session)._replace(box=box)


def _turn(session: Session, click: Click) -> Turn:
    return session.chat.conversation.turn(click.value[0])


def _medium(session: Session, click: Click) -> tuple[Turn, Medium]:
    turn = _turn(session, click)
    if turn.reply is None:
        raise ValueError("a turn without a reply has no media")
    return turn, turn.reply.medium(int(click.value[1]))


def _busy_keeping(click: Click) -> Any:
    """The box while an answer runs that did not come from it: what is written there stays."""
    return gr.MultimodalTextbox(submit_btn=False, stop_btn=True)


def _refuse(reason: str) -> None:
    if reason:
        raise Refusal(reason)


_ACTIONS: dict[str, Callable[[Handlers, Session, Click], Screen]] = {
    "again": _again,
    "remake": _remake,
    "version": _version,
    "turn": _show_turn,
    "undo": _undo,
    "edit": _edit,
    "cancel": _cancel,
    "use": _use,
    "received": _received,
    "like": _judge("like"),
    "dislike": _judge("dislike"),
    "example": _example,
    "new": _new,
    "open": _open,
    "delete": _delete,
    "clear": _clear,
    "delete_all": _delete_all,
    "export": _export,
    "share": _share,
}
_CHANGES = {"again", "remake", "version", "turn", "undo", "edit", "example", "share"}  # wait until an answer has ended
