"""The pocket clip decoder's UNet: diffusers' for clips, which also has what the pocket picture decoder's has.

That is a sketch of every frame (`sketch_unet`) and a pooled condition on top of the timestep's embedding, which
`UNet2DConditionModel` has by its config (`addition_embed_type="text"`) and `UNet3DConditionModel` has not. Names are
the picture decoder's. How a clip decoder grows out of one is `pocket`'s business.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers import UNet3DConditionModel
from diffusers.models.embeddings import TextTimeEmbedding, TimestepEmbedding
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor

from nextgpt_core.decoders.sketch_unet import Sketch, sees_sketches, with_unit_vectors

POOL_HEADS = 8  # attention heads of the pooling


class PocketUNet3DConditionModel(UNet3DConditionModel):
    """Configured as `UNet3DConditionModel`; `cross_attention_dim` is a multiple of POOL_HEADS."""

    @wraps(UNet3DConditionModel.__init__)  # diffusers reads in the signature what a config may hold
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        width = self.time_embedding.linear_2.out_features
        self.time_embedding = _TimestepAndCondition(self.time_embedding.linear_1.in_features, width, self.config.act_fn)
        self.add_embedding = TextTimeEmbedding(self.config.cross_attention_dim, width, POOL_HEADS)
        self.sketch = Sketch(self.config.cross_attention_dim, self.config.in_channels, self.config.sample_size)
        self.conv_in = sees_sketches(self.conv_in)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor,
        return_dict: bool = True,
        **options: Any,
    ) -> UNet3DConditionOutput | tuple[Tensor]:
        """sample: (b, channels, frames, h, w); encoder_hidden_states: (b, length, width), one for all frames of a clip.

        Returns and takes as `options` what `UNet3DConditionModel` does, but for `timestep_cond`.
        """
        frames, condition = sample.shape[2], with_unit_vectors(encoder_hidden_states)
        times = torch.as_tensor(timestep, device="cpu").expand(len(sample)).repeat_interleave(frames)
        pictures = sample.transpose(1, 2).flatten(0, 1)
        seen, expected, scale = (
            part.unflatten(0, (-1, frames)).transpose(1, 2)
            for part in self.sketch.around(pictures, times, *self.sketch(condition, frames))
        )
        pooled = self.add_embedding(condition)  # (b, width of the timestep's embedding)
        (rest,) = super().forward(seen, timestep, condition, timestep_cond=pooled, return_dict=False, **options)
        velocity = expected + scale * rest
        return UNet3DConditionOutput(velocity) if return_dict else (velocity,)


class _TimestepAndCondition(TimestepEmbedding):
    """Adds the condition behind the last layer, where `UNet2DConditionModel` does, and not before the first."""

    def forward(self, sample: Tensor, condition: Tensor) -> Tensor:
        return super().forward(sample) + condition
