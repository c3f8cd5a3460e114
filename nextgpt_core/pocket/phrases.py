"""A scene in words: many short ways of saying the same.

The default style goes unsaid, the others are named, so that a caption without a style word means one look.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from nextgpt_core.pocket.captions import article, plural
from nextgpt_core.pocket.catalog import Concept
from nextgpt_core.pocket.holdout import DEFAULT_STYLE

NUMBERS = {2: "two", 3: "three"}
_PLACES = {
    "beach": ("on a beach", "at the beach", "on the beach"),
    "night sky": ("in the night sky", "under the night sky", "against a night sky"),
    "meadow": ("in a meadow", "on a meadow", "on green grass"),
    "room": ("in a room", "in the living room", "indoors"),
    "snow": ("in the snow", "on snow", "in a snowy landscape"),
    "sea": ("in the sea", "on the sea", "on the ocean"),
    "city": ("in a city", "in the city", "on a city street"),
    "forest": ("in a forest", "in the forest", "in the woods"),
    "desert": ("in the desert", "in a desert"),
    "sky": ("in the sky", "in a blue sky"),
    "space": ("in space", "in outer space"),
}
_TIMES = {"night": ("at night", "by night"), "sunset": ("at sunset", "in the evening")}
_SIZES = {"small": ("small", "tiny", "little"), "big": ("big", "huge", "large")}
_WHOLE = ("a picture of {}", "a drawing of {}", "an image of {}", "a picture with {}", "{} on a white background")
_STYLES = {  # {} is the whole phrase, {noun} a bare noun
    "fluent-3d": ("{} in 3d", "a 3d render of {}", "{}, 3d style", "a 3d {noun}"),
    "fluent-flat": ("a flat icon of {}", "{} in flat style", "a flat {noun}", "{}, flat style"),
    "noto": ("a cartoon of {}", "{} in noto style", "a cartoon {noun}", "{}, cartoon style"),
    "twemoji": ("an emoji of {}", "{} in twemoji style", "a simple emoji of {}", "{}, emoji style"),
    "emojione": ("a sticker of {}", "{} in emojione style", "a {noun} sticker", "{}, sticker style"),
    "openmoji": ("a line drawing of {}", "{} in outline style", "an outlined {noun}", "{}, outline style"),
}


def name(concept: Concept, random: Random) -> str:
    """The concept's name, now and then a synonym."""
    return random.choice(concept.synonyms) if concept.synonyms and random.random() < 0.25 else concept.name


def thing(noun: str, colour: str | None, size: str | None, count: int, random: Random) -> str:
    """ "two small red apples": a noun phrase."""
    words = [random.choice(_SIZES[size])] if size else []
    words += [colour] if colour else []
    if count > 1:
        return " ".join([NUMBERS[count], *words, plural(noun)])
    return article(" ".join([*words, noun]))


def place(where: str, time: str, random: Random) -> str:
    """ "on a beach at night"."""
    words = random.choice(_PLACES[where])
    return f"{words} {random.choice(_TIMES[time])}" if time in _TIMES else words


def empty_place(where: str, time: str, random: Random) -> str:
    """ "a beach at sunset": a place that nobody stands in."""
    noun = {"snow": "a snowy landscape", "sky": "the sky", "space": "outer space", "night sky": "the night sky"}
    words = noun.get(where, "the sea" if where == "sea" else article(where))
    return f"{words} {random.choice(_TIMES[time])}" if time in _TIMES else words


def whole(phrase: str, noun: str, style: str, plain: bool, random: Random) -> str:
    """A caption of the phrase: style words for all styles but the default, sometimes "a picture of …"."""
    told = random.random() < (0.15 if style == DEFAULT_STYLE else 0.92)
    if told:
        form = random.choice(_STYLES[style])
        if "{noun}" not in form or phrase == article(noun):
            return form.format(phrase, noun=noun)
        return random.choice(_STYLES[style][:2]).format(phrase)
    chance = random.random()
    if chance < 0.2:
        return random.choice(_WHOLE if plain else _WHOLE[:-1]).format(phrase)
    if chance < 0.32 and plain:
        return phrase.removeprefix("a ").removeprefix("an ")
    return phrase


def in_style(noun: str, style: str) -> str:
    """ "a cartoon of a dog": one object with its style said in the plainest way."""
    return _STYLES[style][0].format(article(noun))


def repeated(nouns: Sequence[str]) -> str:
    """ "cat, cat": the count by repetition."""
    return ", ".join(nouns)
