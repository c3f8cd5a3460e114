"""The page's frame in HTML: the head with its two switches, and the list of conversations beside the chat."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from nextgpt_core.conversation import Modality
from nextgpt_core.page.show.figures import button
from nextgpt_core.page.store.library import KEPT, Entry
from nextgpt_core.page.words import Words


def head(words: Words) -> str:
    return (
        f'<div class="head">{button("toggle", "side", words["conversations"], icon=True, kind="menu")}'
        f"<h1>{html.escape(words['title'])}</h1>"
        f"{button('new', '', words['new'], icon=True, kind='new')}"
        f"{button('toggle', 'settings', words['settings'], icon=True, kind='sliders')}</div>"
    )


def conversations(entries: Sequence[Entry], open_id: str, words: Words) -> str:
    """The list, the open one marked. Titles are what people wrote."""
    rows = "".join(_entry(entry, entry.id == open_id, words) for entry in entries)
    name = html.escape(words["conversations"])
    return f'{button("new", "", words["new"], kind="wide")}<nav aria-label="{name}"><ul>{rows}</ul></nav>'


def keeping(words: Words, passing: bool, shared: str) -> str:
    """What can be done with all of it, and how long it is kept.

    `passing`: the browser sends no cookie. `shared` is the address under which the conversation is shared, or "".
    """
    kept = words["passing"] if passing else words["kept"].format(days=round(KEPT / 86400))
    return (
        f'<div class="keeping">{_shared(shared, words) if shared else ""}'
        f"{'' if shared else _sure(button('share', '', words['share']), words['share_sure'])}"
        f"{button('export', '', words['export'])}"
        f"{_sure(button('clear', '', words['clear']), words['clear_sure'])}"
        f"{_sure(button('delete_all', '', words['delete_all']), words['delete_all_sure'])}"
        f"<p>{html.escape(kept)}</p></div>"
    )


def camera(words: Words) -> str:
    """The button that the script puts into the box, and the dialog that it opens; see scripts/camera.js."""
    name = html.escape(words["camera"])
    open_it, shoot, leave = (
        here.replace("<button ", "<button data-here ", 1)
        for here in (
            button("camera", "", words["camera"], icon=True, kind="camera"),
            button("shoot", "", words["shoot"], kind="wide"),
            button("leave", "", words["cancel"], kind="wide"),
        )
    )
    return (
        f'<div hidden>{open_it}</div><dialog aria-label="{name}"><video autoplay muted playsinline></video>'
        f'<p role="alert">{html.escape(words["camera_failed"])}</p><div class="choice">{shoot}{leave}</div></dialog>'
    )


def _shared(address: str, words: Words) -> str:
    link = f'<a href="{html.escape(address)}" target="_blank" rel="noopener">{html.escape(address)}</a>'
    buttons = button("copy-link", address, words["copy_link"]) + button("share", "", words["unshare"])
    return f'<div class="shared"><p>{html.escape(words["shared"])} {link}</p>{buttons}</div>'


def estimate(modality: Modality, expected: Mapping[Modality, float], words: Words) -> str:
    """What a medium takes as the panel stands; nothing where nobody knows yet."""
    if modality not in expected:
        return ""
    line = words[f"estimate_{modality}"].format(seconds=max(1, round(expected[modality])))
    return f'<p role="status">{html.escape(line)}</p>'


def _entry(entry: Entry, is_open: bool, words: Words) -> str:
    title = entry.title or words["untitled"]
    marked = ' class="open" aria-current="true"' if is_open else ""
    delete = button("delete", entry.id, f"{words['delete']}: {title}", icon=True, kind="bin")
    return f"<li{marked}>{button('open', entry.id, title)}{_sure(delete, words['delete_sure'])}</li>"


def _sure(button: str, question: str) -> str:
    """The browser asks before it does this."""
    return button.replace("<button ", f'<button data-sure="{html.escape(question)}" ', 1)
