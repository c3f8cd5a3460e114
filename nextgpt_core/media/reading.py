"""Asks the guarded process what a file is and what it holds; nothing of it is decoded in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from nextgpt_core.conversation import Modality
from nextgpt_core.media import guard
from nextgpt_core.media.kinds import check_file

MAX_AUDIO_SECONDS = 60.0


def probe(path: Path) -> Modality:
    """What the file is, by its content. An animated GIF, WebP or PNG is a video; an MP4 with sound only is audio."""
    return guard.call("probe", path)


def read_image(path: Path) -> Image.Image:
    """RGB, upright by its EXIF note, transparency on white, long side at most 1536 px; an animation's first frame."""
    return Image.fromarray(guard.call("read_image", path))


def read_audio(path: Path, rate: int, seconds: float = MAX_AUDIO_SECONDS) -> np.ndarray:
    """(n,) float32 mono in -1…1 at `rate` a second, of a sound or of a video's sound track.

    What lasts longer than `seconds` (and a second of grace, which is cut) is refused.
    """
    return guard.call("read_audio", path, rate=rate, seconds=seconds)


def read_video(path: Path, frames: int) -> tuple[np.ndarray, float]:
    """(frames, h, w, 3) uint8 from the first to the last of the first 30 s, evenly spaced in time, and the seconds.

    Frames are upright, their long side at most 640 px. A clip of fewer frames repeats some.
    """
    return guard.call("read_video", path, frames=frames)


def video_length(path: Path) -> tuple[int, Fraction]:
    """How many frames the first 30 s hold, and how many that makes a second: for those who choose frames themselves."""
    count, numerator, denominator = guard.call("video_length", path)
    return count, Fraction(numerator, denominator)


def read_frames(path: Path, indices: Sequence[int]) -> np.ndarray:
    """(n, h, w, 3) uint8: the frames of these indices (below `video_length`), in the order given."""
    return guard.call("read_frames", path, indices=list(indices))


def content_hash(path: Path) -> str:
    """The sha256 of the file's bytes, in hex."""
    path = check_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
