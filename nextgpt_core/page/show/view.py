"""A conversation as the messages of a `gr.Chatbot`.

The browser keeps an element whose HTML has not changed, so a clip plays on while words arrive: what changes often is an
item of its own. What people wrote is shown as it was written. The model's words may use Markdown, but neither HTML nor
pictures from elsewhere.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping

from nextgpt_core.conversation import Text
from nextgpt_core.page.show import figures
from nextgpt_core.page.show.received import Received
from nextgpt_core.page.talk.live import Chat
from nextgpt_core.page.talk.reply import Reply
from nextgpt_core.page.talk.state import Conversation, Turn
from nextgpt_core.page.words import Words, say

_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
Opened = Mapping[tuple[str, int], Received]  # what the model got, by turn and number of the upload


def messages(
    conversation: Conversation, words: Words, answering: str | None = None, opened: Opened | None = None
) -> list[dict[str, object]]:
    """The Chatbot's value: one message a question, one a reply; each part is an item of its message's content.

    `answering` is the turn under way, `opened` what the visitor wants to see of the uploads.
    """
    view: list[dict[str, object]] = []
    for turn in conversation.path:
        view.append({"role": "user", "content": _items(_asked(turn, words, opened or {}))})
        reply = turn.reply or Reply(ending="" if turn.id == answering else "stopped")
        items = _replied(reply, turn.id, words)
        items.append(_row(conversation, turn, reply, words, waiting=turn.id == answering))
        view.append({"role": "assistant", "content": _items(items)})
    return view


def status(chat: Chat, words: Words, editing: bool = False) -> str:
    """The line above the box: what the message waits for, or that one is being edited."""
    if chat.waiting is not None:
        return f'<p role="status">{html.escape(_waits(chat, words))}</p>'
    if editing:
        cancel = figures.button("cancel", "", words["cancel"])
        return f'<p role="status">{html.escape(words["editing"])} {cancel}</p>'
    return ""


def _waits(chat: Chat, words: Words) -> str:
    waiting = chat.waiting
    if waiting.what == "loading":
        return words["loading"]
    about = words["about"].format(seconds=round(waiting.seconds)) if waiting.seconds else ""
    key = "line_one" if waiting.before == 1 else "line_many"
    return words[key].format(before=waiting.before, about=about)


def _items(texts: Collection[str]) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


def _asked(turn: Turn, words: Words, opened: Opened) -> list[str]:
    items = []
    for number, item in enumerate(turn.asked.media):
        got = opened.get((turn.id, number))
        label = words["received_hide" if got else "received"]
        below = f'<div class="actions">{figures.button("received", f"{turn.id} {number}", label)}</div>'
        items.append(figures.sent(item, words, below + (got.html(words) if got else "")))
    if turn.asked.text:
        items.append(f'<div class="said">{figures.one_line(turn.asked.text)}</div>')
    items.append(f'<div class="row">{figures.button("edit", turn.id, words["edit"], icon=True, kind="edit")}</div>')
    return items


def _replied(reply: Reply, turn: str, words: Words) -> list[str]:
    items, said = [], ""
    for part in reply.parts:
        if not isinstance(part, Text):
            # A caption is the last sentence said: where that stands right above, it need not stand there twice.
            items.append(figures.made(part, turn, words, captioned=not said.endswith(part.caption)))
        elif part.text.strip():
            items.append(model_text(part.text))
        said = part.text.strip() if isinstance(part, Text) else ""
    if reply.ending == "failed":
        items.append(figures.note(words["failed"].format(note=reply.note), "failed"))
    elif reply.ending == "refused":
        items.append(figures.note(say(reply.note, words), "failed"))
    elif reply.ending == "stopped":
        items.append(figures.note(words["stopped"], "stopped"))
    elif reply.note:
        items.append(figures.note(say(reply.note, words), "stopped"))
    return items or [f'<div class="thinking" role="status">{html.escape(words["thinking"])}<i></i><i></i><i></i></div>']


def _row(conversation: Conversation, turn: Turn, reply: Reply, words: Words, waiting: bool) -> str:
    """What can be done with a reply; while it is made its place is kept, unseen."""
    if waiting:
        return '<div class="row room"></div>'
    buttons = [figures.button("copy", turn.id, words["copy"], icon=True, kind="copy")] if reply.text.strip() else []
    for feedback in ("like", "dislike"):
        pressed = " pressed" if turn.feedback == feedback else ""
        buttons.append(figures.button(feedback, turn.id, words[feedback], icon=True, kind=feedback + pressed))
    if turn.id == conversation.leaf:
        buttons.append(figures.button("again", turn.id, words["again"], icon=True, kind="again"))
        buttons.append(figures.button("undo", turn.id, words["undo"], icon=True, kind="undo"))
    versions = [version.id for version in conversation.versions(turn.id)]
    at = versions.index(turn.id)
    around = (versions[at - 1], versions[(at + 1) % len(versions)])
    buttons.append(figures.browse("turn", around, at + 1, len(versions), words))
    return f'<div class="row">{"".join(buttons)}{_timings(reply, words)}</div>'


def _timings(reply: Reply, words: Words) -> str:
    took = reply.timings
    if took is None or not took.first_token:
        return ""
    rate = took.tokens_per_second
    line = words["timings"].format(first=f"{took.first_token:.1f}", rate=f"{rate:.1f}" if rate < 10 else f"{rate:.0f}")
    return f'<small class="timings">{html.escape(line)}</small>'


def model_text(text: str) -> str:
    """The model's Markdown without raw HTML and without pictures; code stays as it is, Markdown escapes that itself."""
    pieces = _CODE.split(text)
    pieces[::2] = [html.escape(piece, quote=False).replace("![", "&#33;[") for piece in pieces[::2]]
    return "".join(pieces)
