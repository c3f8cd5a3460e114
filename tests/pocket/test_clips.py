"""Clips say what moves in them, hold nothing held out, and are read back as they were written."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nextgpt_core.pocket import animations, clip_data, motion_phrases
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.clips import FRAMES, Clip, ClipSampler, render_clip
from nextgpt_core.pocket.colours import dominant_hue
from nextgpt_core.pocket.holdout import motion_held_out
from nextgpt_core.pocket.layouts import poses
from nextgpt_core.pocket.motion import CAMERA, DIRECTIONS, PACES, Motion, pose, window
from nextgpt_core.pocket.scenes import Item, Scene
from nextgpt_core.pocket.shards import Shards, write_shard
from nextgpt_core.pocket.sketch_command import open_drawn
from nextgpt_core.pocket.sketch_task import draw_frames
from tests.pocket.test_training import tiny_autoencoder
from tests.pocket.worlds import disc_sprites

MOTIONS = [Motion(kind, way, pace) for kind, ways in DIRECTIONS.items() for way in ways for pace in PACES]


@pytest.fixture(scope="module")
def world():
    sprites = disc_sprites()
    return sprites, dict.fromkeys(sprites.rows, dominant_hue(sprites.pixels[0]))


@pytest.fixture(scope="module")
def clips(world):
    sampler = ClipSampler(*world, Random(2))
    return [sampler() for _ in range(2500)]


def test_a_tenth_of_motions_is_held_out_and_never_drawn(clips):
    shares = [motion_held_out(c.name, kind) for c in load_catalog() for kind in DIRECTIONS]
    assert abs(np.mean(shares) - 0.1) < 0.01
    assert {clip.motion.kind for clip in clips} == set(DIRECTIONS)
    assert not any(motion_held_out(item.concept, clip.motion.kind) for clip in clips for item in clip.scene.items)


def test_a_concept_that_is_asked_for_moves_as_it_may(world):
    sampler, name = ClipSampler(*world, Random(0)), load_catalog()[300].name
    drawn = [sampler(name) for _ in range(60)]
    assert sum(clip.scene.items[0].concept == name for clip in drawn) > 45


def test_captions_say_the_way(clips):
    told = {"left", "right"}
    for clip in clips:
        words, way = clip.scene.caption.replace(",", "").split(), clip.motion.direction
        named = told & set(" ".join(item.concept for item in clip.scene.items).split())  # a left arrow, say
        if clip.motion.kind in ("drive", "follow") and told & set(words) and not named:
            assert [word for word in words if word in told][-1] == way
        if clip.motion.kind == "zoom":
            assert way in words
        if clip.motion.pace == "slow":
            assert {"slowly", "gently"} & set(words)
    assert len({clip.scene.caption for clip in clips}) > 2300


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda m: f"{m.kind}-{m.direction}-{m.pace}")
def test_motions_do_what_their_names_say(motion):
    poses, views = ([f(motion, i / 15) for i in range(16)] for f in (pose, window))
    first, last = poses[0], poses[-1]
    sign = -1 if motion.direction in ("left", "up", "counterclockwise") else 1
    if motion.kind in CAMERA:
        assert first == last
        assert all(view.x - view.side / 2 > -1e-6 and view.x + view.side / 2 < 1 + 1e-6 for view in views)
        if motion.kind == "zoom":
            assert (views[-1].side < views[0].side) == (motion.direction == "in")
        else:
            assert (views[-1].x - views[0].x) * sign > 0.1
        return
    assert {(view.x, view.y, view.side) for view in views} == {(0.5, 0.5, 1.0)}
    if motion.kind in ("rise", "fall"):
        assert (last.y - first.y) * sign > 0.2
    elif motion.kind in ("drive", "follow", "roll"):
        assert (last.x - first.x) * sign > 0.15
    elif motion.kind in ("return", "bounce", "swing"):
        assert abs(last.x - first.x) + abs(last.y - first.y) < 0.1
        assert max(np.ptp([p.x for p in poses]), np.ptp([p.y for p in poses])) > 0.25
        if motion.kind == "return":
            assert (poses[3].x - first.x) * sign > 0.05
    elif motion.kind == "spin":
        assert (last.angle - first.angle) * sign > 150
    elif motion.kind in ("grow", "shrink"):
        assert (last.scale > 1.5 * first.scale) if motion.kind == "grow" else (first.scale > 1.5 * last.scale)
    elif motion.kind == "fade":
        assert abs(last.opacity - first.opacity) > 0.7
    elif motion.kind == "blink":
        assert np.abs(np.diff([p.opacity for p in poses])).sum() >= 3
    else:
        assert len(set(poses)) > 1


def test_pictures_follow_the_motion(world):
    scene = Scene("clip", "", (Item("dog", "noto", None, 0.5, 0.5, 0.3),), "white")
    frames = render_clip(Clip(scene, Motion("drive", "left")), *world)
    assert frames.shape == (FRAMES, 256, 256, 3)
    middles = [np.nonzero((frame < 250).any(-1))[1].mean() / 256 for frame in frames]
    expected = [0.5 + pose(Motion("drive", "left"), i / 15).x for i in range(16)]
    np.testing.assert_allclose(middles, expected, atol=0.01)
    faded = render_clip(Clip(scene, Motion("fade", "out")), *world)
    assert (faded[-1] == 255).all()
    assert (faded[0] == faded[0][:1, :1]).all(-1).mean() < 0.96


def test_the_camera_moves_the_world(world):
    pytest.importorskip("resvg_py")
    clip = Clip(Scene("clip", "", (Item("dog", "noto", None, 0.5, 0.5, 0.3),), "beach"), Motion("pan", "right"))
    frames = render_clip(clip, *world).astype(int)
    shift = round(0.28 / 0.6 / 15 * 256)
    assert np.abs(frames[0][:, shift:] - frames[1][:, :-shift]).mean() < 0.5 * np.abs(frames[0] - frames[1]).mean()


def test_plain_captions_are_the_plainest():
    assert motion_phrases.plain("a rocket", Motion("rise", "up", "slow")) == "a rocket flying up slowly"
    assert motion_phrases.plain("a dog", Motion("spin", "clockwise")) == "a dog spinning clockwise"
    told = motion_phrases.plain("a cat", Motion("follow", "left", "fast"), "on a beach", "a dog")
    assert told == "a cat following a dog to the left quickly on a beach"
    assert (
        motion_phrases.plain("a car", Motion("zoom", "out"), "in a city") == "the camera zooms out from a car in a city"
    )


def test_clips_survive_json_and_shards(world, clips, tmp_path):
    assert all(Clip.from_json(clip.to_json()) == clip for clip in clips[:40])
    still = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), np.uint8)
    latents = clip_data.encode_clips(tiny_autoencoder(), still, batch=1)
    assert latents.shape == (2, 8, 3, 2, 2)
    alone = clip_data.encode_pictures(tiny_autoencoder(), still[1])
    np.testing.assert_allclose(latents[1].swapaxes(0, 1), alone, atol=0.02)
    write_shard(tmp_path / "0000", latents, torch.ones(2, 3, 4), [clip.to_json() for clip in clips[:2]])
    read, _ = Shards(tmp_path, 3).read(torch.tensor([1]))
    np.testing.assert_array_equal(read[0].numpy(), latents[1].astype(np.float32))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Two emoji, a grinning face that moves and a still one; as `npm pack` leaves them."""
    assets = tmp_path / "package" / "assets"
    assets.mkdir(parents=True)
    frames = [Image.new("RGBA", (32, 32), (255, 10 * i, 0, 255)) for i in range(24)]
    emoji = [c.emoji for c in load_catalog() if not motion_held_out(c.name, "animated")]
    frames[0].save(assets / f"{emoji[0]}.webp", save_all=True, append_images=frames[1:], duration=42, lossless=True)
    frames[0].save(assets / f"{emoji[1]}.webp")
    monkeypatch.setattr(animations, "fetch_package", lambda spec, folder: tmp_path / "package")
    return tmp_path


def test_animations_are_read_over_their_whole_loop(package):
    found = animations.find_animations(package)
    assert len(found) == 1
    frames = animations.read_animation(next(iter(found.values())))
    assert frames.shape == (FRAMES, 256, 256, 3)
    greens = frames[:, 128, 128, 1].astype(int)
    np.testing.assert_allclose(greens, [10 * (i * 24 // FRAMES) for i in range(FRAMES)], atol=2)
    assert (frames[:, 0, 0] == 255).all()
    told = dict(animations.captions(Random(0)))
    assert next(iter(found)) in told
    assert not {"spinning", "bouncing"} & set(" ".join(told.values()).split())


def test_sheets_hold_a_row_a_clip_and_move(tmp_path):
    clips = [np.full((16, 64, 64, 3), shade, np.uint8) for shade in (10, 90, 200, 250)]
    for clip in clips:
        clip[8:] //= 2
    clip_data.film_strips(clips, tmp_path / "sheet.png", shown=4, side=32)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (4 * 32, 4 * 32, 3)
    assert sheet[40, 0, 0] == 90
    assert sheet[40, 127, 0] == 45
    clip_data.moving_sheet(clips, 2, tmp_path / "sheet.webp", side=32)
    with Image.open(tmp_path / "sheet.webp") as moving:
        assert moving.size == (64, 64)
        assert moving.n_frames > 1


def test_a_frame_that_is_kept_is_the_one_that_its_number_says(world, clips):
    for clip in clips[:12]:
        whole, some = render_clip(clip, *world), render_clip(clip, *world, shown=(2, 9, 15))
        np.testing.assert_array_equal(some, whole[[2, 9, 15]])


def test_three_frames_of_many_clips_are_kept_with_their_poses(world, tmp_path, monkeypatch):
    """The latents of a frame tell its number here, so that a pose of another frame would show."""
    monkeypatch.setattr(clip_data, "SHARD", 2)
    monkeypatch.setattr(clip_data, "open_sprites", lambda _: world)
    monkeypatch.setattr(clip_data, "ProcessPoolExecutor", InOneProcess)
    monkeypatch.setattr(clip_data, "render_clip", lambda clip, *_, shown: np.array(shown)[:, None])
    monkeypatch.setattr(
        clip_data,
        "encode_pictures",
        lambda _, numbers: np.broadcast_to(numbers[:, :, None, None], (len(numbers), 4, 2, 2)),
    )
    condition = SimpleNamespace(embed_all=lambda captions: torch.ones(len(captions), 3, 5))
    root = clip_data.build_frame_shards(tmp_path, None, condition, 2, processes=1)
    kept = open_drawn(root, 3)
    assert len(kept.shards) == 40 and all(len(set(frames)) == 3 for frames in kept.labels.frames)
    rows = torch.arange(40)
    latents, told = draw_frames(kept, rows)
    for row, latent, now in zip(rows.tolist(), latents, told, strict=True):
        number = int(latent[0, 0, 0])
        assert (latent == number).all() and number in kept.labels.frames[row]
        torch.testing.assert_close(now[0], poses(kept.labels.motions[row])[number])
    before = [(path, path.stat().st_mtime_ns) for path in sorted(root.rglob("*.npy"))]
    clip_data.build_frame_shards(tmp_path, None, condition, 2, processes=1)
    assert before == [(path, path.stat().st_mtime_ns) for path in sorted(root.rglob("*.npy"))]


class InOneProcess:
    """In a pool's place: what a test has put in for drawing is not to be had in another process."""

    def __init__(self, _: int) -> None:
        pass

    def __enter__(self) -> InOneProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, draw, *items, chunksize):
        return map(draw, *items)
