"""Replies that go round in circles: small models fall into them, and greedy decoding never gets out again."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"^[ \t]*(?:\*\*)?\d+[.):](?:\*\*)?[ \t]+", re.MULTILINE)  # of a list's item
_WORD = re.compile(r"[^\W\d_]")
_ROUNDS, _CHARACTERS = 3, 60  # at least so many, over at least so much text: refrains and rows of a table are shorter
_LONGEST = 300  # characters of one round


def in_circles(text: str) -> bool:
    """Whether the text ends in the same words over and over: three rounds at least, and sixty characters at least.

    Capitals don't count, nor do the numbers of a list. What has no letters is never a circle, nor are rounds of
    several paragraphs.
    """
    said = _NUMBER.sub("", text).lower()
    return any(
        said.endswith(said[-length:] * _rounds(length)) and _WORD.search(said[-length:]) is not None
        for length in range(1, min(len(said) // _ROUNDS, _LONGEST) + 1)
    )


def _rounds(length: int) -> int:
    return max(_ROUNDS, -(-_CHARACTERS // length))
