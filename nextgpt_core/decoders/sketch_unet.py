"""The pocket decoders' UNet: diffusers', which says where a picture differs from a sketch of it.

A sketch is the mean picture of a caption, as latents, and how far off it may be, from a few wide layers. To learn which
thing looks like what costs them a fortieth of what it costs the UNet, and a UNet that has learned nothing yet draws no
worse than they do: what is expected of noised latents around a sketch is arithmetic, and only the rest is asked of it.
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
    """Conditions (b, length, width), the sentence's vector first → mean latents (b, channels, size, size), and errors.

    The sentence's vector says which things there are, and the words, looked at by learned queries, which of them has
    the colour and which stands where. Errors, of the same shape, are how far latents deviate from their mean.
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
        self.spread = nn.Linear(_WIDTH, channels + size * size)  # logarithms, to be added up, of channels and of cells
        nn.init.zeros_(self.spread.weight)
        nn.init.zeros_(self.spread.bias)
        self._alphas = DDIMScheduler(**NOISE).alphas_cumprod  # no buffer: what is near 1 must stay in float32

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        sentence, words = condition[:, 0], condition[:, 1:]
        present = words.abs().amax(-1, keepdim=True) > 0
        weights = self.attention(words).masked_fill(~present, -1e4).softmax(1) * present  # (b, length − 1, pools)
        pooled = weights.transpose(1, 2) @ self.values(words)
        hidden = self.layers[:-2](torch.cat([sentence, pooled.flatten(1)], 1))
        mean = self.layers[-2:](hidden)
        channels, cells = self.spread(hidden).split([mean.shape[1], mean.shape[2] * mean.shape[3]], 1)
        error = (channels[:, :, None, None] + cells.view(-1, 1, *mean.shape[2:])).clamp(-4, 1).exp()
        return mean, error

    def around(self, sample: Tensor, timestep: Tensor | int, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What can be said of noised latents (b, channels, h, w), of any size, without looking at them closely.

        Returns what is left to look at (b, 2 · channels, h, w), of unit variance, with the sketch behind it; the
        velocity that is expected; and by how much the true one deviates from that, both (b, channels, h, w).
        """
        dtype, sample = sample.dtype, sample.float()
        sketch, error = (part.float() for part in self(condition))
        if sketch.shape[-2:] != sample.shape[-2:]:
            size = {"size": sample.shape[-2:], "mode": "bilinear", "align_corners": False}
            sketch, error = F.interpolate(sketch, **size), F.interpolate(error, **size)
        timestep = torch.as_tensor(timestep, device="cpu").expand(len(sample))
        kept = self._alphas[timestep].to(sample.device).view(-1, 1, 1, 1)  # share of the latents in the sample
        variance = kept * error.square() + 1 - kept
        distance = sample - kept.sqrt() * sketch
        expected = (kept * (1 - kept)).sqrt() * (1 - error.square()) / variance * distance - (1 - kept).sqrt() * sketch
        seen = torch.cat([distance / variance.sqrt(), sketch], 1)
        return seen.to(dtype), expected.to(dtype), (error / variance.sqrt()).to(dtype)


def with_unit_sentence(condition: Tensor) -> Tensor:
    """(b, length, width) with the first vector scaled to a root mean square of one; zeros stay zeros.

    That is how text conditions are. An output projector that is not sure gives a short vector, and a grey picture.
    """
    sentence, words = condition[:, :1], condition[:, 1:]
    rms = sentence.square().mean(-1, keepdim=True).sqrt()
    return torch.cat([sentence / rms.where(rms > 1e-3, 1.0), words], 1)


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
        condition = with_unit_sentence(encoder_hidden_states)
        seen, expected, scale = self.sketch.around(sample, timestep, condition)
        (rest,) = super().forward(seen, timestep, condition, return_dict=False, **options)
        velocity = expected + scale * rest
        return UNet2DConditionOutput(velocity) if return_dict else (velocity,)
