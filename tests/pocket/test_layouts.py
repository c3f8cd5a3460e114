"""Layouts say what scenes and clips do, and their poses are where the drawing code puts things."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch

from nextgpt_core.decoders.layout import AT_REST, BACKGROUNDS, COLOURS, MOTIONS, STYLES, LayoutPainter
from nextgpt_core.decoders.sketch_unet import FRAMES
from nextgpt_core.pocket import colours, layouts
from nextgpt_core.pocket.backgrounds import PLACES
from nextgpt_core.pocket.clips import Clip, ClipSampler, render_clip
from nextgpt_core.pocket.holdout import DEFAULT_STYLE
from nextgpt_core.pocket.motion import CAMERA, DIRECTIONS, Motion
from nextgpt_core.pocket.scenes import Item, Scene, SceneSampler
from tests.pocket.worlds import disc_sprites

SPRITES = disc_sprites()
HUES = dict.fromkeys(SPRITES.rows, 0.0)


def test_every_word_has_a_number_of_its_own_and_there_is_room_for_all():
    assert layouts.STYLES[DEFAULT_STYLE] == 0 and max(layouts.STYLES.values()) < STYLES
    assert len(colours.COLOURS) < COLOURS
    assert len(layouts._BACKGROUNDS) == max(layouts._BACKGROUNDS.values()) + 1 <= BACKGROUNDS
    assert len(layouts._MOTIONS) == max(layouts._MOTIONS.values()) + 1 <= MOTIONS
    assert {place for place, _ in layouts.PLACED} == set(PLACES)


def test_labels_say_what_is_in_scenes_and_clips():
    scenes = [SceneSampler(SPRITES, HUES, Random(1))() for _ in range(60)]
    clips = [ClipSampler(SPRITES, HUES, Random(i))() for i in range(60)]
    labels = layouts.read_labels([one.to_json() for one in (*scenes, *clips)])
    names = list(layouts.CONCEPTS)
    for row, scene in enumerate([*scenes, *(clip.scene for clip in clips)]):
        for thing, item in enumerate(scene.items):
            assert names[labels.concept[row, thing]] == item.concept
            assert labels.place[row, thing].tolist() == pytest.approx([item.x, item.y, item.size])
            assert (labels.colour[row, thing] == 0) == (item.colour is None)
        assert labels.present[row].sum() == len(scene.items)
    assert labels.motions == [None] * 60 + [clip.motion for clip in clips]
    assert not labels.motion[:60].any() and labels.motion[60:].all()
    looks = {(s.background, s.time if s.background in PLACES else "") for s in scenes}
    assert len(labels.background[:60].unique()) == len(looks)
    contents = torch.randn(len(names), 8)
    layout = labels.layout(torch.tensor([0, 70]), contents)
    assert torch.equal(layout.content[1, 0], contents[labels.concept[70, 0]])
    assert torch.equal(layout.motion.argmax(-1), labels.motion[[0, 70]])
    assert layout.colour.sum(-1).eq(1).all() and layout.background.sum(-1).eq(1).all()


def test_things_of_pictures_stand_in_few_places_those_of_clips_anywhere():
    draw_scene, draw_clip = SceneSampler(SPRITES, HUES, Random(2)), ClipSampler(SPRITES, HUES, Random(2))
    labels = layouts.read_labels([draw_scene().to_json() for _ in range(800)])
    places = labels.places()
    assert places.shape == (layouts.sizes.PLACES, 3)
    assert {*map(tuple, labels.place[labels.present > 0].tolist())} == {*map(tuple, places.tolist())}
    with pytest.raises(ValueError, match="a layout knows 32"):
        layouts.read_labels([draw_clip().to_json() for _ in range(100)]).places()


MOVES = [Motion(kind, ways[0], "normal") for kind, ways in DIRECTIONS.items() if kind != "follow"]


@torch.no_grad()
@pytest.mark.parametrize("motion", MOVES, ids=lambda m: m.kind)
def test_poses_put_a_thing_where_the_drawing_code_does(motion):
    """By where the painter sees the thing's square, against where the drawn disc is: its middle, and its area."""
    scene = Scene("clip", "", (Item("apple", layouts.sources.STYLES[0], None, 0.5, 0.55, 0.35),), "white")
    clip = Clip(scene, motion)
    frames = render_clip(clip, SPRITES, HUES)
    labels, poses = layouts.read_labels([clip.to_json()]), layouts.poses(motion)
    window, zoom = poses[:, 7:9], poses[:, 9:].exp()
    middle = (labels.place[0, 0, :2] + poses[:, :2] - window) / zoom + 0.5
    side = labels.place[0, 0, 2] * poses[:, 2:3].exp() / zoom
    samples, _ = LayoutPainter(8, 1, 8)._samples(
        torch.zeros(FRAMES, 24, 8, 8), middle, side, poses[:, 3:5], poses[:, 6:7]
    )
    within = samples.view(FRAMES, 8, 8, 4, 4, 25)[..., -1].transpose(2, 3).reshape(FRAMES, 32, 32).numpy()
    (y, x), (low_y, low_x) = np.mgrid[:256, :256] / 256 + 1 / 512, np.mgrid[:32, :32] / 32 + 1 / 64
    compared = 0
    for number in range(FRAMES):
        drawn, opacity = 1 - frames[number].min(-1) / 255.0, float(poses[number, 5])
        inside = (middle[number] > 0.2).all() and (middle[number] < 0.8).all()
        if opacity < 0.3 or not inside:
            continue
        compared += 1
        for drawn_at, seen_at in ((x, low_x), (y, low_y)):
            centre, other = (
                float((w * at).sum() / w.sum()) for w, at in ((drawn, drawn_at), (within[number], seen_at))
            )
            assert centre == pytest.approx(other, abs=0.03), number
        if motion.kind not in ("fade", "blink"):  # a disc in its square
            assert float((drawn > 0.1).mean()) == pytest.approx(float(within[number].mean()) * np.pi / 4, rel=0.1), (
                number
            )


def test_the_poses_of_all_motions_stand_behind_what_is_only_named():
    table = layouts.all_poses()
    assert table.shape == (MOTIONS, FRAMES, 10)
    assert torch.equal(table[0], layouts.poses(Motion("float"))) and not torch.equal(table[0, 0], table[0, 4])
    labels = layouts.read_labels([Clip(Scene("clip", "", (), "white"), Motion("spin", "clockwise", "fast")).to_json()])
    assert torch.equal(table[labels.motion[0]], layouts.poses(Motion("spin", "clockwise", "fast")))
    assert {kind for kind in CAMERA if table[layouts._MOTIONS[kind, DIRECTIONS[kind][0], "fast"], :, 9].abs().sum()}
    assert torch.equal(layouts.poses(None), AT_REST.expand(FRAMES, -1))
