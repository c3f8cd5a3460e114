"""The kinds of sound that the pocket decoder is taught: one table that joins the catalog of concepts.

A line of `kinds.tsv` is a kind: its family, where it comes from (`source` and, for that source, `detail`), phrases
that name it in a caption, divided by `|`, the first being the plainest, and the catalog's concept that makes it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Source = Literal["synthesis", "instrument", "drum", "recording"]


@dataclass(frozen=True)
class Kind:
    """`detail`: General MIDI programs (from 0), drum notes, or COLLECTION:PREFIX of recordings; `concept` may be ''."""

    name: str
    family: str
    source: Source
    detail: str
    phrases: tuple[str, ...]
    concept: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The detail of an instrument or a drum."""
        return tuple(map(int, self.detail.split()))

    @property
    def has_tempo(self) -> bool:
        return self.source in ("instrument", "drum")


@cache
def load_kinds() -> tuple[Kind, ...]:
    """All kinds, in the table's order."""
    with (Path(__file__).parent / "kinds.tsv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Kind(**{**row, "phrases": tuple(row["phrases"].split("|"))}) for row in csv.DictReader(file, delimiter="\t")
        )
