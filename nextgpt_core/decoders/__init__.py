"""Frozen latent diffusion decoders: a condition becomes pixels or a waveform, and a file.

One file a kind, each on its stock diffusers pipeline through `prompt_embeds`; nothing of diffusers is forked.
`build_decoder` looks the kind up by name; add a decoder by adding a file and a line to `KINDS`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from nextgpt_core.config import DecoderConfig
from nextgpt_core.conversation import Media
from nextgpt_core.weights import resolve

OnStep = Callable[[int, int], None]  # (step from 1, steps); whatever it raises stops the generation


class Decoder(Protocol):
    """Frozen, in eval mode, conditioned on `prompt_shape` = (length, width): (77, 768) for Stable Diffusion 1.5.

    `settings` are the pipeline's arguments: steps, guidance_scale, and height, width, frames or seconds.
    """

    prompt_shape: tuple[int, int]

    def embed_text(self, captions: list[str]) -> Tensor: ...  # (b, length, width); stage 2's target
    def generate(
        self, prompt_embeds: Tensor, settings: Mapping[str, float], seed: int, on_step: OnStep | None = None
    ) -> np.ndarray: ...  # of (1, length, width): image (h, w, 3) uint8, video (f, h, w, 3) uint8, audio (n,) float32
    def denoising_loss(self, prompt_embeds: Tensor, targets: Tensor) -> Tensor: ...
    def disagreement(self, made: Tensor, meant: Tensor) -> Tensor | None: ...  # how differently conditions are read
    def agreement(self, made: Tensor, meant: Tensor) -> dict[str, float]: ...  # in what shares they are read alike
    def save(self, sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> Media: ...  # path has no suffix
    def to(self, device: str) -> Decoder: ...


def build_decoder(config: DecoderConfig, base: Path) -> Decoder:
    """Builds the decoder that the config names, in float32 until `to` moves it; `base` is the checkpoint folder."""
    if config.kind not in KINDS:
        raise ValueError(f"There is no decoder {config.kind!r}; there are: {', '.join(KINDS)}.")
    for library in ("diffusers.pipelines.pipeline_utils", "transformers.utils.import_utils"):
        logging.getLogger(library).addFilter(_concerns_people)
    module, name = KINDS[config.kind].split(":")
    decoder = getattr(importlib.import_module(module), name)
    text_encoder = config.text_encoder and partial(resolve, config.text_encoder, base)
    return decoder(resolve(config.source, base), config.settings, text_encoder)


def _concerns_people(record: logging.LogRecord) -> bool:
    """Two pipelines are no longer developed, and none needs torchvision: known here, of no use to who chats."""
    words = record.getMessage()
    return "has been deprecated and will not receive" not in words and "requires torchvision" not in words


KINDS = {
    "stable-diffusion": "nextgpt_core.decoders.image:ImageDecoder",
    "text-to-video": "nextgpt_core.decoders.video:VideoDecoder",
    "audioldm": "nextgpt_core.decoders.audio:AudioDecoder",
}
