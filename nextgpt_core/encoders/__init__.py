"""Frozen encoders: a file becomes a tensor, tensors become rows of features.

One file a kind. `build_encoder` looks the kind up by name; add an encoder by adding a file and a line to `KINDS`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from nextgpt_core.conversation import Media


class Encoder(Protocol):
    """Frozen, in eval mode. `dim` is the width of a feature row; `rows[modality]` how many rows an item becomes.

    `load` reads a file through `media` and raises `media.MediaError` (a sentence for people) when it can't. `received`
    is what `load` makes of it before any arithmetic, for people: pictures (n, h, w, 3) uint8 and 0, or a sound (n,)
    and its rate.
    """

    dim: int
    rows: dict[str, int]

    def load(self, item: Media) -> Tensor: ...
    def received(self, item: Media) -> tuple[np.ndarray, int]: ...
    def encode(self, inputs: list[Tensor]) -> Tensor: ...  # (b, rows, dim); all inputs of one modality
    def to(self, device: str) -> Encoder: ...


def build_encoder(kind: str, weights: Path) -> Encoder:
    """Builds the encoder that the config calls `kind` from its weights on disk."""
    return _class(kind)(weights)


def known_width(kind: str) -> int | None:
    """Its `dim` where that does not depend on the weights."""
    return getattr(_class(kind), "dim", None)


def _class(kind: str) -> type[Encoder]:
    if kind not in KINDS:
        raise ValueError(f"There is no encoder {kind!r}; there are: {', '.join(KINDS)}.")
    module, name = KINDS[kind].split(":")
    return getattr(importlib.import_module(module), name)


KINDS = {
    "efficientnet-lite2": "nextgpt_core.encoders.efficientnet:EfficientNetLite2",
    "imagebind": "nextgpt_core.encoders.imagebind:ImageBind",
    "sound-effects": "nextgpt_core.encoders.sound_effects:SoundEffects",
}
