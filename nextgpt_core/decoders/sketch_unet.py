"""The pocket decoders' UNet: diffusers', which says where a picture differs from a sketch of it.

A sketch is the mean picture of a caption, as latents, and how far off it may be. To learn which thing looks like what
costs it a fortieth of what it costs the UNet, and a UNet that has learned nothing yet draws no worse than it does:
what is expected of noised latents around a sketch is arithmetic, and only the rest is asked of it.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.decoders.layout import AT_REST, BACKGROUNDS, MOTIONS, Layout, LayoutPainter, LayoutReader

NOISE = {"beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": True}  # of a scheduler: ends in pure noise
_SURELY_NONE = 1 / 3  # the longest vector of a word that is none
_NEAR = 0.1  # of the picture's side: places that are as good as one
FRAMES = 16  # of a motion; clips of more or fewer get its poses in between


class Sketch(nn.Module):
    """Conditions (b, length, width), the sentence's vector first → mean latents (b, channels, size, size), and errors.

    The layout that a caption speaks of is painted (see `layout`). Errors, of the same shape, are how far latents
    deviate from their mean. Of a clip, what moves goes the way of the most likely motion, frame by frame.
    """

    def __init__(self, width: int, channels: int, size: int) -> None:
        super().__init__()
        self.reader = LayoutReader(width)
        self.painter = LayoutPainter(width, channels, size)
        self.register_buffer("poses", AT_REST.repeat(MOTIONS * FRAMES))  # of motions; flat ones keep 16 bits on disk
        self.thing_error = nn.Linear(self.painter.known, channels)  # logarithms, to be added up
        self.ground_error = nn.Linear(BACKGROUNDS, channels + size * size)
        for layer in (self.thing_error, self.ground_error):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self._alphas = DDIMScheduler(**NOISE).alphas_cumprod  # no buffer: what is near 1 must stay in float32

    def forward(self, condition: Tensor, frames: int | None = None) -> tuple[Tensor, Tensor]:
        """With `frames`, (b · frames, channels, size, size) of clips; without, of pictures, which rest."""
        layout = self.reader(condition)
        return self.paint(layout, None if frames is None else self._poses(layout.motion, frames))

    def paint(self, layout: Layout, poses: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What `forward` makes of a layout; poses (b, frames, 10) as `LayoutPainter` has them."""
        mean, known = self.painter(layout, poses)
        channels, cells = self.ground_error(layout.background).split([mean.shape[1], mean[0, 0].numel()], 1)
        ground = channels[:, :, None, None] + cells.view(-1, 1, *mean.shape[2:])
        thing = self.thing_error(known.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        error = ground.repeat_interleave(len(mean) // len(ground), 0) + thing
        return mean, error.clamp(-4, 1).exp()

    def disagreement(self, made: Tensor, meant: Tensor) -> Tensor:
        """How differently two batches of conditions are read, a mean: what is said against what is meant.

        Through it output projectors learn what of a condition is looked at; its gradient goes to `made` alone.
        """
        dtype = self.poses.dtype
        with torch.no_grad():
            target = self.reader(with_unit_vectors(meant).to(dtype)).to(torch.float32)
            concepts = self.reader.likeness(target.content).softmax(-1).flatten(0, 1)
        said = self.reader(with_unit_vectors(made).to(dtype), raw=True).to(torch.float32)
        of_all = (
            F.cross_entropy(said.background, target.background)
            + F.cross_entropy(said.style, target.style)
            + F.cross_entropy(said.motion, target.motion)
            + F.binary_cross_entropy_with_logits(said.present, target.present)
        )
        colour = F.cross_entropy(said.colour.flatten(0, 1), target.colour.flatten(0, 1), reduction="none")
        concept = F.cross_entropy(self.reader.likeness(said.content).flatten(0, 1), concepts, reduction="none")
        place = (said.place - target.place).abs().sum(-1)
        of_things = ((colour + concept).view_as(place) + 4 * place) * target.present
        return of_all + of_things.sum() / target.present.sum().clamp(min=1)

    @torch.no_grad()
    def agreement(self, made: Tensor, meant: Tensor) -> dict[str, float]:
        """In what shares two batches of conditions, or the things that are meant, are read alike."""
        said, target = (self.reader(with_unit_vectors(part).to(self.poses.dtype)) for part in (made, meant))
        there, which = target.present > 0.5, self.reader.likeness
        found = {
            "thing": (which(said.content).argmax(-1) == which(target.content).argmax(-1))[there],
            "colour": (said.colour.argmax(-1) == target.colour.argmax(-1))[there],
            "place": ((said.place - target.place).abs().amax(-1) < _NEAR)[there],
            "count": ((said.present > 0.5) == there).all(1),
            "background": said.background.argmax(-1) == target.background.argmax(-1),
            "motion": said.motion.argmax(-1) == target.motion.argmax(-1),
        }
        return {name: alike.float().mean().item() for name, alike in found.items()}

    def _poses(self, motion: Tensor, frames: int) -> Tensor:
        """Of the likeliest motions, (b, frames, 10): a mean of two would be none."""
        poses = self.poses.view(MOTIONS, FRAMES, -1)[motion.argmax(-1)]
        if frames == FRAMES:
            return poses
        return F.interpolate(poses.transpose(1, 2), frames, mode="linear", align_corners=True).transpose(1, 2)

    def around(
        self, sample: Tensor, timestep: Tensor | int, sketch: Tensor, error: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What can be said of noised latents (b, channels, h, w), of any size, without looking at them closely.

        Returns what is left to look at (b, 2 · channels, h, w), of unit variance, with the sketch behind it; the
        velocity that is expected; and by how much the true one deviates from that, both (b, channels, h, w).
        """
        dtype, sample, sketch, error = sample.dtype, sample.float(), sketch.float(), error.float()
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


def with_unit_vectors(condition: Tensor) -> Tensor:
    """(b, length, width) as text conditions are: vectors of a root mean square of one, or zeros where no word is.

    An output projector that is not sure gives short vectors, which would make a grey picture. Of words it is held to be
    sure that there is none where a vector is shorter than a third; the sentence's, the first, stays unless zero.
    """
    rms = condition.square().mean(-1, keepdim=True).sqrt()
    least = rms.new_full((condition.shape[1], 1), _SURELY_NONE)
    least[0] = 1e-3
    return (condition / rms.clamp(min=1e-6)) * (rms > least)


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
        sketched: tuple[Tensor, Tensor] | None = None,
        **options: Any,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """sample: (b, channels, h, w); encoder_hidden_states: (b, length, width), the sentence's vector first.

        `sketched` stands in for what is read of these. Returns and takes as `options` what `UNet2DConditionModel` does.
        """
        condition = with_unit_vectors(encoder_hidden_states)
        seen, expected, scale = self.sketch.around(sample, timestep, *(sketched or self.sketch(condition)))
        (rest,) = super().forward(seen, timestep, condition, return_dict=False, **options)
        velocity = expected + scale * rest
        return UNet2DConditionOutput(velocity) if return_dict else (velocity,)
