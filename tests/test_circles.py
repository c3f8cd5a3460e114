"""Replies that go round in circles are cut; what merely repeats itself is not."""

from __future__ import annotations

import pytest

from nextgpt_core.circles import in_circles

CIRCLES = (
    "A vampire is a vampire, a vampire is a vampire, a vampire is a vampire, ",
    "1. Lions\n2. Pandas\n3. Pandas\n4. Pandas\n",
    "Well. I do. I do. I do.",
    "Aria of the night and aria of the night and aria of the night and ",
)
NONE = (
    "",
    "A picture, a video, a sound: Here is a picture of a yawl.",
    "This is a picture of a cat. This is a picture of a dog. This is a picture of a cow.",
    "1. One\n2. Two\n3. Three\n4. Four\n",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20",
    "1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 = 16",
    "It was very, very, very cold.",
    "I really really really like it",
    "Row, row, row your boat gently down the stream. Merrily, merrily, life is but a dream.",
    "----------------------------------------------------------------------",
)


@pytest.mark.parametrize("text", CIRCLES)
def test_a_circle_is_found_as_soon_as_it_closes_for_the_third_time(text: str) -> None:
    assert [end for end in range(len(text) + 1) if in_circles(text[:end])] == [len(text)]


@pytest.mark.parametrize("text", NONE)
def test_what_repeats_itself_for_a_reason_is_no_circle(text: str) -> None:
    assert not any(in_circles(text[:end]) for end in range(len(text) + 1))
