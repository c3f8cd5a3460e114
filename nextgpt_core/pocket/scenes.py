"""Scenes: one to three sprites in front of a background, made together with the caption that says so.

A scene is a small value that a generator draws and a shard stores; `render` turns it into pixels. What words a scene
gets is the business of `phrases`, what is left out of training that of `holdout`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from random import Random

import numpy as np
from PIL import Image

from nextgpt_core.pocket import phrases
from nextgpt_core.pocket.backgrounds import FLOATING, PLACES, TIMES, VARIANTS, draw_background, has_times
from nextgpt_core.pocket.catalog import Concept, load_catalog
from nextgpt_core.pocket.colours import COLOURS, dominant_hue, name_hue, recolour
from nextgpt_core.pocket.holdout import DEFAULT_STYLE, colour_held_out, relation_held_out, style_held_out
from nextgpt_core.pocket.sources import STYLES, Sprites

SIZE = 256
COUNTS = (2, 3)
RELATIONS = ("left of", "right of", "above", "below", "on", "next to", "and")
PLAIN_COLOURS = {"red": "#e5484d", "blue": "#5b9cf0", "green": "#74c069", "yellow": "#ffdc5e", "pink": "#f6a8c8",
                 "purple": "#a583d8", "orange": "#ffa94d", "black": "#17181c"}  # fmt: skip
_LIKED = ("animal-", "food-", "transport-", "sky-", "plant-", "drink", "sport", "musical", "person", "place-building")


@dataclass(frozen=True)
class Item:
    """A sprite's place: centre and side as shares of the picture. `colour` None leaves the sprite as it is."""

    concept: str
    style: str
    colour: str | None
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Scene:
    """`kind` is single, place, count, pair, trio or empty. `background` is a place, or a plain colour such as white."""

    kind: str
    caption: str
    items: tuple[Item, ...]
    background: str
    time: str = "day"
    variant: int = 0
    relation: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Scene:
        values = json.loads(line)
        return cls(**{**values, "items": tuple(Item(**item) for item in values["items"])})


class SceneSampler:
    """Draws scenes that hold nothing that is held out; `hues` come from `sprite_hues`."""

    def __init__(self, sprites: Sprites, hues: dict[tuple[str, str], float | None], random: Random) -> None:
        self._hues, self._random = hues, random
        self._concepts = {c.name: c for c in load_catalog()}
        self._names = list(self._concepts)
        self._weights = [2.0 if c.group.startswith(_LIKED) else 1.0 for c in self._concepts.values()]
        self._styles = {
            name: [s for s in STYLES if (name, s) in sprites.rows and not style_held_out(name, s)]
            for name in self._names
        }

    def __call__(self) -> Scene:
        kinds = {self._single: 0.2, self._placed: 0.32, self._counted: 0.06, self._paired: 0.37, self._trio: 0.03,
                 self._empty: 0.02}  # fmt: skip
        return self._random.choices(list(kinds), list(kinds.values()))[0]()

    def single(self, concept: str, style: str) -> Scene:
        """One object, plainly: the concept in the style."""
        random = self._random
        noun = phrases.name(self._concepts[concept], random)
        colour, said = self._colour(concept, style, 0.22)
        size = random.choice(("small", "big")) if random.random() < 0.06 else None
        # In one place, here and below: what no caption can foresee, half a latent's width, hides what it says.
        item = Item(concept, style, colour, 0.5, 0.5, {"small": 0.36, "big": 0.94}.get(size, 0.79))
        phrase = phrases.thing(noun, said, size, 1, random)
        background = "white"
        if random.random() < 0.05:
            background = random.choice(list(PLAIN_COLOURS))
            phrase = f"{phrase} on a {background} background"
        bare = noun if said is None else f"{said} {noun}"
        return Scene("single", phrases.whole(phrase, bare, style, background == "white", random), (item,), background)

    def _single(self) -> Scene:
        concept = self._concept()
        return self.single(concept, self._style(concept))

    def _placed(self) -> Scene:
        concept = self._concept()
        return self.placed(concept, self._style(concept))

    def placed(self, concept: str, style: str) -> Scene:
        """One object somewhere."""
        random, (where, time, variant) = self._random, self._place()
        colour, said = self._colour(concept, style, 0.15)
        side = 0.51
        y = 0.5 if where in FLOATING else 0.86 - side / 2
        noun = phrases.name(self._concepts[concept], random)
        phrase = f"{phrases.thing(noun, said, None, 1, random)} {phrases.place(where, time, random)}"
        item = Item(concept, style, colour, 0.5, y, side)
        return Scene("place", phrases.whole(phrase, noun, style, False, random), (item,), where, time, variant)

    def _counted(self) -> Scene:
        return self.counted(self._concept(), self._random.choice(COUNTS))

    def counted(self, concept: str, count: int) -> Scene:
        """Several of a thing side by side."""
        random, style = self._random, self._style(concept)
        colour, said = self._colour(concept, style, 0.15)
        where, time, variant = self._place() if random.random() < 0.4 else ("white", "day", 0)
        noun = phrases.name(self._concepts[concept], random)
        phrase = phrases.thing(noun, said, None, count, random)
        if where == "white" and said is None and random.random() < 0.12:
            phrase = phrases.repeated([noun] * count)
        elif where != "white":
            phrase = f"{phrase} {phrases.place(where, time, random)}"
        items = _row([concept] * count, [style] * count, [colour] * count, where)
        return Scene("count", phrases.whole(phrase, noun, style, where == "white", random), items, where, time, variant)

    def _paired(self) -> Scene:
        random = self._random
        while True:
            first, second, relation = self._concept(), self._concept(), random.choice(RELATIONS)
            if first != second and not relation_held_out(first, relation, second):
                break
        style = self._style(first)
        style = style if style in self._styles[second] else DEFAULT_STYLE
        colours = [self._colour(name, style, 0.5) for name in (first, second)]  # which tell who stands where
        where, time, variant = self._place() if random.random() < 0.3 else ("white", "day", 0)
        nouns = [phrases.name(self._concepts[name], random) for name in (first, second)]
        things = [phrases.thing(n, said, None, 1, random) for n, (_, said) in zip(nouns, colours, strict=True)]
        phrase = things[0] + f" {spoken(relation, random)} ".replace(" , ", ", ") + things[1]
        if where != "white":
            phrase = f"{phrase} {phrases.place(where, time, random)}"
        caption = phrases.whole(phrase, nouns[0], style, False, random)
        placed = pair_layout(relation)
        items = tuple(
            Item(name, style, colour, *spot)
            for name, (colour, _), spot in zip((first, second), colours, placed, strict=True)
        )
        return Scene("pair", caption, items, where, time, variant, relation)

    def _trio(self) -> Scene:
        random, names = self._random, [self._concept() for _ in range(3)]
        things = [phrases.thing(self._concepts[name].name, None, None, 1, random) for name in names]
        items = _row(names, [DEFAULT_STYLE] * 3, [None] * 3, "white")
        return Scene("trio", f"{things[0]}, {things[1]} and {things[2]}", items, "white")

    def _empty(self) -> Scene:
        where, time, variant = self._place()
        return Scene("empty", phrases.empty_place(where, time, self._random), (), where, time, variant)

    def _concept(self) -> str:
        return self._random.choices(self._names, self._weights)[0]

    def _style(self, concept: str) -> str:
        others = [s for s in self._styles[concept] if s != DEFAULT_STYLE]
        return self._random.choice(others) if others and self._random.random() < 0.42 else DEFAULT_STYLE

    def _colour(self, concept: str, style: str, chance: float) -> tuple[str | None, str | None]:
        """(a new colour or None, the colour to say or None); the sprite's own colour may be said too."""
        hue, random = self._hues[concept, style], self._random
        if hue is None or random.random() > chance:
            return None, None
        if random.random() < 0.2 and not colour_held_out(concept, name_hue(hue)):
            return None, name_hue(hue)
        colour = random.choice(COLOURS)
        return (None, None) if colour_held_out(concept, colour) else (colour, colour)

    def _place(self) -> tuple[str, str, int]:
        where = self._random.choice(list(PLACES))
        time = self._random.choices(TIMES, (0.6, 0.15, 0.25))[0] if has_times(where) else "day"
        return where, time, self._random.randrange(VARIANTS)


def spoken(relation: str, random: Random) -> str:
    """The relation's words between two things."""
    ways = {
        "left of": ("to the left of", "left of", "on the left of"),
        "right of": ("to the right of", "right of", "on the right of"),
        "above": ("above", "over"),
        "below": ("below", "under"),
        "on": ("on", "on top of"),
        "next to": ("next to", "beside"),
        "and": ("and", "with", ","),
    }
    return random.choice(ways[relation])


def _row(names: list[str], styles: list[str], colours: list[str | None], where: str) -> tuple[Item, ...]:
    """Side by side, of one size, standing on the ground where there is one."""
    count = len(names)
    side = 0.43 if count == 2 else 0.3
    middle = 0.5 if where in ("white", *FLOATING) else 0.84 - side / 2
    looks = enumerate(zip(names, styles, colours, strict=True))
    return tuple(Item(*look, (i + 0.5) / count, middle, side) for i, look in looks)


def pair_layout(relation: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """(x, y, size) of the two things that stand in the relation, as shares of the picture."""
    near, far, middle, side = 0.25, 0.75, 0.5, 0.43
    if relation == "on":
        return (0.5, 0.3, 0.36), (0.5, 0.685, 0.47)
    ways = {
        "right of": ((far, middle, side), (near, middle, side)),
        "above": ((middle, near, side), (middle, far, side)),
        "below": ((middle, far, side), (middle, near, side)),
    }
    return ways.get(relation, ((near, middle, side), (far, middle, side)))


def sprite_hues(sprites: Sprites) -> dict[tuple[str, str], float | None]:
    """The dominant hue of every sprite that can be recoloured; people's and faces' colours stay."""
    fixed = {c.name for c in load_catalog() if not _recolourable(c)}
    return {key: None if key[0] in fixed else dominant_hue(sprites.pixels[row]) for key, row in sprites.rows.items()}


def render(scene: Scene, sprites: Sprites, hues: dict[tuple[str, str], float | None]) -> np.ndarray:
    """The picture, (256, 256, 3) uint8."""
    if scene.background in PLACES:
        canvas = Image.fromarray(draw_background(scene.background, scene.time, scene.variant))
    else:
        canvas = Image.new("RGB", (SIZE, SIZE), PLAIN_COLOURS.get(scene.background, scene.background))
    for item in scene.items:
        side = round(item.size * SIZE)
        pixels = sprites.pixels[sprites.rows[item.concept, item.style]]
        sprite = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        hue = hues[item.concept, item.style]
        if item.colour is not None and hue is not None:
            sprite = Image.fromarray(recolour(np.asarray(sprite), item.colour, hue))
        canvas.paste(sprite, (round(item.x * SIZE - side / 2), round(item.y * SIZE - side / 2)), sprite)
    return np.asarray(canvas)


def _recolourable(concept: Concept) -> bool:
    coloured = set(concept.name.split()) & {*COLOURS, "golden", "rainbow", "grey"}
    groups = ("face-", "person", "hand", "monkey", "sky-", "place-", "body", "emotion")
    return not coloured and not concept.group.startswith(groups)
