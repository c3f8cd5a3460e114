"""Pictures of spectrograms: time to the right, pitch upwards, captions in lines of so many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from nextgpt_core.pocket.sounds.spectrograms import picture, sheet


def test_what_is_high_and_late_stands_on_the_top_right() -> None:
    spectrogram = np.full((50, 64), -1.0, np.float32)
    spectrogram[40:, 60:] = 1
    pixels = np.asarray(picture(spectrogram)).sum(-1)
    assert pixels.shape == (64, 50)
    assert (pixels[:4, 40:] > 500).all() and (pixels[4:] < 100).all() and (pixels[:, :40] < 100).all()


def test_a_sheet_goes_on_in_the_next_line(tmp_path: Path) -> None:
    silent, loud = np.full((50, 64), -1.0, np.float32), np.full((50, 64), 1.0, np.float32)
    sheet([[silent] * 5, [loud] * 5], ["one", "two", "three", "four", "five"], tmp_path / "sheet.png", columns=3)
    page = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert page.shape == (2 * (14 + 2 * 68), 3 * 260)
    first, second = page[14:78, 10:250], page[82:146, 10:250]
    assert first.mean() < 50 and second.mean() > 200
    assert (page[150:, 520:] == 255).all()  # where a sixth would stand
