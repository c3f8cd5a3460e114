"""What the sketch's brush does at one place it does at all, and what a pose says is what is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nextgpt_core.decoders.layout import (
    AT_REST,
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    PLACES,
    STYLES,
    THINGS,
    Layout,
    LayoutPainter,
    LayoutReader,
)
from nextgpt_core.decoders.sketch_unet import FRAMES, Sketch

WIDTH, CHANNELS, SIZE = 16, 3, 8


def layout(*places: tuple[float, float, float], count: int = 1) -> Layout:
    """Of things at these places, all random and alike in each of `count` pictures."""
    torch.manual_seed(3)
    content = torch.randn(1, THINGS, WIDTH).expand(count, -1, -1)
    present, place = torch.zeros(count, THINGS), torch.full((count, THINGS, 3), 0.5)
    for thing, spot in enumerate(places):
        present[:, thing], place[:, thing] = 1, torch.tensor(spot)
    background, style, motion = (torch.eye(size)[:1].expand(count, -1) for size in (BACKGROUNDS, STYLES, MOTIONS))
    shape, colour = (torch.eye(size)[1].expand(count, THINGS, -1) for size in (STYLES, COLOURS))
    return Layout(background, style, shape, motion, present, content, colour, torch.ones(count, THINGS), place)


@pytest.fixture(scope="module")
def painter() -> LayoutPainter:
    """Random, in front of one plain background."""
    torch.manual_seed(0)
    painter = LayoutPainter(WIDTH, CHANNELS, SIZE).requires_grad_(False)
    torch.nn.init.constant_(painter.ground.weight, 0.3)
    return painter


def test_a_thing_one_cell_further_is_painted_one_cell_further(painter):
    here, there = (painter(layout((x, 0.5, 0.3)))[0] for x in (0.4, 0.4 + 1 / SIZE))
    torch.testing.assert_close(there[..., 1:], here[..., :-1], atol=1e-5, rtol=1e-4)
    assert (here - 0.3).abs().max() > 0.01


def test_what_is_far_from_a_thing_stays_as_it_is(painter):
    painted, _ = painter(layout((0.25, 0.25, 0.25)))
    assert torch.equal(painted[..., 6:, :], torch.full_like(painted[..., 6:, :], 0.3))
    assert torch.equal(painted[..., 6:], torch.full_like(painted[..., 6:], 0.3))


def test_things_are_painted_one_over_the_other_and_absent_ones_not_at_all(painter):
    both, _ = painter(layout((0.25, 0.5, 0.3), (0.75, 0.5, 0.3)))
    one, _ = painter(layout((0.25, 0.5, 0.3)))
    assert torch.equal(both[..., :3], one[..., :3]) and not torch.equal(both[..., 5:], one[..., 5:])
    none, _ = painter(layout())
    assert torch.equal(none, torch.full_like(none, 0.3))


def pose(**changes: float) -> torch.Tensor:
    names = ("x", "y", "side", "cosine", "sine", "opacity", "head", "window_x", "window_y", "window_side")
    found = AT_REST.clone()
    for name, value in changes.items():
        found[names.index(name)] = value
    return found


def test_poses_move_and_scale_things_and_make_frames_of_them(painter):
    there = layout((0.3, 0.6, 0.4))
    poses = torch.stack([AT_REST, pose(x=0.2, y=-0.1), pose(side=-0.5), pose(opacity=0.0)])
    frames, _ = painter(there, poses[None])
    side = 0.4 * torch.tensor(-0.5).exp().item()
    alone = [painter(layout(place))[0] for place in ((0.3, 0.6, 0.4), (0.5, 0.5, 0.4), (0.3, 0.6, side))]
    expected = torch.cat([*alone, torch.full_like(alone[0], 0.3)])
    torch.testing.assert_close(frames, expected, atol=1e-5, rtol=1e-4)
    both, _ = painter(layout((0.3, 0.6, 0.4), count=2), poses[None].expand(2, -1, -1))
    torch.testing.assert_close(both, expected.repeat(2, 1, 1, 1), atol=1e-5, rtol=1e-4)


def test_a_camera_that_comes_nearer_sees_things_larger(painter):
    near = pose(window_x=0.6, window_y=0.5, window_side=torch.tensor(0.5).log().item())
    seen, _ = painter(layout((0.7, 0.4, 0.2)), near[None, None])
    torch.testing.assert_close(seen, painter(layout((0.7, 0.3, 0.4)))[0], atol=1e-5, rtol=1e-4)


def test_a_camera_sees_its_part_of_the_background(painter):
    slope = LayoutPainter(WIDTH, 1, SIZE)
    line = (torch.arange(SIZE) + 0.5) / SIZE
    slope.ground.weight.data = line.repeat(SIZE)[:, None].expand(-1, BACKGROUNDS).contiguous()
    seen, _ = slope(layout(), pose(window_x=0.4, window_side=torch.tensor(0.5).log().item())[None, None])
    torch.testing.assert_close(seen[0, 0, 0], 0.15 + line / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, lambda picture: picture),
        ({"cosine": 0.0, "sine": 1.0}, lambda picture: picture.rot90(-1, (0, 1))),  # clockwise, as one looks at it
        ({"head": -1.0}, lambda picture: picture.flip(1)),
    ],
    ids=["at rest", "a quarter turn", "mirrored"],
)
def test_the_brush_sees_the_map_turned_as_the_thing_is(painter, changes, expected):
    now, place = pose(**changes)[None], torch.tensor([[0.5, 0.5, 1.0]])
    look = torch.randn(1, 24, 8, 8).cumsum(2).cumsum(3)
    samples, near = painter._samples(look, place[:, :2], place[:, 2:], now[:, 3:5], now[:, 6:7])
    assert near.min() == 1
    picture = samples.view(SIZE, SIZE, 4, 4, 25).transpose(1, 2).flatten(0, 1).flatten(1, 2)  # (32, 32, features + 1)
    upright, _ = painter._samples(look, place[:, :2], place[:, 2:], AT_REST[None, 3:5], AT_REST[None, 6:7])
    upright = upright.view(SIZE, SIZE, 4, 4, 25).transpose(1, 2).flatten(0, 1).flatten(1, 2)
    torch.testing.assert_close(picture, expected(upright), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_things_that_do_not_look_to_the_left_are_never_mirrored(painter):
    turned = pose(head=-1.0)[None, None]
    facing = layout((0.5, 0.5, 0.6))
    away = replace(facing, facing=torch.zeros(1, THINGS))
    assert torch.equal(painter(away, turned)[0], painter(away)[0])
    assert not torch.allclose(painter(facing, turned)[0], painter(facing)[0])


@torch.no_grad()
def test_what_is_read_is_sure_and_what_is_no_word_is_not_read():
    reader = LayoutReader(WIDTH).eval()
    condition = torch.randn(2, 6, WIDTH)
    condition[:, 4:] = 0
    read = reader(condition)
    for name, value in vars(reader(condition[:, :4])).items():
        torch.testing.assert_close(getattr(read, name), value)
    for shares in (read.background, read.style, read.shape, read.motion, read.colour):
        assert shares.amax(-1).eq(1).all() and shares.sum(-1).eq(1).all()
    assert {*read.present.unique().tolist(), *read.facing.unique().tolist()} <= {0.0, 1.0}
    torch.testing.assert_close(read.content.square().mean(-1), torch.ones(2, THINGS))
    assert all(value.isfinite().all() for value in vars(reader(torch.zeros(1, 6, WIDTH))).values())


@torch.no_grad()
def test_what_rests_stands_in_a_known_place_and_what_moves_where_it_is_read():
    reader, condition = LayoutReader(WIDTH).eval(), torch.randn(4, 6, WIDTH)
    logits = reader(condition, raw=True).place
    reader.places.copy_(logits[0, 0].repeat(PLACES) + 0.5)
    reader.places[3:6] = logits[0, 0] + 0.01
    for motion, expected in ((0, reader.places[3:6].expand(4, THINGS, -1)), (1, logits)):
        reader.scene.bias[-MOTIONS:] = 1e3 * torch.eye(MOTIONS)[motion]
        torch.testing.assert_close(reader(condition).place, expected)


@torch.no_grad()
def test_clips_of_other_lengths_take_poses_in_between():
    sketch = Sketch(WIDTH, CHANNELS, SIZE)
    moving = torch.eye(MOTIONS)[[5]]
    sketch.poses.view(MOTIONS, FRAMES, -1)[5] = torch.rand(FRAMES, 10)
    exact, fine = (sketch._poses(moving, frames) for frames in (FRAMES, 2 * FRAMES - 1))
    assert exact.shape == (1, FRAMES, 10) and fine.shape == (1, 2 * FRAMES - 1, 10)
    torch.testing.assert_close(fine[:, ::2], exact)
    torch.testing.assert_close(fine[:, 1::2], (exact[:, 1:] + exact[:, :-1]) / 2)


@torch.no_grad()
def test_contents_are_recalled_rather_than_read():
    reader = LayoutReader(WIDTH).eval()
    reader.concepts.zero_()[:3] = torch.eye(WIDTH)[:3] * 4
    reader.content.weight.zero_()
    reader.content.bias.copy_(torch.eye(WIDTH)[1] + 0.3 * torch.eye(WIDTH)[5])
    found = reader(torch.randn(1, 4, WIDTH)).content[0, 0]
    torch.testing.assert_close(found, torch.eye(WIDTH)[1] * 4, atol=1e-3, rtol=0.0)


@torch.no_grad()
@pytest.mark.parametrize("frames", [None, FRAMES])
def test_a_sketch_in_half_precision_is_the_same_but_for_rounding(frames):
    torch.manual_seed(1)
    sketch, condition = Sketch(WIDTH, CHANNELS, SIZE).eval(), torch.randn(2, 4, WIDTH)
    exact = sketch(condition, frames)
    rounded = sketch.bfloat16()(condition.bfloat16(), frames)
    for one, other in zip(exact, rounded, strict=True):
        torch.testing.assert_close(one, other.float(), atol=0.1, rtol=0.05)


@torch.no_grad()
@pytest.mark.parametrize("drawn, shape", [(True, 2), (False, 0)])
def test_a_thing_never_shown_in_a_style_has_the_shapes_of_the_usual_one(drawn, shape):
    reader, condition = LayoutReader(WIDTH).eval(), torch.randn(2, 6, WIDTH)
    reader.scene.bias[BACKGROUNDS : BACKGROUNDS + STYLES] = 1e3 * torch.eye(STYLES)[2]
    reader.drawn[:, 2] = drawn
    read = reader(condition)
    assert torch.equal(read.style, torch.eye(STYLES)[[2, 2]])
    assert torch.equal(read.shape, torch.eye(STYLES)[shape].expand(2, THINGS, -1))
