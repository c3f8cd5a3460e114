"""Scenes and clips as layouts (`decoders.layout`): what the sketch is taught, as numbers.

Which number means which background, style, colour or motion is decided here, by the order of the words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.decoders import layout as sizes
from nextgpt_core.decoders.layout import AT_REST, THINGS, Layout
from nextgpt_core.decoders.sketch_unet import FRAMES
from nextgpt_core.pocket import colours, sources
from nextgpt_core.pocket.backgrounds import PLACES, TIMES, has_times
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.clips import FACING_LEFT
from nextgpt_core.pocket.motion import DIRECTIONS, PACES, Motion, pose, window
from nextgpt_core.pocket.scenes import PLAIN_COLOURS, Scene

PLACED = [(place, time) for place in PLACES for time in (TIMES if has_times(place) else TIMES[:1])]
_BACKGROUNDS = {look: i for i, look in enumerate([*PLACED, *((c, TIMES[0]) for c in ("white", *PLAIN_COLOURS))])}
STYLES = {style: i for i, style in enumerate(sources.STYLES)}  # the first is holdout.DEFAULT_STYLE
_COLOURS = {colour: i for i, colour in enumerate((None, *colours.COLOURS))}
MOVES = [(kind, direction, pace) for kind, ways in DIRECTIONS.items() for direction in ways for pace in PACES]
_MOTIONS = {move: i for i, move in enumerate([None, *MOVES])}
CONCEPTS = {concept.name: i for i, concept in enumerate(load_catalog())}
_FACING = {concept.name: concept.group.startswith(FACING_LEFT) for concept in load_catalog()}


@dataclass(frozen=True)
class Labels:
    """Of n scenes and clips; background, style and motion are numbers (n,), the others (n, THINGS[, 3])."""

    background: Tensor
    style: Tensor
    motion: Tensor
    present: Tensor
    concept: Tensor
    colour: Tensor
    facing: Tensor
    place: Tensor
    motions: list[Motion | None]
    frames: list[Sequence[int]]  # numbers of those that the row's latents hold

    def layout(self, rows: Tensor, contents: Tensor) -> Layout:
        """The layouts of rows (b,), with the contents (concepts, width) of `CONCEPTS`."""
        background = F.one_hot(self.background[rows], sizes.BACKGROUNDS).float()
        style = F.one_hot(self.style[rows], sizes.STYLES).float()
        return Layout(
            background,
            style,
            style[:, None].expand(-1, THINGS, -1),
            F.one_hot(self.motion[rows], sizes.MOTIONS).float(),
            self.present[rows],
            contents[self.concept[rows]],
            F.one_hot(self.colour[rows], sizes.COLOURS).float(),
            self.facing[rows],
            self.place[rows],
        )

    def looks(self) -> Tensor:
        """(CONCEPTS, STYLES): 1 where some scene shows the concept in the style."""
        found = torch.zeros(sizes.CONCEPTS, sizes.STYLES)
        rows, things = (self.present > 0).nonzero(as_tuple=True)
        found[self.concept[rows, things], self.style[rows]] = 1
        return found

    def places(self) -> Tensor:
        """(PLACES, 3): where things stand, the first once more for each that is missing. Raises ValueError."""
        found = self.place[self.present > 0].unique(dim=0)
        if len(found) > sizes.PLACES:
            raise ValueError(f"Things stand in {len(found)} places; a layout knows {sizes.PLACES}.")
        return torch.cat([found, found[:1].expand(sizes.PLACES - len(found), -1)])


def read_labels(lines: Iterable[str]) -> Labels:
    """Of shards' lines of JSON, `Scene`s and `Clip`s."""
    scenes, motions, frames = [], [], []
    for line in lines:
        values = json.loads(line)
        moving = "motion" in values
        scenes.append(Scene.from_json(json.dumps(values["scene"]) if moving else line))
        motions.append(Motion(**values["motion"]) if values.get("motion") else None)
        frames.append(values.get("frames", range(FRAMES)))
    count = len(scenes)
    background = [_BACKGROUNDS[s.background, s.time if s.background in PLACES else TIMES[0]] for s in scenes]
    moves = [None if m is None else (m.kind, m.direction, m.pace) for m in motions]
    present, concept, colour = torch.zeros(count, THINGS), *torch.zeros(2, count, THINGS, dtype=torch.long)
    facing, place = torch.zeros(count, THINGS), torch.zeros(count, THINGS, 3)
    for row, scene in enumerate(scenes):
        for thing, item in enumerate(scene.items):
            present[row, thing], facing[row, thing] = 1, _FACING[item.concept]
            concept[row, thing], colour[row, thing] = CONCEPTS[item.concept], _COLOURS[item.colour]
            place[row, thing] = torch.tensor([item.x, item.y, item.size])
    return Labels(
        torch.tensor(background),
        torch.tensor([STYLES[s.items[0].style] if s.items else 0 for s in scenes]),
        torch.tensor([_MOTIONS[move] for move in moves]),
        present, concept, colour, facing, place,
        motions, frames,
    )  # fmt: skip


def poses(motion: Motion | None, frames: int = FRAMES) -> Tensor:
    """(frames, 10), as `LayoutPainter` has them; of what was animated by hand we know none but rest."""
    if motion is None:
        return AT_REST.expand(frames, -1)
    found = []
    for time in (number / (frames - 1) for number in range(frames)):
        now, view = pose(motion, time), window(motion, time)
        angle, head = math.radians(now.angle), -1.0 if now.turned else 1.0
        thing = (now.x, now.y, math.log(max(now.scale, 1e-3)), math.cos(angle), math.sin(angle), now.opacity, head)
        found.append((*thing, view.x, view.y, math.log(view.side)))
    return torch.tensor(found)


def all_poses() -> Tensor:
    """(MOTIONS, FRAMES, 10): every motion that training has, behind what moves where no motion is said.

    A clip in which nothing moves is none, so what is only named floats a little.
    """
    known = torch.stack([poses(Motion("float")), *(poses(Motion(*move)) for move in MOVES)])
    return torch.cat([known, AT_REST.expand(sizes.MOTIONS - len(known), FRAMES, -1)])
