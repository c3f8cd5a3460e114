"""Small real files of every kind that people upload, the hostile ones, and how the tests of `media` read them."""

from __future__ import annotations

import struct
import wave
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from nextgpt_core import media

_QUICK = {
    "libx264": {"preset": "ultrafast", "threads": "1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "threads": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "threads": "1"},
}


READERS = {
    "probe": media.probe,
    "read_image": media.read_image,
    "read_audio": lambda path: media.read_audio(path, 16_000),
    "read_video": lambda path: media.read_video(path, frames=8),
}


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def moving_bar(frames: int = 24, height: int = 64, width: int = 96) -> np.ndarray:
    """(frames, h, w, 3) uint8: a white bar that stands at column 4·i in frame i, on black."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    for i in range(frames):
        clip[i, :, 4 * i : 4 * i + 4] = 255
    return clip


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 128 + 0 * x], axis=-1).astype(np.uint8)


def bar_columns(frames: np.ndarray) -> list[float]:
    """Where the bar of `moving_bar` stands, as the index of the frame that it belongs to."""
    light = frames.astype(float).mean((1, 3)).clip(30) - 30
    return ((light @ np.arange(light.shape[1])) / light.sum(1) / 4 - 0.375).tolist()


def write_container(
    path: Path,
    video: np.ndarray | None = None,
    audio: np.ndarray | None = None,
    *,
    format: str,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    fps: int = 8,
    rate: int = 16_000,
    options: dict[str, str] | None = None,
) -> Path:
    """A container with either or both streams; `audio` is (n,) or (channels, n) floats."""
    with av.open(str(path), "w", format=format, options=options or {}) as container:
        streams = []
        if video is not None:
            stream = container.add_stream(video_codec, rate=fps)
            stream.height, stream.width = video.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.options = _QUICK.get(video_codec, {})
            streams.append((stream, [av.VideoFrame.from_ndarray(f, format="rgb24") for f in video]))
        if audio is not None:
            audio = np.atleast_2d(audio)
            stream = container.add_stream(audio_codec, rate=rate, layout="mono" if len(audio) == 1 else "stereo")
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(audio, np.float32), format="fltp", layout=stream.layout.name
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            streams.append((stream, [frame]))
        for stream, frames in streams:
            for frame in frames:
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def write_png_bomb(path: Path, side: int = 13_000) -> Path:
    """A valid PNG of side × side pixels (169 megapixels) in about 20 kB: every row is zeros, one bit a pixel."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    )
    return path


def write_flac(path: Path, seconds: float, claimed_seconds: float | None = None) -> Path:
    """A FLAC of a tone, whose header may claim another length; 0 is "unknown", as in a live stream."""
    rate = 8_000
    write_container(path, audio=tone(seconds, rate), format="flac", audio_codec="flac", rate=rate)
    if claimed_seconds is not None:
        data = bytearray(path.read_bytes())  # 36 bits from byte 21.5: the number of samples
        count = round(claimed_seconds * rate)
        data[21] = data[21] & 0xF0 | count >> 32
        data[22:26] = (count & 0xFFFFFFFF).to_bytes(4, "big")
        path.write_bytes(data)
    return path


def refused(read, path: Path) -> str:
    """The sentence with which `read` refuses the file."""
    with pytest.raises(media.MediaError) as raised:
        read(path)
    message = str(raised.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 400
    assert path.name[:20] in message
    return message
