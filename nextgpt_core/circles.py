"""Replies that go round in circles: small models fall into them, and greedy decoding never gets out again."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"^\s*\d+[.)] +", re.MULTILINE)  # of a list's item
_SHORTEST_ITEM, _SHORTEST, _LONGEST = 6, 12, 160  # characters


def in_circles(text: str) -> bool:
    """Whether the text ends in the same characters three times in a row.

    Twelve characters and more are a circle wherever it turns, six if it turns at a comma, a stop or a line's end.
    Capitals don't count, nor do the numbers of a list: "2. Pandas 3. Pandas 4. Pandas", a line each, are the same.
    """
    said = _NUMBER.sub("", text).lower()
    return any(
        said[-length:] == said[-2 * length : -length] == said[-3 * length : -2 * length]
        and (length >= _SHORTEST or said[-1] in ".,;!?\n")
        and re.search(r"[^\W\d_]", said[-length:]) is not None
        for length in range(_SHORTEST_ITEM, min(len(said) // 3, _LONGEST) + 1)
    )
