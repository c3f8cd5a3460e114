"""The pocket picture decoder's UNet: diffusers', which also sees a sketch of what the sentence says.

A sketch is the mean picture of a sentence vector, as latents, from a few wide linear layers. To learn which thing looks
like what costs them a fortieth of what it costs the UNet, which is left to make of a blurred thing a sharp one, and to
see to what a single vector does not hold: counts, places, how things stand to each other.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

_WIDTH = 1024


class Sketch(nn.Module):
    """Sentence vectors (b, width) → latents (b, channels, size, size)."""

    def __init__(self, width: int, channels: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, _WIDTH),
            nn.GELU(),
            nn.Linear(_WIDTH, _WIDTH),
            nn.GELU(),
            nn.Linear(_WIDTH, channels * size * size),
            nn.Unflatten(1, (channels, size, size)),
        )

    def forward(self, sentence: Tensor) -> Tensor:
        return self.layers(sentence)

    def beside(self, sample: Tensor, sentence: Tensor) -> Tensor:
        """(b, channels, h, w), noised latents of any size → (b, 2 · channels, h, w), a sketch behind them."""
        sketch = self(sentence).to(sample.dtype)
        if sketch.shape[-2:] != sample.shape[-2:]:
            sketch = F.interpolate(sketch, sample.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([sample, sketch], 1)


def sees_sketches(conv_in: nn.Conv2d) -> nn.Conv2d:
    """A UNet's first layer for twice as many channels."""
    return nn.Conv2d(2 * conv_in.in_channels, conv_in.out_channels, conv_in.kernel_size, padding=conv_in.padding)


class SketchUNet2DConditionModel(UNet2DConditionModel):
    """Configured as `UNet2DConditionModel`; the first of a condition's vectors is the sentence's."""

    @wraps(UNet2DConditionModel.__init__)  # diffusers reads in the signature what a config may hold
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.sketch = Sketch(self.config.cross_attention_dim, self.config.in_channels, self.config.sample_size)
        self.conv_in = sees_sketches(self.conv_in)

    def forward(self, sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, **options: Any) -> Any:
        """sample: (b, channels, h, w); encoder_hidden_states: (b, length, width).

        Returns and takes as `options` what `UNet2DConditionModel` does.
        """
        both = self.sketch.beside(sample, encoder_hidden_states[:, 0])
        return super().forward(both, timestep, encoder_hidden_states, **options)
