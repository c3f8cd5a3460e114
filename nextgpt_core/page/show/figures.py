"""Media as HTML figures of our own: the Chatbot's have no alternative text, no caption and one download for all.

Everything people or the model wrote is escaped here. A button is a word for `actions`: its name is what to do, its
value what to do it to.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from nextgpt_core.conversation import Media
from nextgpt_core.page.store.uploads import shown
from nextgpt_core.page.talk.reply import Medium
from nextgpt_core.page.words import Words, say

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif"}
Address = Callable[[Path], str]  # where a page finds a file


def file_url(path: Path) -> str:
    """Relative, so that it holds behind a proxy's path too."""
    return "gradio_api/file=" + quote(str(path.absolute()))


def button(name: str, value: str, label: str, icon: bool = False, kind: str = "") -> str:
    """With `icon` the style sheet draws it, and the label is for those who hear the page or rest on the button."""
    words = html.escape(label)
    attributes = f'class="do {kind}" type="button" name="{name}" value="{html.escape(value)}"'
    if icon:
        return f'<button {attributes} title="{words}"><span class="unseen">{words}</span></button>'
    return f"<button {attributes}>{words}</button>"


def browse(name: str, values: tuple[str, str], number: int, count: int, words: Words) -> str:
    """‹ 2 of 3 ›; `values` are those of the earlier and the later version."""
    if count < 2:
        return ""
    said = html.escape(words["version"].format(number=number, count=count))
    earlier = button(name, values[0], words["earlier"], icon=True, kind="earlier")
    later = button(name, values[1], words["later"], icon=True, kind="later")
    return f'<span class="versions">{earlier}<span title="{said}">{number}/{count}</span>{later}</span>'


def sent(item: Media, words: Words, below: str = "") -> str:
    return figure(item, words[f"upload_{item.modality}"], "sent", file_url, below)


def made(medium: Medium, turn: str, words: Words, captioned: bool = True) -> str:
    """A medium of a reply: its place while it is made, then the file with what can be done with it."""
    said = caption(medium.caption) if captioned else ""
    if medium.running:
        return _card(medium, words, said)
    value = f"{turn} {medium.index}"
    remake = button("remake", value, words["remake"])
    failure = note(say(medium.failure, words), "failed") if medium.failure else ""
    if medium.media is None:
        return f'<div class="media-failed">{failure}<div class="actions">{remake}</div></div>'
    file = shown(medium.media)
    name = f"{medium.modality}{file.suffix}"
    save = f'<a href="{file_url(file)}" download="{name}">{html.escape(words["save"])}</a>'
    count, at = len(medium.versions), medium.chosen
    around = (f"{value} {(at - 1) % count}", f"{value} {(at + 1) % count}")
    actions = save + button("use", value, words["use"]) + remake
    actions += browse("version", around, at + 1, count, words)
    below = f'{said}<div class="actions">{actions}</div>' + provenance(medium, words) + failure
    return figure(medium.media, medium.caption or words[f"made_{medium.modality}"], "made", file_url, below)


def provenance(medium: Medium, words: Words) -> str:
    origin = medium.provenance
    if origin is None:
        return ""
    line = words["provenance"].format(
        seed=origin.seed,
        steps=int(origin.settings.get("steps", 0)),
        seconds=f"{origin.seconds:.1f}",
        model=origin.model,
    )
    return f'<small class="provenance" title="{html.escape(words["provenance_of"])}">{html.escape(line)}</small>'


def _card(medium: Medium, words: Words, said: str) -> str:
    """The place of a medium while it is made: as large as the medium will be, so that nothing jumps."""
    progress = words["step"].format(step=medium.step, steps=medium.steps)
    if medium.left is not None:
        progress += " · " + words["left"].format(seconds=max(1, round(medium.left)))
    title = html.escape(words[f"making_{medium.modality}"])
    return (
        f'<figure class="medium made {medium.modality}"><div class="frame making"><b>{title}</b>'
        f'<progress value="{medium.step}" max="{max(1, medium.steps)}" title="{title}"></progress>'
        f'<small>{html.escape(progress)}</small></div>{said}<div class="actions room"></div>'
        '<small class="provenance room"></small></figure>'
    )


def figure(item: Media, alternative: str, kind: str, address: Address, below: str = "") -> str:
    path = shown(item)
    source, label = html.escape(address(path)), html.escape(alternative)
    if path.suffix in _PICTURES:
        element = f'<img src="{source}" alt="{label}" loading="lazy">'
    elif item.modality == "video":
        element = f'<video src="{source}" controls loop muted playsinline preload="metadata" title="{label}"></video>'
    else:
        element = f'<audio src="{source}" controls preload="metadata" title="{label}"></audio>'
    return f'<figure class="medium {kind} {item.modality}"><div class="frame">{element}</div>{below}</figure>'


def caption(words: str) -> str:
    return f"<figcaption>{html.escape(words).replace(chr(10), ' ')}</figcaption>" if words else ""


def note(text: str, kind: str) -> str:
    return f'<div class="note {kind}">{one_line(text)}</div>'


def one_line(text: str) -> str:
    """Escaped. One line of HTML is one block for Markdown, which then leaves everything in it alone."""
    return html.escape(text).replace("\n", "&#10;")
