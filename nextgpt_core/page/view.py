"""A conversation as the messages of a `gr.Chatbot`.

Media become figures of our own HTML, because the Chatbot's own ones have no alternative text, no caption and one
download for all; the browser keeps an element whose HTML has not changed, so a clip plays on while words arrive. What
people wrote is shown as it was written. The model's words may use Markdown, but neither HTML nor pictures from
elsewhere.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import quote

from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.page.state import Conversation, Medium, Reply
from nextgpt_core.page.uploads import shown
from nextgpt_core.page.words import Words

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif"}
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)


def messages(conversation: Conversation, words: Words) -> list[dict[str, object]]:
    """The Chatbot's value: one message a question, one a reply; each part is an item of its message's content."""
    view: list[dict[str, object]] = []
    for turn in conversation.turns:
        view.append({"role": "user", "content": [_text(item) for item in _asked(turn.asked, words)]})
        if turn.reply is not None:
            view.append({"role": "assistant", "content": [_text(item) for item in _replied(turn.reply, words)]})
    return view


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _asked(message: Message, words: Words) -> list[str]:
    items = [_figure(item, words[f"upload_{item.modality}"], "sent") for item in message.media]
    if message.text:
        # One line of HTML is one block for Markdown, which then leaves everything in it alone.
        items.append(f'<div class="said">{html.escape(message.text).replace(chr(10), "&#10;")}</div>')
    return items


def _replied(reply: Reply, words: Words) -> list[str]:
    items = [
        model_text(part.text) if isinstance(part, Text) else _medium(part, words)
        for part in reply.parts
        if not isinstance(part, Text) or part.text.strip()
    ]
    if reply.ending == "failed":
        items.append(_note(words["failed"].format(note=reply.note), "failed"))
    elif reply.ending == "refused":
        items.append(_note(reply.note, "failed"))
    elif reply.ending == "stopped":
        items.append(_note(words["stopped"], "stopped"))
    elif reply.note:
        items.append(_note(reply.note, "stopped"))
    return items or [f'<div class="thinking" role="status">{html.escape(words["thinking"])}<i></i><i></i><i></i></div>']


def model_text(text: str) -> str:
    """The model's Markdown without raw HTML and without pictures; code stays as it is, Markdown escapes that itself."""
    pieces = _CODE.split(text)
    pieces[::2] = [html.escape(piece, quote=False).replace("![", "&#33;[") for piece in pieces[::2]]
    return "".join(pieces)


def _medium(medium: Medium, words: Words) -> str:
    if medium.failure is not None:
        return _note(medium.failure, "failed")
    if medium.media is None:
        return _card(medium, words)
    save, origin = shown(medium.media), medium.provenance
    below = (
        f'<div class="actions"><a href="{file_url(save)}" download="{medium.modality}{save.suffix}">'
        f"{html.escape(words['save'])}</a>"
    )
    if origin is not None:
        steps, seconds = int(origin.settings["steps"]), f"{origin.seconds:.1f}"
        line = words["provenance"].format(seed=origin.seed, steps=steps, seconds=seconds, model=origin.model)
        below += f"<small>{html.escape(line)}</small>"
    alternative = medium.caption or words[f"made_{medium.modality}"]
    return _figure(medium.media, alternative, "made", _caption(medium.caption) + below + "</div>")


def _card(medium: Medium, words: Words) -> str:
    """The place of a medium while it is made: as large as the medium will be, so that nothing jumps."""
    progress = words["step"].format(step=medium.step, steps=medium.steps)
    if medium.left is not None:
        progress += " · " + words["left"].format(seconds=max(1, round(medium.left)))
    return (
        f'<figure class="medium made {medium.modality}"><div class="frame making">'
        f"<b>{html.escape(words[f'making_{medium.modality}'])}</b>"
        f'<progress value="{medium.step}" max="{max(1, medium.steps)}"></progress>'
        f"<small>{html.escape(progress)}</small></div>{_caption(medium.caption)}</figure>"
    )


def _figure(item: Media, alternative: str, kind: str, below: str = "") -> str:
    path = shown(item)
    source, label = file_url(path), html.escape(alternative)
    if path.suffix in _PICTURES:
        element = f'<img src="{source}" alt="{label}" loading="lazy">'
    elif item.modality == "video":
        element = f'<video src="{source}" controls loop muted playsinline preload="metadata" title="{label}"></video>'
    else:
        element = f'<audio src="{source}" controls preload="metadata" title="{label}"></audio>'
    return f'<figure class="medium {kind} {item.modality}"><div class="frame">{element}</div>{below}</figure>'


def _caption(caption: str) -> str:
    return f"<figcaption>{html.escape(caption).replace(chr(10), ' ')}</figcaption>" if caption else ""


def _note(text: str, kind: str) -> str:
    return f'<div class="note {kind}">{html.escape(text).replace(chr(10), "&#10;")}</div>'


def file_url(path: Path) -> str:
    """Relative, so that it holds behind a proxy's path too."""
    return "gradio_api/file=" + quote(str(path.absolute()))
