"""What a reply gives, in outline: the list that it may begin with, its media, and its words beside captions.

A small model that begins "A picture, a sound, some words: " keeps to its own list better than to the request. The chat
reads the same outline to hold it to that list, and the evaluation to judge it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest

from nextgpt_core.conversation import MODALITIES, Modality

_LIST = re.compile(
    r"^(?:\w+! |Of course\. )?((?:(?:a|two|some) (?:picture|video|sound|word)s?(?:, |: ))+)", re.IGNORECASE
)
_KINDS = {"picture": "image", "video": "video", "sound": "audio", "word": "text"}
_LEAST_WORDS = 4  # beside captions: "Sure!" and "Of course." are no words that anybody asked for


@dataclass(frozen=True)
class Outline:
    """`parts`: words as str and, where a run stood, the modality; words before a run end in what it shows."""

    parts: tuple[str | Modality, ...]

    @property
    def media(self) -> tuple[Modality, ...]:
        return tuple(part for part in self.parts if part in MODALITIES)

    @property
    def listed(self) -> frozenset[str]:
        """What it begins by saying that it gives ("A picture, some words: "), empty if it says nothing of that."""
        found = self._list()
        kinds = re.findall("|".join(_KINDS), found.group(1).lower()) if found else ()
        return frozenset(_KINDS[kind] for kind in kinds)

    @property
    def owed(self) -> frozenset[str]:
        """What it listed and has not given yet; a single thing before a colon is no list."""
        return self.listed - self.modalities if len(self.listed) > 1 else frozenset()

    @property
    def words(self) -> str:
        """The text beside captions: less the list of what comes, and less the sentence before each run."""
        kept = []
        found = self._list()
        parts = (self.parts[0][found.end() :], *self.parts[1:]) if found else self.parts
        for part, following in zip_longest(parts, parts[1:]):
            if part in MODALITIES:
                continue
            kept.append(" ".join(sentences(part)[:-1]) if following in MODALITIES else part)
        return " ".join(filter(None, map(str.strip, kept)))

    @property
    def modalities(self) -> frozenset[str]:
        """What it gives, "text" among it if it says more than what its media show."""
        text = {"text"} if len(self.words.split()) >= (_LEAST_WORDS if self.media else 1) else set()
        return frozenset({*self.media, *text})

    def _list(self) -> re.Match[str] | None:
        return _LIST.match(self.parts[0]) if self.parts else None


def sentences(text: str) -> list[str]:
    """At least one, which may be empty. A sentence ends at its mark, its closing quote included, or with its line."""
    return re.split(r"(?:(?<=[.!?:])|(?<=[.!?][\"'”’)]))\s+|\n+", text.strip())
