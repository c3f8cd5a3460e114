"""Log-mel spectrograms of all clips, kept beside them, and pictures of spectrograms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

from nextgpt_core.decoders.vocoder import mel_spectrogram
from nextgpt_core.pocket.sounds.clips import Clips

_COLOURS = np.array([(0, 0, 10), (40, 10, 90), (140, 30, 110), (230, 90, 60), (252, 180, 60), (252, 255, 200)], float)


def build_spectrograms(clips: Clips, path: Path) -> np.ndarray:
    """(n, frames, bands) float16 of every clip, memory-mapped; computed once."""
    if not path.is_file() or len(np.load(path, mmap_mode="r")) != len(clips.clips):
        rows = [
            mel_spectrogram(torch.from_numpy(clips.wave(row))[None])[0].numpy().astype(np.float16)
            for row in tqdm(range(len(clips.clips)), desc="spectrograms", unit="sound")
        ]
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.stack(rows))
        os.replace(partial, path)
    return np.load(path, mmap_mode="r")


def picture(spectrogram: np.ndarray) -> Image.Image:
    """(frames, bands) in −1…1, time to the right and pitch upwards."""
    place = (np.clip(spectrogram.T[::-1].astype(float), -1, 1) + 1) / 2 * (len(_COLOURS) - 1)
    first = np.minimum(place.astype(int), len(_COLOURS) - 2)
    share = (place - first)[..., None]
    return Image.fromarray((_COLOURS[first] * (1 - share) + _COLOURS[first + 1] * share).astype(np.uint8))


def sheet(rows: Sequence[Sequence[np.ndarray | Tensor]], captions: Sequence[str], path: Path, columns: int = 6) -> None:
    """Each caption above its spectrograms, one from each of `rows`; the picture file that the path's suffix says."""
    width, height, top = 260, 68, 14
    block = top + height * len(rows)
    page = Image.new("RGB", (width * min(columns, len(captions)), block * -(-len(captions) // columns)), "white")
    pen = ImageDraw.Draw(page)
    for place, caption in enumerate(captions):
        left, above = place % columns * width, place // columns * block
        pen.text((left + 2, above + 1), caption[:42], "black")
        for line, row in enumerate(rows):
            shown = picture(np.asarray(row[place], np.float32)).resize((width - 4, height - 4))
            page.paste(shown, (left, above + top + line * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, quality=80)
