"""How people ask, as data: `wordings.txt`, a section a use, a line a wording.

Slots: {c} what is asked for, {n} a noun for the medium (in `write`: for the thing), {N} several such nouns, {t} a
thing, {a} {b} {d} requests that are joined, {r} a request put into another, {l} a list of media, {k} a colour, a place
or a season, {x} picture, video or sound. A line that begins with `~` is held out: no training conversation is written
with it, and the routing matrix asks with nothing else where a section has one. `=>` parts what is said from how it is
answered.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from nextgpt_core.pocket.captions import SOUNDS, THINGS, plural
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.holdout import name_held_out

Wordings = dict[str, tuple[str, ...]]
_FILE = Path(__file__).parent / "wordings.txt"


@cache
def load_wordings(held_out: bool = False) -> Wordings:
    """By section: what training uses, or what it never sees (all lines where a section holds nothing out)."""
    seen: dict[str, list[str]] = {}
    unseen: dict[str, list[str]] = {}
    section = ""
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            seen[section], unseen[section] = [], []
        elif line and not line.startswith("#"):
            (unseen if line.startswith("~ ") else seen)[section].append(line.removeprefix("~ "))
    chosen = {name: unseen[name] or lines for name, lines in seen.items()} if held_out else seen
    return {name: tuple(lines) for name, lines in chosen.items()}


def pairs(wordings: Wordings, section: str) -> list[tuple[str, str]]:
    """(what is said, its answer) of a section whose lines hold both."""
    said = (line.partition(" => ") for line in wordings[section])
    return [(words, answer) for words, _, answer in said]


class Known(NamedTuple):
    """A sentence that says what a thing is, and another about it."""

    definition: str
    fact: str


@cache
def load_facts() -> dict[str, Known]:
    """What is said of each of many things, less those that training does not name."""
    with (Path(__file__).parent / "facts.tsv").open(encoding="utf-8", newline="") as file:
        return {
            row["thing"]: Known(row["definition"], row["fact"])
            for row in csv.DictReader(file, delimiter="\t")
            if not mentions_held_out(row["thing"])
        }


@cache
def held_out_names() -> frozenset[str]:
    """Things and sounds that no training request names; a tenth of all."""
    catalog = [name for concept in load_catalog() for name in (concept.name, *concept.synonyms)]
    return frozenset(name for name in (*catalog, *THINGS, *SOUNDS) if name_held_out(name))


def mentions_held_out(text: str) -> bool:
    """Whether a held-out name stands in the text, in whole words, alone or as a plural."""
    words = re.findall(r"[\w'-]+", text.lower())
    return any(
        " ".join(words[start : start + length]) in _unmentioned()
        for start in range(len(words))
        for length in range(1, 6)
    )


@cache
def _unmentioned() -> frozenset[str]:
    names = [name.lower() for name in held_out_names()]
    bare = [name.removeprefix("a ").removeprefix("an ") for name in names]  # people leave articles out
    return frozenset((*names, *bare, *map(plural, names)))
