"""Training the sketch: which picture a caption stands for on the average, by its latents.

The denoiser must meet sketches as they will be for captions that nobody has drawn. So the sketch learns from other
rows than the denoiser, and from conditions that are as rough as the denoiser's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from nextgpt_core.decoders.sketch_unet import Sketch
from nextgpt_core.pocket.denoiser_task import disturb
from nextgpt_core.pocket.shards import Shards


class SketchTask:
    """A `training.Task` over `rows` of shards, in which a row may stand several times.

    `weights` (channels,) says how much an error in each latent channel counts. `draw` paints a sample sheet.
    """

    def __init__(
        self, network: Sketch, shards: Shards, rows: Tensor, weights: Tensor, draw: Callable[[nn.Module, Path], None]
    ) -> None:
        self.network, self.rows = network, len(rows)
        self._shards, self._rows, self._draw = shards, rows, draw
        self._weights = (weights / weights.mean()).view(1, -1, 1, 1)

    def loss(self, network: nn.Module, rows: Tensor, device: torch.device) -> Tensor:
        latents, condition = (part.to(device) for part in self._shards.read(self._rows[rows]))
        mean, _ = network(disturb(condition))
        return ((mean.float() - latents).square() * self._weights.to(device)).mean()

    def draw_samples(self, network: nn.Module, path: Path) -> None:
        self._draw(network, path)

    def export(self, network: nn.Module, folder: Path) -> None:
        """Nothing: a sketch is stored as a part of its UNet."""


class SketchErrorTask(SketchTask):
    """The same for the errors of a sketch that stays: by rows that it has not learned from, as likelihood has it."""

    def __init__(
        self, network: Sketch, shards: Shards, rows: Tensor, weights: Tensor, draw: Callable[[nn.Module, Path], None]
    ) -> None:
        super().__init__(network, shards, rows, weights, draw)
        network.requires_grad_(False)
        network.spread.requires_grad_(True)

    def loss(self, network: nn.Module, rows: Tensor, device: torch.device) -> Tensor:
        latents, condition = (part.to(device) for part in self._shards.read(self._rows[rows]))
        mean, error = (part.float() for part in network(disturb(condition)))
        return (0.5 * ((latents - mean) / error).square() + error.log()).mean()
