"""Writing what the model made: PNG, MP4 (H.264) and WAV, each with a note inside that says how it came to be.

The note is one comment of JSON in each format's own place for comments, so that any viewer shows it.
"""

from __future__ import annotations

import json
import struct
import wave
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, PngImagePlugin

from nextgpt_core.media.kinds import MediaError, check_file, shown, sniff


def write_image(sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> None:
    """A PNG of (h, w, 3) uint8."""
    _expect(sample, 3)
    note = PngImagePlugin.PngInfo()
    note.add_itxt("Comment", _note(metadata))
    Image.fromarray(sample).save(path, format="PNG", pnginfo=note)


def write_video(sample: np.ndarray, path: Path, fps: float, metadata: Mapping[str, str]) -> None:
    """An MP4 of (frames, h, w, 3) uint8, playable while it loads; odd sides grow by one pixel, as H.264 wants."""
    _expect(sample, 4)
    sample = np.pad(sample, ((0, 0), (0, sample.shape[1] % 2), (0, sample.shape[2] % 2), (0, 0)), mode="edge")
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = _note(metadata)
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = sample.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18", "preset": "medium"}
        for frame in sample:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_audio(sample: np.ndarray, rate: int, path: Path, metadata: Mapping[str, str]) -> None:
    """A WAV of (n,) floats in -1…1, 16 bits; what is louder is clipped."""
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError(f"A sound is (n,) finite numbers, got {sample.shape} with {np.isfinite(sample).sum()} finite.")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sample.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    with path.open("r+b") as file:  # the standard library's writer knows no notes: add one, and mend the length
        text = _note(metadata).encode() + b"\0"
        text += b"\0" * (len(text) % 2)
        note = b"INFO" + b"ICMT" + struct.pack("<I", len(text)) + text
        file.seek(0, 2)
        file.write(b"LIST" + struct.pack("<I", len(note)) + note)
        length = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", length))


def read_metadata(path: Path) -> dict[str, str]:
    """The note that one of the writers above put into a file of ours; empty where there is none.

    For our own files: it reads them in this process.
    """
    kind = sniff(check_file(path))
    try:
        if kind.reader == "pillow":
            with Image.open(path, formats=[kind.format]) as image:
                text = image.info.get("Comment", "{}")
        else:
            with av.open(str(path), format=kind.format, options={"protocol_whitelist": "file"}) as container:
                text = container.metadata.get("comment", "{}")
        return {str(key): str(value) for key, value in json.loads(text).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise MediaError("{file} holds no note that we wrote.", file=shown(path)) from error


def _note(metadata: Mapping[str, str]) -> str:
    return json.dumps(dict(metadata), ensure_ascii=False)


def _expect(sample: np.ndarray, dimensions: int) -> None:
    if sample.dtype != np.uint8 or sample.ndim != dimensions or sample.shape[-1] != 3 or not sample.size:
        wanted = "(h, w, 3)" if dimensions == 3 else "(frames, h, w, 3)"
        raise ValueError(f"Expected {wanted} uint8, got {sample.shape} {sample.dtype}.")
