"""The page's frame in HTML: the head with its two switches, and the list of conversations beside the chat."""

from __future__ import annotations

import html
from collections.abc import Sequence

from nextgpt_core.page.figures import button
from nextgpt_core.page.library import KEPT, Entry
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


def keeping(words: Words, passing: bool) -> str:
    """What can be done with all of it, and how long it is kept. `passing`: the browser sends no cookie."""
    kept = words["passing"] if passing else words["kept"].format(days=round(KEPT / 86400))
    return (
        f'<div class="keeping">{button("export", "", words["export"])}'
        f"{_sure(button('clear', '', words['clear']), words['clear_sure'])}"
        f"{_sure(button('delete_all', '', words['delete_all']), words['delete_all_sure'])}"
        f"<p>{html.escape(kept)}</p></div>"
    )


def _entry(entry: Entry, is_open: bool, words: Words) -> str:
    title = entry.title or words["untitled"]
    marked = ' class="open" aria-current="true"' if is_open else ""
    delete = button("delete", entry.id, f"{words['delete']}: {title}", icon=True, kind="bin")
    return f"<li{marked}>{button('open', entry.id, title)}{_sure(delete, words['delete_sure'])}</li>"


def _sure(button: str, question: str) -> str:
    """The browser asks before it does this."""
    return button.replace("<button ", f'<button data-sure="{html.escape(question)}" ', 1)
