"""Animations drawn by hand, from the animated emoji of @lobehub: whole loops as clips of 16 frames.

Which thing an animation shows is known by its emoji; how it moves nobody tells us, so captions do not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from nextgpt_core.pocket import motion_phrases, phrases
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.clips import FRAMES
from nextgpt_core.pocket.holdout import DEFAULT_STYLE, motion_held_out
from nextgpt_core.pocket.scenes import SIZE, Item, Scene
from nextgpt_core.pocket.sources import fetch_package

PACKAGES = tuple(f"@lobehub/fluent-emoji-anim-{number}@1.0.0" for number in (1, 2, 3, 4))  # MIT; 730 MB in all
_SIDE = 0.8  # share of the picture


def find_animations(folder: Path) -> dict[str, Path]:
    """Concept → its file, of those that move and are not held out; the packages are fetched into `folder`."""
    files = {
        path.stem.replace("-fe0f", ""): path
        for package in PACKAGES
        for path in sorted((fetch_package(package, folder) / "assets").glob("*.webp"))
    }
    found = {concept.name: files.get(concept.emoji) for concept in load_catalog()}
    return {
        name: path
        for name, path in found.items()
        if path is not None and not motion_held_out(name, "animated") and moves(path)
    }


def moves(path: Path) -> bool:
    """Some files are a single frame."""
    with Image.open(path) as picture:
        return getattr(picture, "n_frames", 1) >= FRAMES


def read_animation(path: Path, frames: int = FRAMES) -> np.ndarray:
    """Its whole loop at even steps in front of white, (frames, 256, 256, 3) uint8."""
    side = round(_SIDE * SIZE)
    pictures = []
    with Image.open(path) as animation:
        for number in range(frames):
            animation.seek(number * animation.n_frames // frames)
            drawn = animation.convert("RGBA").resize((side, side), Image.Resampling.BILINEAR)
            canvas = Image.new("RGB", (SIZE, SIZE), "white")
            canvas.paste(drawn, ((SIZE - side) // 2,) * 2, drawn)
            pictures.append(np.asarray(canvas))
    return np.stack(pictures)


def shown(concept: str, caption: str) -> Scene:
    """What is on all its frames, though it moves."""
    return Scene("clip", caption, (Item(concept, DEFAULT_STYLE, None, 0.5, 0.5, _SIDE),), "white")


def captions(random: Random) -> Iterator[tuple[str, str]]:
    """(concept, a caption of its animation) for every concept, in the catalog's order."""
    for concept in load_catalog():
        noun = phrases.name(concept, random)
        yield concept.name, motion_phrases.animated(phrases.thing(noun, None, None, 1, random), noun, random)
