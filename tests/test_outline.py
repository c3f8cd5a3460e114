"""What a reply gives: its list, its media and its words, told apart."""

from __future__ import annotations

import pytest

from nextgpt_core.outline import Outline


def test_words_count_only_beside_captions():
    picture = Outline(("Sure! Here is a picture of a dog.", "image"))
    assert picture.modalities == {"image"}
    assert Outline((*picture.parts, " Dogs bark at strangers often.")).modalities == {"text", "image"}
    first = Outline(("Dogs bark at strangers often. Here is the sound of a dog.", "audio", " And a picture.", "image"))
    assert first.words == "Dogs bark at strangers often."
    quoted = Outline(('Some words, a picture: The word means "a tower by the sea." Here is a picture of it.', "image"))
    assert quoted.words == 'The word means "a tower by the sea."'
    assert Outline(("Hello.",)).modalities == {"text"}
    assert Outline(()).modalities == frozenset()


def test_the_list_of_what_comes_is_no_words_but_all_else_is():
    listed = Outline(("Sure! Some words, a picture: Dogs bark at strangers. Here is a picture of a dog.", "image"))
    assert (listed.words, listed.listed) == ("Dogs bark at strangers.", {"text", "image"})
    both = Outline(
        ("Of course. A picture, two sounds: Here is a dog.", "image", " A bark.", "audio", " A yelp.", "audio")
    )
    assert both.modalities == both.listed == {"image", "audio"}
    lion = Outline(("The lion is a big cat that hunts at night: Here is a picture of a lion.", "image"))
    assert (lion.modalities, lion.listed) == ({"text", "image"}, frozenset())
    late = Outline(("Here is a dog.", "image", " A picture, a sound: Here is a bark.", "audio"))
    assert "text" in late.modalities and not late.listed


@pytest.mark.parametrize(
    ("parts", "owed"),
    [
        (("A picture, a sound, some words: ",), {"image", "audio", "text"}),
        (("A picture, a sound: Here is a picture of a dog.", "image"), {"audio"}),
        (("A picture, some words: Here is a picture of a dog.", "image", " Dogs bark"), {"text"}),
        (("A picture, some words: Here is a picture of a dog.", "image", " Dogs bark at cats."), set()),
        (("Some words, a video: Dogs bark at strangers. Here is a video",), {"video"}),
        (("A picture: it says more than words.",), set()),
        (("Here is a picture of a dog.", "image"), set()),
        ((), set()),
    ],
)
def test_what_was_listed_is_owed_until_it_came(parts: tuple[str, ...], owed: set[str]) -> None:
    assert Outline(parts).owed == owed
