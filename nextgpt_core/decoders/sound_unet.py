"""The pocket audio decoder's UNet, and what is read of a caption first: whether it speaks of one sound or of two.

A denoiser would have to learn every pair of sounds. But two at once are their sum, and two in turn the beginnings of
both: each is made by itself, from a condition of its own, and `audio` puts them together.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.decoders.layout import SHARPNESS

ALONE, TOGETHER, IN_TURN = range(3)  # one sound, two at once, two one after the other
KNOWN = 512  # how many sounds can be known
_WIDTH = 1024


class SoundReader(nn.Module):
    """Conditions (b, width), a sentence's vector → how many sounds it speaks of, and which, the first said first.

    Those of two are recalled among `known`, the conditions of sounds that the denoiser was taught.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, _WIDTH), nn.GELU())
        self.way = nn.Linear(_WIDTH, 3)
        self.sounds = nn.Linear(_WIDTH, 2 * width)
        self.register_buffer("known", torch.randn(KNOWN, width))

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the way they are heard (b, 3), and of which the two are (b, 2, KNOWN)."""
        hidden = self.layers(F.normalize(condition, dim=-1) * condition.shape[-1] ** 0.5)
        sounds = F.normalize(self.sounds(hidden).unflatten(-1, (2, -1)), dim=-1)
        return self.way(hidden), SHARPNESS * sounds @ F.normalize(self.known.to(sounds), dim=-1).T

    @torch.no_grad()
    def parts(self, condition: Tensor) -> tuple[list[Tensor], bool]:
        """The conditions (1, width) of the sounds that one condition speaks of, and whether they are heard in turn.

        What speaks of a single one stays: there may be more to it than its name. Of two, the likeliest pair counts:
        which come is nearly always known, which of them first is not, and the likeliest twice would be neither.
        """
        ways, sounds = self(condition.to(self.way.weight.dtype))
        way, (first, second) = ways[0].argmax(-1), sounds[0].float().log_softmax(-1)
        if way == ALONE:
            return [condition], False
        pairs = (first[:, None] + second).fill_diagonal_(-torch.inf)
        pair = divmod(int(pairs.argmax()), KNOWN)
        return [self.known[sound][None].to(condition) for sound in pair], bool(way == IN_TURN)


class SoundUNet2DConditionModel(UNet2DConditionModel):
    """Configured as `UNet2DConditionModel`, with a condition as class label; it only carries its reader."""

    @wraps(UNet2DConditionModel.__init__)  # diffusers reads in the signature what a config may hold
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.reader = SoundReader(self.config.projection_class_embeddings_input_dim)
