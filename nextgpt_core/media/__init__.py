"""Reading what people upload, safely, and writing what we generate; nothing here knows about models.

A file is judged by its first bytes, never by its name, and opened by the one reader that those bytes call for, with
limits on pixels, seconds, memory and time. All of it happens in a guarded process of its own (`guard`), so that a
file made to break a decoder breaks only that. Whatever goes wrong with a file is a MediaError: one sentence for people
that says what was found and what is accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from nextgpt_core.conversation import Modality
from nextgpt_core.media import guard
from nextgpt_core.media.kinds import MediaError, check_file
from nextgpt_core.media.writing import read_metadata, write_audio, write_image, write_video

__all__ = [
    "MAX_AUDIO_SECONDS",
    "MediaError",
    "content_hash",
    "preview",
    "probe",
    "read_audio",
    "read_frames",
    "read_image",
    "read_metadata",
    "read_video",
    "video_length",
    "write_audio",
    "write_image",
    "write_video",
]

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


def preview(path: Path, folder: Path) -> Path:
    """A file that browsers play: `path` itself where they do, else a PNG, MP4 or WAV made in `folder`.

    A converted video has at most 30 s, 640 px and no sound.
    """
    from nextgpt_core.media.conversion import convert

    return convert(path, folder)


def content_hash(path: Path) -> str:
    """The sha256 of the file's bytes, in hex."""
    path = check_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
