"""The sketch learns the mean picture of a caption, from rows that the denoiser never gets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from nextgpt_core.decoders.sketch_unet import Sketch
from nextgpt_core.pocket.commands import weighted_rows
from nextgpt_core.pocket.holdout import DEFAULT_STYLE
from nextgpt_core.pocket.shards import Shards, write_shard
from nextgpt_core.pocket.sketch_task import SketchTask
from nextgpt_core.pocket.training import Plan, train


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
        sketches = network(shards.read(torch.tensor([0, 1]))[1][:, 0])
    assert (sketches - means).square().mean() < 0.05 * (means[0] - means[1]).square().mean()


def test_rows_are_shared_out_and_the_default_style_counts_three_times(tmp_path: Path) -> None:
    lines = [scene(DEFAULT_STYLE if i in (1, 4) else "flat") for i in range(6)]
    write_shard(tmp_path / "0000", np.zeros((6, 3, 2, 2), np.float16), torch.ones(6, 1, 16), lines)
    shards = Shards(tmp_path, 1)
    assert weighted_rows(shards, 0, 3).tolist() == [0, 1, 1, 1, 2]
    assert weighted_rows(shards, 3, 6).tolist() == [3, 4, 4, 4, 5]
