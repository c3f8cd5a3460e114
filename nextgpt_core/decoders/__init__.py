"""Frozen latent diffusion decoders: a condition becomes pixels or a waveform, and a file.

One file a kind, each on its stock diffusers pipeline through `prompt_embeds`; nothing of diffusers is forked.
`build_decoder` looks the kind up by name; add a decoder by adding a file and a line to `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from nextgpt_core.conversation import Media

OnStep = Callable[[int, int], None]  # (step from 1, steps); whatever it raises stops the generation


class Decoder(Protocol):
    """Frozen, in eval mode, conditioned on `prompt_shape` = (length, width): (77, 768) for Stable Diffusion 1.5.

    `settings` are the pipeline's arguments: steps, guidance_scale, and height, width, frames or seconds.
    """

    prompt_shape: tuple[int, int]

    def embed_text(self, captions: list[str]) -> Tensor: ...  # (b, length, width); stage 2's target
    def generate(
        self, prompt_embeds: Tensor, settings: Mapping[str, float], seed: int, on_step: OnStep | None = None
    ) -> np.ndarray: ...  # prompt_embeds (1, length, width); image (h, w, 3) uint8, video (f, h, w, 3) uint8, audio (n,)
    def denoising_loss(self, prompt_embeds: Tensor, targets: Tensor) -> Tensor: ...
    def save(self, sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> Media: ...  # path has no suffix
    def to(self, device: str) -> Decoder: ...
