"""The pocket decoders' UNet: diffusers', which says where a picture differs from a sketch of it.

A sketch is the mean picture of a caption, as latents, from a few wide layers. To learn which thing looks like what
costs them a fortieth of what it costs the UNet, and a UNet that has learned nothing yet draws no worse than they do:
what is expected of noised latents around a sketch is arithmetic, and only the rest is asked of the UNet.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn
from torch.nn import functional as F

NOISE = {"beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": True}  # of a scheduler: ends in pure noise
_WIDTH = 2048  # of the hidden layers
_POOLS, _POOLED = 6, 128  # how often and how wide a sketch looks at the words


class Sketch(nn.Module):
    """Conditions (b, length, width), the sentence's vector first → latents (b, channels, size, size).

    The sentence's vector says which things there are, and the words, looked at by learned queries, which of them has
    the colour and which stands where.
    """

    def __init__(self, width: int, channels: int, size: int) -> None:
        super().__init__()
        self.attention = nn.Linear(width, _POOLS, bias=False)
        self.values = nn.Linear(width, _POOLED)
        self.layers = nn.Sequential(
            nn.Linear(width + _POOLS * _POOLED, _WIDTH),
            nn.GELU(),
            nn.Linear(_WIDTH, _WIDTH),
            nn.GELU(),
            nn.Linear(_WIDTH, channels * size * size),
            nn.Unflatten(1, (channels, size, size)),
        )
        self.register_buffer("error", torch.ones(channels))  # of sketches: the root of the mean square
        self.register_buffer("_alphas", DDIMScheduler(**NOISE).alphas_cumprod, persistent=False)

    def forward(self, condition: Tensor) -> Tensor:
        sentence, words = condition[:, 0], condition[:, 1:]
        present = words.abs().amax(-1, keepdim=True) > 0
        weights = self.attention(words).masked_fill(~present, -1e4).softmax(1) * present  # (b, length − 1, pools)
        pooled = weights.transpose(1, 2) @ self.values(words)
        return self.layers(torch.cat([sentence, pooled.flatten(1)], 1))

    def around(self, sample: Tensor, timestep: Tensor | int, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What can be said of noised latents (b, channels, h, w), of any size, without looking at them closely.

        Returns what is left to look at (b, 2 · channels, h, w), of unit variance, with the sketch behind it; the
        velocity that is expected if latents lie around the sketch by `error`; and (b, channels, 1, 1) by how much the
        true velocity differs from that.
        """
        sketch = self(condition).to(sample.dtype)
        if sketch.shape[-2:] != sample.shape[-2:]:
            sketch = F.interpolate(sketch, sample.shape[-2:], mode="bilinear", align_corners=False)
        timestep = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        kept = self._alphas[timestep].to(sample.dtype).view(-1, 1, 1, 1)  # share of the latents in the sample
        error = self.error.to(sample.dtype).view(1, -1, 1, 1)
        variance = kept * error.square() + 1 - kept
        distance = sample - kept.sqrt() * sketch
        expected = (kept * (1 - kept)).sqrt() * (1 - error.square()) / variance * distance - (1 - kept).sqrt() * sketch
        return torch.cat([distance / variance.sqrt(), sketch], 1), expected, error / variance.sqrt()


def sees_sketches(conv_in: nn.Conv2d) -> nn.Conv2d:
    """A UNet's first layer for twice as many channels."""
    return nn.Conv2d(2 * conv_in.in_channels, conv_in.out_channels, conv_in.kernel_size, padding=conv_in.padding)


class SketchUNet2DConditionModel(UNet2DConditionModel):
    """Configured as `UNet2DConditionModel`; predicts velocities under a scheduler of NOISE's."""

    @wraps(UNet2DConditionModel.__init__)  # diffusers reads in the signature what a config may hold
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.sketch = Sketch(self.config.cross_attention_dim, self.config.in_channels, self.config.sample_size)
        self.conv_in = sees_sketches(self.conv_in)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor,
        return_dict: bool = True,
        **options: Any,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """sample: (b, channels, h, w); encoder_hidden_states: (b, length, width), the sentence's vector first.

        Returns and takes as `options` what `UNet2DConditionModel` does.
        """
        seen, expected, scale = self.sketch.around(sample, timestep, encoder_hidden_states)
        (rest,) = super().forward(seen, timestep, encoder_hidden_states, return_dict=False, **options)
        velocity = expected + scale * rest
        return UNet2DConditionOutput(velocity) if return_dict else (velocity,)
