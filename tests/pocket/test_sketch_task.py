"""The sketch learns the mean picture of a caption, from rows that the denoiser never gets."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nextgpt_core.decoders.folder import load_component
from nextgpt_core.decoders.sketch_unet import Sketch
from nextgpt_core.pocket import commands
from nextgpt_core.pocket.commands import weighted_rows
from nextgpt_core.pocket.denoiser_task import DenoiserTask, new_unet
from nextgpt_core.pocket.holdout import DEFAULT_STYLE
from nextgpt_core.pocket.shards import Shards, write_shard
from nextgpt_core.pocket.sketch_task import SketchErrorTask, SketchTask
from nextgpt_core.pocket.training import Plan, train
from tests.pocket.test_training import tiny_autoencoder


def scene(style: str) -> str:
    item = {"concept": "cat", "style": style, "colour": None, "x": 0.5, "y": 0.5, "size": 0.8}
    return json.dumps({"kind": "single", "caption": "a cat", "items": [item], "background": "white"})


def two_captions(folder: Path) -> tuple[Shards, torch.Tensor]:
    """Shards of pictures that vary around a mean of their own for each of two captions; (2, 3, 2, 2) the means."""
    generator = torch.Generator().manual_seed(0)
    means, vectors = (torch.randn(2, *shape, generator=generator) for shape in ((3, 2, 2), (1, 16)))
    vectors = vectors / vectors.square().mean(-1, keepdim=True).sqrt()
    which = torch.arange(40) % 2
    latents = means[which] + 0.3 * torch.randn(40, 3, 2, 2, generator=generator)
    write_shard(folder / "0000", latents.numpy().astype(np.float16), vectors[which], [scene("flat")] * 40)
    return Shards(folder, 1), means


def test_it_learns_the_mean_of_each_caption(tmp_path: Path) -> None:
    shards, means = two_captions(tmp_path / "shards")
    torch.manual_seed(0)
    network = Sketch(16, 3, 2)
    task = SketchTask(network, shards, torch.arange(40), torch.ones(3), lambda network, path: None)
    train(task, tmp_path / "run", Plan(150, 20, 2e-3, warmup=5, average=0.9, precision="no"))
    with torch.no_grad():
        sketches, _ = network(shards.read(torch.tensor([0, 1]))[1])
    assert (sketches - means).square().mean() < 0.05 * (means[0] - means[1]).square().mean()


def test_it_learns_how_far_off_it_is(tmp_path: Path) -> None:
    """Of two captions whose pictures vary differently around a mean that it knows already."""
    torch.manual_seed(0)
    vectors = torch.randn(2, 1, 16).repeat(100, 1, 1)
    vectors = vectors / vectors.square().mean(-1, keepdim=True).sqrt()
    deviations = torch.tensor([0.2, 1.0])
    latents = deviations.repeat(100).view(-1, 1, 1, 1) * torch.randn(200, 3, 2, 2)
    write_shard(tmp_path / "shards" / "0000", latents.numpy().astype(np.float16), vectors, [scene("flat")] * 200)
    network = Sketch(16, 3, 2)
    torch.nn.init.zeros_(network.layers[-2].weight)
    torch.nn.init.zeros_(network.layers[-2].bias)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    shards = Shards(tmp_path / "shards", 1)
    task = SketchErrorTask(network, shards, torch.arange(200), torch.ones(3), lambda network, path: None)
    train(task, tmp_path / "run", Plan(300, 50, 1e-2, warmup=5, average=0.9, precision="no"))
    with torch.no_grad():
        errors = network(vectors[:2])[1].mean((1, 2, 3))
    torch.testing.assert_close(errors, deviations, rtol=0.25, atol=0.0)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"spread.weight", "spread.bias"}


def test_rows_are_shared_out_and_the_default_style_counts_three_times(tmp_path: Path) -> None:
    lines = [scene(DEFAULT_STYLE if i in (1, 4) else "flat") for i in range(6)]
    write_shard(tmp_path / "0000", np.zeros((6, 3, 2, 2), np.float16), torch.ones(6, 1, 16), lines)
    shards = Shards(tmp_path, 1)
    assert weighted_rows(shards, 0, 3).tolist() == [0, 1, 1, 1, 2]
    assert weighted_rows(shards, 3, 6).tolist() == [3, 4, 4, 4, 5]


def test_the_denoiser_is_trained_around_a_sketch_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own way: sketch first, from the first rows; then the denoiser, from the others, sketch frozen."""
    latents = np.random.default_rng(0).normal(size=(10, 8, 2, 2)).astype(np.float16)
    write_shard(tmp_path / "shards" / "0000", latents, torch.randn(10, 1, 16), [scene("flat")] * 10)
    plan = Plan(2, 2, 1e-2, warmup=1, average=0.0, precision="no")
    monkeypatch.setattr(commands.images, "build_shards", lambda *_: tmp_path / "shards")
    monkeypatch.setattr(commands, "new_unet", lambda *_: new_unet(8, 2, 16))
    monkeypatch.setattr(commands, "SETTINGS", {"steps": 1, "guidance_scale": 1.0})
    monkeypatch.setattr(commands, "Plan", lambda *_: plan)
    tasks, states = [], []

    def recording_train(task: Any, folder: Path, plan: Plan) -> torch.nn.Module:
        tasks.append(task)
        trained = train(task, folder, plan)
        states.append({name: value.clone() for name, value in trained.state_dict().items()})
        return trained

    monkeypatch.setattr(commands, "train", recording_train)
    condition = SimpleNamespace(embed=lambda captions: torch.randn(len(captions), 24, 16))
    commands.train_denoiser(tmp_path / "run", tmp_path / "out", tmp_path, tiny_autoencoder(), condition, 1, plan)
    assert [type(task) for task in tasks] == [SketchTask, SketchErrorTask, DenoiserTask]
    assert [sorted(task._rows.tolist()) for task in tasks] == [list(range(6)), *[list(range(6, 10))] * 2]
    for name, value in states[1].items():
        assert torch.equal(value, states[2][f"sketch.{name}"]), name
        assert torch.equal(value, states[0][name]) or name.startswith("spread."), name
    stored = load_component(tmp_path / "out", "unet").sketch.state_dict()
    assert all((stored[name] - value).abs().max() <= value.abs().max() / 31 for name, value in states[1].items())
