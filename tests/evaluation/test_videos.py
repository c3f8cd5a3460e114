"""The judges of clips say yes to what moves as it should, and no to what does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nextgpt_core.evaluation import videos
from nextgpt_core.evaluation.motion import judge_camera, judge_motion, likeness_when_turned
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.clips import Clip, render_clip
from nextgpt_core.pocket.holdout import DEFAULT_STYLE, motion_held_out
from nextgpt_core.pocket.motion import DIRECTIONS, PACES, Motion
from nextgpt_core.pocket.scenes import Item, Scene
from nextgpt_core.pocket.sources import SIZE, STYLES, Sprites
from tests.pocket.worlds import disc

THINGS = [
    (kind, way, pace)
    for kind, ways in DIRECTIONS.items()
    if kind not in ("zoom", "pan", "follow", "roll", "shake", "float")
    for way in ways
    for pace in PACES
]


@pytest.fixture(scope="module")
def world() -> tuple[Sprites, dict]:
    """A square of twelve coloured sectors for every concept in every style: one sees which way it turns."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    shades = np.random.default_rng(1).choice([0, 220], (12, 3))
    colours = shades[((np.arctan2(y, x) / np.pi + 1) * 6).astype(int) % 12]
    sprite = np.concatenate([colours, np.full((SIZE, SIZE, 1), 255)], -1).astype(np.uint8)
    sprites = Sprites(sprite[None], {(c.name, style): 0 for c in load_catalog() for style in STYLES})
    return sprites, dict.fromkeys(sprites.rows, 0.0)


def clip_of(motion: Motion, side: float = 0.42) -> Clip:
    return Clip(Scene("clip", "", (Item("dog", DEFAULT_STYLE, None, 0.5, 0.5, side),), "white"), motion)


@pytest.mark.parametrize(("kind", "way", "pace"), THINGS)
def test_motions_of_things_are_told_apart(world, kind, way, pace):
    assert judge_motion(render_clip(clip_of(Motion(kind, way, pace)), *world)) == (kind, way)


def test_what_stands_still_or_is_not_there_does_not_move(world):
    still = np.repeat(render_clip(clip_of(Motion("drive", "left")), *world)[:1], 16, 0)
    noise = np.random.default_rng(0).integers(-8, 9, still.shape)
    assert judge_motion((still + noise).clip(0, 255).astype(np.uint8)) == ("still", None)
    assert judge_motion(np.full((16, 64, 64, 3), 255, np.uint8)) == ("still", None)


def test_played_backwards_it_goes_the_other_way(world):
    for kind, there, back in (("drive", "left", "right"), ("spin", "clockwise", "counterclockwise")):
        frames = render_clip(clip_of(Motion(kind, there)), *world)
        assert judge_motion(frames[::-1]) == (kind, back)
    grown = render_clip(clip_of(Motion("grow"), 0.6), *world)
    assert judge_motion(grown[::-1]) == ("shrink", None)


def test_the_camera_is_followed_by_what_it_sees():
    y, x = np.mgrid[:300, :300]
    world = np.stack([np.sin(x / 9 + y / 31), np.cos(y / 11), np.sin((x + y) / 17)], -1) * 90 + 120
    panned = np.stack([world[20:148, 6 * i : 6 * i + 128] for i in range(16)])
    assert judge_camera(panned) == ("pan", "right")
    assert judge_camera(panned[::-1]) == ("pan", "left")
    sides = [int(128 * 2 ** (1 - i / 15)) for i in range(16)]
    rows = [np.linspace(150 - side / 2, 149 + side / 2, 128).astype(int) for side in sides]
    zoomed = np.stack([world[row][:, row] for row in rows])
    assert judge_camera(zoomed) == ("zoom", "in")
    assert judge_camera(zoomed[::-1]) == ("zoom", "out")
    assert judge_camera(np.repeat(panned[:1], 16, 0)) == ("still", None)


def test_a_ball_looks_alike_however_it_is_turned(world):
    ball = disc("red").astype(np.float32)
    ball[ball[..., 3] == 0] = 255
    assert likeness_when_turned(ball[..., :3]) > 0.95
    assert likeness_when_turned(world[0].pixels[0][..., :3]) < 0.85


class Colours:
    """Stands for EfficientNet: a picture's features are its mean colour."""

    def features(self, pictures) -> torch.Tensor:
        return torch.stack([torch.tensor(np.asarray(p.resize((1, 1))).ravel() / 255.0) for p in pictures]).float()


def test_cases_are_half_unseen_and_name_their_thing(world):
    cases = videos.draw_cases(*world, 44)
    assert len({case.clip.scene.items[0].concept for case in cases}) == len(cases) == 44
    assert sum(case.seen for case in cases) in range(20, 26)
    for case in cases:
        name, motion = case.clip.scene.items[0].concept, case.clip.motion
        assert motion_held_out(name, motion.kind) != case.seen
        assert name in case.clip.scene.caption


class Truth:
    """Stands for a clip decoder: draws what its captions were made from."""

    def __init__(self, folder, world) -> None:
        self.folder, self._world = folder, world
        (folder / "unet").mkdir()
        (folder / "unet" / "own.safetensors").write_bytes(bytes(1_500_000))
        self._clips = {case.clip.scene.caption: case.clip for case in videos.draw_cases(*world, 22)}

    def embed_text(self, captions):
        return captions

    def generate(self, captions, settings=None, seed=0):
        return render_clip(self._clips[captions[0]], *self._world)


def test_a_decoder_that_draws_the_truth_reaches_the_ceiling(world, tmp_path, monkeypatch):
    pytest.importorskip("resvg_py")
    monkeypatch.setattr(videos.images, "open_sprites", lambda data: world)
    figures = videos.evaluate_videos(Truth(tmp_path, world), Colours(), tmp_path, 22)
    motion = figures["motion"]
    assert motion["type"] == motion["ceiling_type"] > 0.9
    assert motion["direction"] == motion["ceiling_direction"] > 0.9
    assert abs(motion["unseen_drop"]) <= 0.1
    assert figures["objects"]["concepts"] == 20  # two of the captions are about two things
    assert figures["objects"]["top5"] == figures["objects"]["ceiling_top5"]
    assert figures["difference_ratio"] == figures["flicker_ratio"] == 1
    assert figures["weights_mb"] == 1.5
    assert figures["seconds_per_clip"] >= 0


def test_flicker_is_told_from_motion(world):
    real = render_clip(clip_of(Motion("rise", "up")), *world)
    noise = np.random.default_rng(0).integers(-20, 20, real.shape)
    noisy = (real + noise).clip(0, 255).astype(np.uint8)
    assert videos.flicker(noisy) / videos.flicker(real) > 2 * videos.change(noisy) / videos.change(real)
    assert videos.change(np.repeat(real[:1], 16, 0)) == videos.flicker(np.repeat(real[:1], 16, 0)) == 0


def test_things_are_named_by_their_looks():
    colours = ("red", "yellow", "green", "blue")
    pixels = np.stack([disc(colour) for colour in colours])
    names = [c.name for c in load_catalog()][: len(colours)]
    sprites = Sprites(pixels, {(name, style): i for i, name in enumerate(names) for style in STYLES})
    hues = dict.fromkeys(sprites.rows, 0.0)
    clips = [clip_of(Motion("bounce")) for _ in names]
    cases = [
        videos.Case(
            dataclasses.replace(
                clip, scene=dataclasses.replace(clip.scene, items=(Item(name, DEFAULT_STYLE, None, 0.5, 0.5, 0.4),))
            ),
            seen=True,
        )
        for name, clip in zip(names, clips, strict=True)
    ]
    real = [render_clip(case.clip, sprites, hues) for case in cases]
    made = [*real[1:], real[0]]
    figures = videos.judge_objects(cases, made, real, Colours(), sprites, hues)
    assert figures["concepts"] == len(names)
    assert figures["ceiling_top1"] == 1
    assert figures["top1"] == 0
