"""Judges say yes to what is right, and no to what is wrong."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch

from nextgpt_core.evaluation import images, pictures
from nextgpt_core.pocket.backgrounds import draw_background
from nextgpt_core.pocket.colours import HUES, dominant_hue
from nextgpt_core.pocket.holdout import colour_held_out, relation_held_out, style_held_out
from nextgpt_core.pocket.scenes import render, sprite_hues
from nextgpt_core.pocket.sources import Sprites
from tests.pocket.worlds import disc, disc_sprites


@pytest.fixture(scope="module")
def world() -> tuple[Sprites, dict]:
    sprites = disc_sprites()
    return sprites, sprite_hues(sprites)


def test_objects_are_ranked_by_their_centroid():
    centroids = torch.eye(6)
    judge = pictures.ObjectJudge(centroids)
    assert judge.ranks(centroids, range(6)) == [0] * 6
    between = (centroids[:1] + 0.5 * centroids[1:2]) / 2
    assert judge.ranks(between.repeat(3, 1), [0, 1, 2])[:2] == [0, 1]
    assert judge.ranks(between.repeat(3, 1), [0, 1, 2])[2] >= 2
    assert pictures.share_within([0, 1, 4, 9], 5) == 0.75


def test_real_colours_counts_and_sides_are_right_and_others_wrong(world):
    hues = world[1]
    for case in images.colour_cases(hues, 14, Random(0)):
        assert pictures.judge_colour(render(case.scene, *world)) == case.answer
        assert colour_held_out(case.scene.items[0].concept, case.answer) is not case.seen
    for case in images.count_cases(hues, 9, Random(0)):
        picture = render(case.scene, *world).copy()
        assert pictures.judge_count(picture) == case.answer
        split_or_joined = slice(110, 146) if case.answer == 1 else slice(60, 200)
        picture[:, split_or_joined] = 255 if case.answer == 1 else 0
        assert pictures.judge_count(picture) != case.answer
    for case in images.side_cases(hues, 10, Random(0)):
        picture, (one, two, relation) = render(case.scene, *world), case.answer
        assert pictures.judge_side(picture, one, two) == relation
        assert pictures.judge_side(picture[:, ::-1], one, two) != relation
        first, second = (item.concept for item in case.scene.items)
        assert relation_held_out(first, relation, second) is not case.seen


def test_an_empty_picture_is_nothing():
    white = np.full((256, 256, 3), 255, np.uint8)
    assert pictures.judge_colour(white) is None
    assert pictures.judge_count(white) == 0
    assert pictures.judge_side(white, "red", "blue") is None


def test_backgrounds_are_told_apart():
    pytest.importorskip("resvg_py")
    places = [(place, time) for place in ("beach", "meadow", "city") for time in ("day", "night")]
    judge = pictures.BackgroundJudge({key: [draw_background(*key, v) for v in range(3)] for key in places})
    assert [judge(draw_background(*key, 9)) for key in places] == [place for place, _ in places]


def test_only_held_out_pairs_are_judged(world):
    pairs = images.object_pairs(world[0], 400)
    assert len({name for name, _ in pairs}) == 400
    assert all(style_held_out(name, style) for name, style in pairs)


def test_copies_are_found_and_seeds_compared():
    known = [disc(colour)[..., :3] for colour in HUES]
    distances = pictures.nearest_distance([known[2], 255 - known[0]], known)
    assert distances[0] < 1e-3 < 0.05 < distances[1]
    assert pictures.spread(torch.ones(4, 8)) == pytest.approx(0, abs=1e-6)
    assert pictures.spread(torch.eye(4)) == pytest.approx(1)
    assert dominant_hue(disc("green")) is not None
