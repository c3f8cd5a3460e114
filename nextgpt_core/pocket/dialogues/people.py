"""Requests in people's own words: `people.tsv`, written one by one, each built like no other.

A grammar's requests have its author's habits, however many it makes. These teach what it does not: wishes in passing,
with a reason, as a question, or as a bare noun. Large language models wrote them, which had not seen the examination's
own (`evaluation/own_words.tsv`).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nextgpt_core.conversation import MODALITIES, Modality

IT = "{c}"  # a caption: what the shown files show


@dataclass(frozen=True)
class Said:
    """What somebody types beside `shown` files, and what should come.

    `wishes` are media and their captions, in the reply's order. `words` stand before or after them: of a request
    without files; with files, their description, if `told`.
    """

    prompt: str
    shown: tuple[Modality, ...]
    wishes: tuple[tuple[Modality, str], ...]
    told: bool
    words_first: bool
    words: str


@cache
def load_people() -> tuple[Said, ...]:
    with (Path(__file__).parent / "people.tsv").open(encoding="utf-8", newline="") as file:
        return tuple(map(_read, csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)))


def _read(row: dict[str, str]) -> Said:
    wanted, shown = (tuple(row[name].split("+")) if row[name] else () for name in ("wanted", "shown"))
    media = tuple(name for name in MODALITIES if name in wanted)
    media = tuple(sorted(media, key=wanted.index))
    captions = row["captions"].split(" | ") * (1 if " | " in row["captions"] else len(media))
    wishes = tuple(zip(media, captions, strict=True)) if media else ()
    return Said(row["prompt"], shown, wishes, "text" in wanted or not wanted, wanted[:1] == ("text",), row["words"])
