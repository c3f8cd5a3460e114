"""Colour words: recolouring a sprite, and what colour a picture's object has.

A sprite that has one dominant colour can be given another by turning its hue; one that has none is left alone.
"""

from __future__ import annotations

import numpy as np

HUES = {"red": 0.0, "orange": 0.08, "yellow": 0.15, "green": 0.36, "blue": 0.6, "purple": 0.76, "pink": 0.92}
GREYS = {"black": 0.22, "white": 0.97}  # colour → brightness of the dominant part
COLOURS = (*HUES, "brown", *GREYS)
_BAND = 0.09  # half the width of the dominant hue's band, in turns
_DOMINANT = 0.5  # the least share of a sprite's area that makes a colour its own


def to_hsv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(..., 3) in 0…1 → hue in turns, saturation, value, each (...)."""
    high, low = rgb.max(-1), rgb.min(-1)
    span = high - low
    safe = np.where(span > 0, span, 1)
    red, green, blue = (rgb[..., i] for i in range(3))
    hue = np.where(
        high == red,
        (green - blue) / safe % 6,
        np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return np.where(span > 0, hue / 6, 0), np.where(high > 0, span / np.where(high > 0, high, 1), 0), high


def to_rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The inverse of `to_hsv`, (..., 3) in 0…1."""
    turns = (hue[..., None] * 6 + np.array([5.0, 3.0, 1.0])) % 6
    return value[..., None] * (1 - saturation[..., None] * np.clip(np.minimum(turns, 4 - turns), 0, 1))


def dominant_hue(rgba: np.ndarray) -> float | None:
    """The hue (in turns) that at least half of a sprite (h, w, 4) uint8 has, or None."""
    small = rgba[::4, ::4].astype(np.float32) / 255
    hue, saturation, value = to_hsv(small[..., :3])
    visible = small[..., 3] > 0.5
    coloured = visible & (saturation > 0.25) & (value > 0.15)
    if coloured.sum() < _DOMINANT * max(1, visible.sum()):
        return None
    counts = np.bincount((hue[coloured] * 48).astype(int) % 48, minlength=48)
    smooth = sum(np.roll(counts, i) for i in range(-4, 5))
    peak = (smooth.argmax() + 0.5) / 48
    near = _distance(hue, peak) < _BAND
    return float(peak) if (near & coloured).sum() >= _DOMINANT * visible.sum() else None


def recolour(rgba: np.ndarray, colour: str, hue: float) -> np.ndarray:
    """A sprite (h, w, 4) uint8 whose part of dominant `hue` now has the named colour; its shading stays."""
    pixels = rgba.astype(np.float32) / 255
    own, saturation, value = to_hsv(pixels[..., :3])
    inside = np.clip(2 - _distance(own, hue) / _BAND, 0, 1) * np.clip(saturation * 6 - 0.5, 0, 1)
    if colour in GREYS:
        middle = np.median(value[(inside > 0.5) & (pixels[..., 3] > 0.5)]) if (inside > 0.5).any() else 0.7
        shaded = np.clip(GREYS[colour] + (value - middle) * (0.6 if colour == "black" else 0.5), 0, 1)
        target = np.repeat(shaded[..., None], 3, -1)
    else:
        new_hue, scale, light = (0.07, 1.0, 0.55) if colour == "brown" else (HUES[colour], 1.0, 1.0)
        strong = np.clip(saturation * scale + 0.15, 0, 0.45 if colour == "pink" else 1)
        turned = (new_hue + np.clip(_signed(own, hue), -0.03, 0.03)) % 1
        target = to_rgb(turned, strong, np.clip(value * light + (0.1 if colour in ("pink", "yellow") else 0), 0, 1))
    mixed = pixels[..., :3] * (1 - inside[..., None]) + target * inside[..., None]
    return np.concatenate([(mixed * 255).round().clip(0, 255).astype(np.uint8), rgba[..., 3:]], -1)


def name_hue(hue: float) -> str:
    """The colour word of a hue in turns."""
    return min(HUES, key=lambda name: _distance(np.float64(HUES[name]), hue))


def dominant_colour(rgb: np.ndarray, mask: np.ndarray) -> str:
    """What colour word fits most of the masked pixels of a picture (h, w, 3) uint8."""
    hue, saturation, value = to_hsv(rgb[mask].astype(np.float32) / 255)
    votes = dict.fromkeys(COLOURS, 0)
    dull = saturation < 0.2
    votes["white"] = int((dull & (value > 0.7)).sum())
    votes["black"] = int((value < 0.3).sum())
    lively = ~dull & (value >= 0.3)
    brown = lively & (_distance(hue, 0.065) < 0.05) & (value < 0.68)
    pale_red = lively & (_distance(hue, 0.95) < 0.1) & (saturation < 0.55) & (value > 0.75)
    votes["brown"], votes["pink"] = int(brown.sum()), int(pale_red.sum())
    rest = hue[lively & ~brown & ~pale_red]
    if rest.size:
        distances = np.stack([_distance(rest, centre) for centre in HUES.values()])
        for name, count in zip(HUES, np.bincount(distances.argmin(0), minlength=len(HUES)), strict=True):
            votes[name] += int(count)
    return max(votes, key=votes.__getitem__)


def _signed(hue: np.ndarray, centre: float) -> np.ndarray:
    return (hue - centre + 0.5) % 1 - 0.5


def _distance(hue: np.ndarray, centre: float) -> np.ndarray:
    return np.abs(_signed(hue, centre))
