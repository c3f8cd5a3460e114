"""Sprites that need no package: a coloured disc for every concept in every style."""

from __future__ import annotations

import numpy as np

from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.colours import HUES, to_rgb
from nextgpt_core.pocket.sources import SIZE, STYLES, Sprites


def disc_sprites() -> Sprites:
    """One disc in red, shared by all concepts, so that the whole catalog fits in 256 KiB."""
    return Sprites(disc("red")[None], {(c.name, style): 0 for c in load_catalog() for style in STYLES})


def disc(colour: str) -> np.ndarray:
    """(256, 256, 4) uint8, shaded from top to bottom."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    one = np.ones((SIZE, SIZE))
    rgb = to_rgb(one * HUES[colour], one * 0.8, 0.8 - 0.3 * y)
    alpha = (x**2 + y**2 < 0.25)[..., None]
    return (np.concatenate([rgb, alpha], -1) * 255).astype(np.uint8)
