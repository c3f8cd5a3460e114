"""The sketch learns to read captions and to paint what they say, from rows that the denoiser never gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nextgpt_core.decoders.folder import load_component
from nextgpt_core.decoders.sketch_unet import Sketch
from nextgpt_core.pocket import clip_command, commands, layouts, sketch_command
from nextgpt_core.pocket.clips import Clip, ClipSampler, render_clip
from nextgpt_core.pocket.colours import dominant_hue
from nextgpt_core.pocket.denoiser_task import DenoiserTask, new_unet
from nextgpt_core.pocket.holdout import DEFAULT_STYLE
from nextgpt_core.pocket.layouts import CONCEPTS, all_poses, read_labels
from nextgpt_core.pocket.motion import Motion
from nextgpt_core.pocket.scenes import Item, Scene, SceneSampler, render
from nextgpt_core.pocket.shards import Shards, write_shard
from nextgpt_core.pocket.sketch_task import Drawn, PainterTask, ReaderTask, SketchErrorTask, layout_losses
from nextgpt_core.pocket.training import Plan, train
from nextgpt_core.pocket.video_task import FrameTask
from tests.pocket.test_training import tiny_autoencoder
from tests.pocket.test_video_task import LENGTH, tiny_sketching_unet
from tests.pocket.worlds import disc_sprites

WIDTH, CHANNELS, SIZE = 16, 3, 4
CONTENTS = torch.randn(len(CONCEPTS), WIDTH, generator=torch.Generator().manual_seed(0))
QUICK = Plan(60, 20, 3e-3, warmup=5, average=0.9, precision="no")


def one(concept: str, x: float = 0.5, style: str = "noto") -> Scene:
    return Scene("single", "", (Item(concept, style, None, x, 0.5, 0.4),), "white")


def drawn(
    folder: Path, scenes: Sequence[Scene | Clip], conditions: torch.Tensor, latents: torch.Tensor | None
) -> Drawn:
    lines = [scene.to_json() for scene in scenes]
    write_shard(folder / "0000", None if latents is None else latents.numpy(), conditions, lines)
    return Drawn(Shards(folder, conditions.shape[1]), read_labels(lines))


def nothing(network: torch.nn.Module, path: Path) -> None:
    """No sample sheet."""


def test_it_learns_to_read_the_layouts_of_captions(tmp_path: Path) -> None:
    scenes = [SceneSampler(disc_sprites(), dict.fromkeys(disc_sprites().rows), Random(i))() for i in range(20)]
    clips = [ClipSampler(disc_sprites(), dict.fromkeys(disc_sprites().rows), Random(i))() for i in range(20)]
    captions = drawn(tmp_path / "captions", [*scenes, *clips], torch.randn(40, 5, WIDTH), None)
    torch.manual_seed(0)
    sketch = Sketch(WIDTH, CHANNELS, SIZE)
    rows = torch.arange(40)

    @torch.no_grad()
    def lacking() -> dict[str, float]:
        said = sketch.reader(captions.shards.read_conditions(rows), raw=True)
        return {name: loss.item() for name, loss in layout_losses(said, captions.labels, rows, CONTENTS).items()}

    before = lacking()
    train(ReaderTask(sketch.reader, captions, CONTENTS, nothing), tmp_path / "run", QUICK)
    after = lacking()
    assert after.keys() == before.keys() and len(after) == 9
    assert all(after[name] < 0.7 * before[name] for name in after if name != "facing"), (before, after)


def test_it_learns_to_paint_pictures_and_every_frame_of_clips(tmp_path: Path) -> None:
    """Of coloured discs, whose pictures made small stand for latents; held against others of them."""
    sprites, random = disc_sprites(), Random(0)
    hues = dict.fromkeys(sprites.rows, dominant_hue(sprites.pixels[0]))

    def disc(place: tuple[float, float]) -> Scene:
        item = Item("cat", DEFAULT_STYLE, random.choice(("blue", "yellow")), *place, random.uniform(0.3, 0.6))
        return Scene("single", "", (item,), random.choice(("white", "black")))

    def small(pictures: np.ndarray) -> torch.Tensor:  # (n, 256, 256, 3) → (n, 3, 4, 4)
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 128 - 1
        return torch.nn.functional.avg_pool2d(pixels, 256 // SIZE)

    scenes = [disc((random.uniform(0.3, 0.7), random.uniform(0.3, 0.7))) for _ in range(80)]
    still = small(np.stack([render(scene, sprites, hues) for scene in scenes]))
    clips = [Clip(disc((0.5, 0.5)), Motion("drive", random.choice(("left", "right")))) for _ in range(20)]
    moving = torch.stack([small(render_clip(clip, sprites, hues)).transpose(0, 1) for clip in clips])
    pictures = drawn(tmp_path / "pictures", scenes, torch.randn(80, 1, WIDTH), still)
    films = drawn(tmp_path / "clips", clips, torch.randn(20, 1, WIDTH), moving)
    torch.manual_seed(0)
    painter = Sketch(WIDTH, CHANNELS, SIZE).painter
    rows = torch.cat([torch.arange(60), torch.arange(80, 95).repeat_interleave(4)])
    task = PainterTask(painter, pictures, films, rows, torch.ones(CHANNELS), nothing, CONTENTS)
    train(task, tmp_path / "run", Plan(120, 30, 3e-3, warmup=5, average=0.9, precision="no"))
    with torch.no_grad():
        unseen = torch.arange(60, 80), torch.arange(15, 20)
        painted = painter(pictures.labels.layout(unseen[0], CONTENTS))[0]
        ways = torch.stack([layouts.poses(clips[row].motion) for row in unseen[1].tolist()])
        played = painter(films.labels.layout(unseen[1], CONTENTS), ways)[0].unflatten(0, (5, -1)).transpose(1, 2)
    for made, meant in ((painted, still[60:]), (played, moving[15:])):
        assert (made - meant).square().mean() < 0.15 * meant.var(0).mean()


def test_clips_go_on_with_the_painter_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of frames that all are of one colour, which the thing's name says."""
    clips = [Clip(one(name), Motion("spin", "clockwise")) for name in ("cat", "dog") * 10]
    latents = torch.tensor([-1.0, 1.0]).repeat(10).view(-1, 1, 1, 1, 1).expand(-1, 8, 16, 2, 2)
    films = drawn(tmp_path / "clips", clips, torch.randn(20, 1, WIDTH), latents)
    torch.manual_seed(0)
    painter = Sketch(WIDTH, 8, 2).painter.requires_grad_(False)
    condition = SimpleNamespace(embed_all=lambda _: CONTENTS[:, None])
    monkeypatch.setattr(clip_command, "PAINTING", Plan(60, 10, 3e-3, warmup=5, average=0.9, precision="no"))

    def error() -> float:
        poses = torch.stack([layouts.poses(clip.motion) for clip in clips[:2]])
        made = painter(films.labels.layout(torch.arange(2), CONTENTS), poses)[0].unflatten(0, (2, -1))
        return float((made[:, :, :, 1, 1] - latents[:2, :, :, 1, 1].transpose(1, 2)).square().mean())

    before = error()
    clip_command.train_painter(tmp_path / "run", tiny_autoencoder(), condition, films, painter)
    assert error() < 0.3 * before
    assert not any(parameter.requires_grad for parameter in painter.parameters())
    assert list((tmp_path / "run" / "samples").iterdir())


def test_clips_go_on_with_the_unet_around_what_is_really_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [Clip(one("cat"), Motion("drive", way)) for way in ("left", "right")]
    latents = torch.arange(32.0).view(2, 1, 16, 1, 1).expand(-1, 8, -1, 2, 2)  # the number of the frame
    films = drawn(tmp_path / "clips", clips, torch.randn(2, LENGTH, WIDTH), latents)
    unet = tiny_sketching_unet().requires_grad_(False)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    monkeypatch.setattr(clip_command, "FRAMING", Plan(2, 2, 1e-2, warmup=1, average=0.0, precision="no"))
    told, paint = [], unet.sketch.paint
    monkeypatch.setattr(
        unet.sketch, "paint", lambda layout, poses: told.append((layout, poses)) or paint(layout, poses)
    )
    condition = SimpleNamespace(embed=lambda prompts: torch.randn(len(prompts), LENGTH, WIDTH))
    clip_command.train_frames(tmp_path / "run", tiny_autoencoder(), condition, films, unet)
    after = unet.state_dict()
    kept = {name for name in after if torch.equal(after[name], before[name])}
    assert {name for name in after if name.startswith(("sketch.reader.", "sketch.painter."))} <= kept
    assert not kept & {"conv_in.weight", "conv_out.weight", "sketch.ground_error.bias"}
    assert not any(parameter.requires_grad for parameter in unet.parameters())
    assert list((tmp_path / "run" / "samples").iterdir())
    assert len(told) == 3  # two steps, and the samples
    for layout, poses in told[:2]:
        assert layout.present.sum() == 2 and layout.motion.argmax(-1).ne(0).all()  # of what is known, nothing is read
        assert tuple(poses.shape) == (2, 1, 10)
        torch.testing.assert_close(layout.content[:, 0], unet.sketch.reader.concepts[CONCEPTS["cat"]].expand(2, -1))

    every = torch.stack([layouts.poses(clip.motion) for clip in clips]).flatten(0, 1)
    task = FrameTask(unet, films, torch.ones(8), nothing)
    numbers = []
    for _ in range(20):
        frames, conditions, rows, poses = task.read(torch.tensor([1, 0]))
        assert rows.tolist() == [1, 0]
        numbers += frames[:, 0, 0, 0].int().tolist()
        assert torch.equal(poses[:, 0], every[numbers[-2:]])
        torch.testing.assert_close(conditions, films.shards.read_conditions(torch.tensor([1, 0])))
    assert min(numbers) < 4 and max(numbers) > 27 and len(set(numbers)) > 12


def test_it_learns_how_far_off_it_is(tmp_path: Path) -> None:
    """In front of two backgrounds, around whose mean, known already, pictures vary differently."""
    torch.manual_seed(0)
    sketch = Sketch(WIDTH, CHANNELS, SIZE)
    for layer in (sketch.painter.ground, sketch.painter.stroke):
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)
    scenes = [Scene("empty", "", (), ("white", "red")[i % 2]) for i in range(200)]
    deviations = torch.tensor([0.2, 1.0])
    latents = deviations.repeat(100).view(-1, 1, 1, 1) * torch.randn(200, CHANNELS, SIZE, SIZE)
    vectors = torch.randn(2, 1, WIDTH).repeat(100, 1, 1)
    vectors = vectors / vectors.square().mean(-1, keepdim=True).sqrt()
    pictures = drawn(tmp_path / "pictures", scenes, vectors, latents)
    train(ReaderTask(sketch.reader, pictures, CONTENTS, nothing), tmp_path / "reader", QUICK)
    before = {name: value.clone() for name, value in sketch.state_dict().items()}
    task = SketchErrorTask(sketch, pictures, None, torch.arange(200), torch.ones(CHANNELS), nothing)
    train(task, tmp_path / "run", Plan(200, 50, 2e-2, warmup=5, average=0.9, precision="no"))
    with torch.no_grad():
        errors = sketch(vectors[:2])[1].mean((1, 2, 3))
    torch.testing.assert_close(errors, deviations, rtol=0.25, atol=0.0)
    changed = {name for name, value in sketch.state_dict().items() if not torch.equal(value, before[name])}
    assert changed <= {f"{part}_error.{kind}" for part in ("thing", "ground") for kind in ("weight", "bias")}
    assert "ground_error.weight" in changed


def test_rows_are_shared_out_and_what_people_ask_for_counts_twice(tmp_path: Path) -> None:
    several = Scene("count", "", one("cat").items * 2, "white")
    placed = Scene("place", "", one("cat").items, "beach")
    scenes = [one("cat"), several, placed, one("cat", style=DEFAULT_STYLE), one("dog")]
    pictures = drawn(tmp_path / "pictures", scenes, torch.ones(5, 1, WIDTH), None)
    assert sketch_command.weighted_rows(pictures, 0, 3).tolist() == [0, 1, 1, 2, 2]
    assert sketch_command.weighted_rows(pictures, 3, 5).tolist() == [3, 3, 4]
    clips = drawn(
        tmp_path / "clips", [Clip(one("cat"), Motion("spin", "clockwise"))] * 2, torch.ones(2, 1, WIDTH), None
    )
    assert sketch_command.clip_rows(pictures, clips).tolist() == [5] * 8 + [6] * 8


def test_the_denoiser_is_trained_around_a_sketch_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own way: sketch first, from the first rows; then the denoiser, from the others, sketch frozen."""
    rng, scenes = np.random.default_rng(0), [one("cat") for _ in range(10)]
    still, moving = (torch.from_numpy(rng.normal(size=shape)) for shape in ((10, 8, 2, 2), (2, 8, 16, 2, 2)))
    drawn(tmp_path / "shards", scenes, torch.randn(10, 1, WIDTH), still)
    clips = [Clip(one("dog"), Motion("spin", "clockwise"))] * 2
    drawn(tmp_path / "clips", clips, torch.randn(2, 1, WIDTH), moving)
    drawn(tmp_path / "captions", [*scenes, *clips], torch.randn(12, 1, WIDTH), None)
    plan = Plan(2, 2, 1e-2, warmup=1, average=0.0, precision="no")
    monkeypatch.setattr(commands.images, "build_shards", lambda *_: tmp_path / "shards")
    monkeypatch.setattr(commands, "build_clip_shards", lambda *_: tmp_path / "clips")
    monkeypatch.setattr(commands, "build_captions", lambda *_: tmp_path / "captions")
    monkeypatch.setattr(commands, "new_unet", lambda *_: new_unet(8, 2, WIDTH))
    monkeypatch.setattr(commands, "SETTINGS", {"steps": 1, "guidance_scale": 1.0})
    monkeypatch.setattr(commands, "SKETCH_SHARE", 0.6)
    for name in ("READING", "PAINTING", "ERRORS"):
        monkeypatch.setattr(sketch_command, name, plan)
    tasks, states = [], []

    def recording_train(task: Any, folder: Path, plan: Plan) -> torch.nn.Module:
        tasks.append(task)
        trained = train(task, folder, plan)
        states.append({name: value.clone() for name, value in trained.state_dict().items()})
        return trained

    monkeypatch.setattr(commands, "train", recording_train)
    monkeypatch.setattr(sketch_command, "train", recording_train)
    embed = lambda captions: torch.randn(len(captions), 24, WIDTH)  # noqa: E731
    condition = SimpleNamespace(embed=embed, embed_all=embed)
    commands.train_denoiser(tmp_path / "run", tmp_path / "out", tmp_path, tiny_autoencoder(), condition, 1, plan)
    assert [type(task) for task in tasks] == [ReaderTask, PainterTask, SketchErrorTask, DenoiserTask]
    assert [sorted(set(task._rows.tolist())) for task in tasks[1:]] == [
        [*range(6), 10, 11],
        [*range(6, 10), 10, 11],
        [*range(6, 10)],
    ]
    sketch = {name.removeprefix("sketch."): value for name, value in states[3].items() if name.startswith("sketch.")}
    for name, value in sketch.items():
        part, _, rest = name.partition(".")
        trained = {"reader": states[0], "painter": states[1]}.get(part)
        assert torch.equal(value, states[2][name] if trained is None else trained[rest]), name
    assert torch.equal(sketch["poses"], all_poses().flatten())
    stored = load_component(tmp_path / "out", "unet").sketch.state_dict()
    assert all((stored[name] - value).abs().max() <= value.abs().max() / 31 for name, value in sketch.items())
