"""The pocket world's concepts: one table, so that a word means the same in pictures, clips, sounds and dialogues.

`catalog.tsv` holds a line a concept: its name, synonyms divided by `|`, its group and the emoji's code points that
join it to the picture packages. What pictures a concept is the business of `sources`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Concept:
    """A thing with a name. `group` is emojibase's subgroup, such as animal-mammal; `emoji` is like 1f415-200d-1f9ba."""

    name: str
    synonyms: tuple[str, ...]
    group: str
    emoji: str


@cache
def load_catalog() -> tuple[Concept, ...]:
    """All concepts, in the table's order."""
    with (Path(__file__).parent / "catalog.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return tuple(
            Concept(row["name"], tuple(filter(None, row["synonyms"].split("|"))), row["group"], row["emoji"])
            for row in rows
        )
