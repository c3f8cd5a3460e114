"""Clips: a scene and a motion, made together with the caption that says so, as 16 frames at 8 frames a second.

Objects, places, colours and what is held out are those of pictures (`scenes`); how things move is arithmetic
(`motion`); the words are `motion_phrases`. Hand-made animations are the business of `animations`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random

import numpy as np
from PIL import Image

from nextgpt_core.pocket import motion_phrases, phrases
from nextgpt_core.pocket.backgrounds import FLOATING, PLACES, draw_background
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.colours import recolour
from nextgpt_core.pocket.holdout import DEFAULT_STYLE, motion_held_out
from nextgpt_core.pocket.motion import CAMERA, DIRECTIONS, PACES, Motion, Pose, Window, pose, window
from nextgpt_core.pocket.scenes import PLAIN_COLOURS, SIZE, Item, Scene, SceneSampler
from nextgpt_core.pocket.sources import Sprites

FRAMES, FPS = 16, 8
_WORLD = 512  # pixels a side of what a moving camera looks at
_PLACED = 0.4  # share of things that move somewhere else than in front of white
_UNSAID = 0.25  # share of captions that leave the direction open
_RARE = ("roll", "shake", "float")
FACING_LEFT = ("transport-ground", "transport-water", "animal-", "person-activity", "person-sport")


@dataclass(frozen=True)
class Clip:
    """`scene` says what is where in the middle of the motion; `scene.caption` is the clip's."""

    scene: Scene
    motion: Motion

    def to_json(self, frames: Sequence[int] | None = None) -> str:
        """With the numbers of its `frames` where not all of them are kept beside it."""
        values = {"scene": asdict(self.scene), "motion": asdict(self.motion)}
        return json.dumps(values | ({"frames": frames} if frames else {}), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Clip:
        values = json.loads(line)
        return cls(Scene.from_json(json.dumps(values["scene"])), Motion(**values["motion"]))


class ClipSampler(SceneSampler):
    """Draws clips that hold nothing that is held out."""

    def __call__(self, concept: str | None = None) -> Clip:
        """A clip of `concept`, or of any."""
        random = self._random
        kind = random.choices(list(DIRECTIONS), [0.4 if kind in _RARE else 1.0 for kind in DIRECTIONS])[0]
        concept = self._movable(kind) if concept is None or motion_held_out(concept, kind) else concept
        limit = 1.0 if kind in CAMERA else 1.12
        direction, pace = random.choice(DIRECTIONS[kind]), random.choices(PACES, (0.2, 0.6, 0.2))[0]
        motion = Motion(kind, direction, pace, round(random.uniform(0.86, limit), 3))
        return self._following(concept, motion) if kind == "follow" else self._moving(concept, motion)

    def _moving(self, concept: str, motion: Motion) -> Clip:
        random, style = self._random, self._style(concept)
        colour, said = self._colour(concept, style, 0.15)
        where, time, variant = self._where(motion)
        x, y, side = place_item(motion.kind, where, random)
        noun = phrases.name(self._concepts[concept], random)
        thing = phrases.thing(noun, said, None, 1, random)
        caption = self._caption(thing, motion, where, time)
        caption = phrases.whole(caption, noun, style, False, random) if style != DEFAULT_STYLE else caption
        item = Item(concept, style, colour, x, y, side)
        return Clip(Scene("clip", caption, (item,), where, time, variant), motion)

    def _following(self, concept: str, motion: Motion) -> Clip:
        random, second = self._random, self._movable("follow")
        while second == concept:
            second = self._movable("follow")
        colours = [self._colour(name, DEFAULT_STYLE, 0.15) for name in (concept, second)]
        things = [
            phrases.thing(phrases.name(self._concepts[name], random), said, None, 1, random)
            for name, (_, said) in zip((concept, second), colours, strict=True)
        ]
        where, time, variant = self._where(motion)
        caption = self._caption(things[0], motion, where, time, things[1])
        items = follow_items((concept, second), (colours[0][0], colours[1][0]), motion, where, random)
        return Clip(Scene("clip", caption, items, where, time, variant), motion)

    def _caption(self, thing: str, motion: Motion, where: str, time: str, other: str = "") -> str:
        random = self._random
        place = "" if where == "white" else phrases.place(where, time, random)
        say = motion_phrases.undirected if random.random() < _UNSAID else motion_phrases.moving
        return say(thing, motion, place, random, other)

    def _where(self, motion: Motion) -> tuple[str, str, int]:
        placed = motion.kind in CAMERA or self._random.random() < _PLACED
        return self._place() if placed else ("white", "day", 0)

    def _movable(self, kind: str) -> str:
        while motion_held_out(concept := self._concept(), kind):
            pass
        return concept


def place_item(kind: str, where: str, random: Random) -> tuple[float, float, float]:
    """(x, y, size) of one thing that moves so: room to move, and ground under it where there is some."""
    grounded = where not in ("white", *FLOATING)
    if kind in ("drive", "return", "roll", "bounce", "rise", "fall", "float"):
        side = random.uniform(0.36, 0.5)
        x = 0.5 + random.uniform(-0.12, 0.12) * (kind in ("rise", "fall", "bounce", "float"))
        along = kind in ("drive", "return", "roll")
        y = random.uniform(0.82, 0.92) - side / 2 if grounded and along else 0.5 + random.uniform(-0.1, 0.1) * along
        return x, y, side
    if kind in CAMERA:
        return random.uniform(0.42, 0.58), random.uniform(0.5, 0.62), random.uniform(0.3, 0.42)
    return random.uniform(0.46, 0.54), random.uniform(0.46, 0.56), random.uniform(0.5, 0.7)


def follow_items(
    names: tuple[str, str], colours: tuple[str | None, str | None], motion: Motion, where: str, random: Random
) -> tuple[Item, ...]:
    """The first behind the second, in the direction they go."""
    side, apart = random.uniform(0.3, 0.36), random.uniform(0.19, 0.21)
    y = 0.5 if where in ("white", *FLOATING) else random.uniform(0.84, 0.92) - side / 2
    back = -apart if motion.direction == "right" else apart
    places = ((0.5 + back, names[0], colours[0]), (0.5 - back, names[1], colours[1]))
    return tuple(Item(name, DEFAULT_STYLE, colour, x, y, side) for x, name, colour in places)


def render_clip(
    clip: Clip,
    sprites: Sprites,
    hues: dict[tuple[str, str], float | None],
    frames: int = FRAMES,
    shown: Sequence[int] | None = None,
) -> np.ndarray:
    """The frames, (frames, 256, 256, 3) uint8, or of them those whose numbers are `shown`."""
    motion, painters = clip.motion, [_Painter(item, sprites, hues) for item in clip.scene.items]
    times = [number / (frames - 1) for number in (range(frames) if shown is None else shown)]
    if motion.kind in CAMERA:  # the world stays as it is, and the window moves
        world = _painted(_background(clip.scene, _WORLD), painters, Pose())
        pictures = [_seen(world, window(motion, time)) for time in times]
    else:
        background = _background(clip.scene, SIZE)
        pictures = [_painted(background.copy(), painters, pose(motion, time)) for time in times]
    return np.stack([np.asarray(picture) for picture in pictures])


def _painted(canvas: Image.Image, painters: Sequence[_Painter], now: Pose) -> Image.Image:
    for paint in painters:
        paint(canvas, now)
    return canvas


def _background(scene: Scene, size: int) -> Image.Image:
    if scene.background in PLACES:
        drawn = Image.fromarray(draw_background(scene.background, scene.time, scene.variant))
        return drawn.resize((size, size), Image.Resampling.BICUBIC) if size != SIZE else drawn
    return Image.new("RGB", (size, size), PLAIN_COLOURS.get(scene.background, scene.background))


class _Painter:
    """Paints one item into frame after frame; looks that come again are not drawn again."""

    def __init__(self, item: Item, sprites: Sprites, hues: dict[tuple[str, str], float | None]) -> None:
        self._item, self._looks = item, {}
        pixels, hue = sprites.pixels[sprites.rows[item.concept, item.style]], hues[item.concept, item.style]
        self._sprite = Image.fromarray(
            pixels if item.colour is None or hue is None else recolour(pixels, item.colour, hue)
        )
        self._faces_left = _GROUPS[item.concept].startswith(FACING_LEFT)

    def __call__(self, canvas: Image.Image, now: Pose) -> None:
        side = round(self._item.size * now.scale * canvas.width)
        if now.opacity <= 0 or side < 1:
            return
        key = side, now.turned and self._faces_left, now.angle, now.opacity
        if key not in self._looks:
            self._looks[key] = self._look(*key)
        shown = self._looks[key]
        x, y = (self._item.x + now.x) * canvas.width, (self._item.y + now.y) * canvas.height
        canvas.paste(shown, (round(x - shown.width / 2), round(y - shown.height / 2)), shown)

    def _look(self, side: int, mirrored: bool, angle: float, opacity: float) -> Image.Image:
        shown = self._sprite.resize((side, side), Image.Resampling.BILINEAR)
        if mirrored:
            shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if angle:
            shown = shown.rotate(-angle, Image.Resampling.BILINEAR, expand=True)
        if opacity < 1:
            shown.putalpha(shown.getchannel("A").point(lambda alpha: round(alpha * opacity)))
        return shown


def _seen(world: Image.Image, view: Window) -> Image.Image:
    left, top = ((middle - view.side / 2) * world.width for middle in (view.x, view.y))
    side = view.side * world.width
    box = (max(0.0, left), max(0.0, top), min(world.width, left + side), min(world.height, top + side))
    return world.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)


_GROUPS = {concept.name: concept.group for concept in load_catalog()}
