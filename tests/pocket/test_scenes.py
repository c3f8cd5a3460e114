"""What training sees: never anything held out, and always what the caption says."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np
import pytest

from nextgpt_core.pocket import holdout
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.colours import COLOURS, HUES, dominant_colour, dominant_hue, name_hue, recolour
from nextgpt_core.pocket.scenes import RELATIONS, Scene, SceneSampler, render, sprite_hues
from nextgpt_core.pocket.sources import STYLES
from tests.pocket.worlds import disc, disc_sprites


@pytest.fixture(scope="module")
def world():
    sprites = disc_sprites()
    return sprites, sprite_hues(sprites)


@pytest.fixture(scope="module")
def scenes(world):
    sampler = SceneSampler(*world, Random(3))
    return [sampler() for _ in range(3000)]


def test_a_tenth_is_held_out():
    names = [c.name for c in load_catalog()]
    styles = np.mean([holdout.style_held_out(n, s) for n in names for s in STYLES])
    colours = np.mean([holdout.colour_held_out(n, c) for n in names for c in COLOURS])
    relations = np.mean([holdout.relation_held_out(a, r, b) for a, b in pairwise(names) for r in RELATIONS])
    assert all(abs(share - 0.1) < 0.015 for share in (styles, colours, relations))


def test_a_relation_is_held_out_from_both_ends():
    for first, second in zip("abcdefghijklmnopqrst", "ABCDEFGHIJKLMNOPQRST", strict=True):
        assert holdout.relation_held_out(first, "left of", second) == holdout.relation_held_out(
            second, "right of", first
        )
        assert holdout.relation_held_out(first, "and", second) == holdout.relation_held_out(second, "and", first)


def test_scenes_hold_nothing_held_out(scenes):
    names = {c.name for c in load_catalog()}
    for scene in scenes:
        for item in scene.items:
            assert item.concept in names
            assert not holdout.style_held_out(item.concept, item.style)
            assert item.colour is None or not holdout.colour_held_out(item.concept, item.colour)
        if scene.relation:
            first, second = scene.items
            assert not holdout.relation_held_out(first.concept, scene.relation, second.concept)


def test_captions_say_what_is_there(scenes):
    kinds = {scene.kind for scene in scenes}
    assert kinds == {"single", "place", "count", "pair", "trio", "empty"}
    for scene in scenes:
        for colour in filter(None, {item.colour for item in scene.items}):
            assert colour in scene.caption
        if scene.kind == "pair" and scene.relation in ("left of", "right of"):
            first, second = scene.items
            assert (first.x < second.x) == (scene.relation == "left of")
        if scene.kind == "pair" and scene.relation in ("above", "on"):
            assert scene.items[0].y < scene.items[1].y


def test_scenes_survive_json_and_follow_from_the_seed(world, scenes):
    assert all(Scene.from_json(scene.to_json()) == scene for scene in scenes[:50])
    again = SceneSampler(*world, Random(3))
    assert [again() for _ in range(20)] == scenes[:20]


def test_render_puts_things_where_the_scene_says(world, scenes):
    scene = next(s for s in scenes if s.kind == "pair" and s.background == "white" and s.relation == "left of")
    picture = render(scene, *world)
    assert picture.shape == (256, 256, 3)
    columns = np.nonzero((picture < 250).any(-1))[1] / 256
    for item in scene.items:
        assert abs(columns[np.abs(columns - item.x) < item.size / 2].mean() - item.x) < 0.03


@pytest.mark.parametrize("colour", COLOURS)
def test_a_recoloured_sprite_has_that_colour(colour):
    sprite = disc("red")
    changed = recolour(sprite, colour, dominant_hue(sprite))
    assert dominant_colour(changed[..., :3], changed[..., 3] > 0) == colour
    assert (changed[..., 3] == sprite[..., 3]).all()


def test_hues_have_their_own_names():
    assert {name_hue(hue) for hue in HUES.values()} == set(HUES)
    grey = disc("red").copy()
    grey[..., :3] = 128
    assert dominant_hue(grey) is None
