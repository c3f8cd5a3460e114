"""Replies that go round in circles are cut; what repeats itself for a reason is not."""

from __future__ import annotations

import pytest

from nextgpt_core.circles import in_circles
from nextgpt_core.tokenizer import TextStream

CIRCLES = (
    "A vampire is a vampire, a vampire is a vampire, a vampire is a vampire, ",
    "1. Lions\n" + "".join(f"{number}. Giant pandas\n" for number in range(2, 7)),
    "**1.** Lions\n" + "".join(f"**{number}.** Giant pandas\n" for number in range(2, 7)),
    "Well." + " I do." * 10,
    "I went home and then" + " on and on" * 6,
    "la" * 30,
    3 * ("So it went on for a long time, until one day the old man came back from the sea. " * 2 + "He was tired. "),
)
NONE = (
    "",
    "A picture, a video, a sound: Here is a picture of a yawl. And here is a video of a yawl.",
    "This is a picture of a cat. This is a picture of a dog. This is a picture of a cow.",
    "1. One\n2. Two\n3. Three\n4. Four\n",
    "1. False\n2. False\n3. False\n4. True\n",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
    "1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 = 20",
    "It was very, very, very cold, and I really really really really liked it.",
    "Row, row, row your boat gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
    "The wheels on the bus go round and round, round and round, round and round, all through the town.",
    "Let it be, let it be, let it be, let it be, whisper words of wisdom, let it be.",
    "Hallelujah, hallelujah, hallelujah, hallelujah! Woof! Woof! Woof!",
    "<ul>\n    <li></li>\n    <li></li>\n    <li></li>\n</ul>",
    "| yes | yes | yes | yes | yes | yes |\n| --- | --- | --- | --- | --- | --- |",
    "-" * 100,
)


@pytest.mark.parametrize("text", CIRCLES)
def test_a_circle_is_found_at_its_third_round_or_sixtieth_character(text: str) -> None:
    found = [end for end in range(len(text) + 1) if in_circles(text[:end])]
    assert found
    assert len(text) - found[0] <= 12, text[: found[0]]


@pytest.mark.parametrize("text", NONE)
def test_what_repeats_itself_for_a_reason_is_no_circle(text: str) -> None:
    assert not any(in_circles(text[:end]) for end in range(len(text) + 1))


def test_a_stream_stops_at_a_circle_and_keeps_nothing_back() -> None:
    class Letters:
        special_tokens = ()

        def decode(self, ids: list[int]) -> str:
            return "".join(map(chr, ids))

    stream, given = TextStream(Letters(), ["\n###"]), ""
    for character in "on and on\n" * 20:
        given += "".join(stream.push(ord(character)))
        if stream.stopped:
            break
    assert given + "".join(stream.flush()) == "on and on\n" * 6, "the last newline might have begun a stop"
