"""Pictures and animated pictures, through Pillow, restricted to the one format that the file's first bytes name."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from nextgpt_core.media.kinds import Kind, MediaError, damaged, shown, sniff

MAX_PIXELS = 40_000_000
LONG_SIDE = 1536
MAX_FRAME_PIXELS = 4096 * 2304  # of an animation or a video
_DEFAULT_FRAME_SECONDS = 0.1  # what browsers make of a frame that gives no time


def read_image(path: Path) -> np.ndarray:
    """(h, w, 3) uint8; see `nextgpt_core.media.read_image`."""
    kind = sniff(path)
    if kind.reader != "pillow":
        raise MediaError(
            "{file} is no picture but {kind}, which holds video or sound.", file=shown(path), kind=kind.name
        )
    with _opened(path, kind, MAX_PIXELS) as image:
        if kind.format == "JPEG":
            image.draft("RGB", (LONG_SIDE, LONG_SIDE))  # decodes large photos at a half, quarter or eighth
        turn = _turn(image)
        flat = _rgb(image)
        flat.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BICUBIC)
        return np.array(flat if turn is None else flat.transpose(turn))


def is_animated(path: Path, kind: Kind) -> bool:
    with _opened(path, kind, MAX_PIXELS) as image:
        return getattr(image, "is_animated", False)


def animation_frames(path: Path, kind: Kind, seconds: float) -> Iterator[tuple[float, np.ndarray]]:
    """(time, (h, w, 3) uint8) of each frame of the first `seconds`."""
    time = 0.0
    with _opened(path, kind, MAX_FRAME_PIXELS) as image:
        for index in range(getattr(image, "n_frames", 1)):
            if time > seconds:
                return
            image.seek(index)
            image.load()  # some formats know a frame's time only now
            length = (image.info.get("duration") or 0) / 1000
            yield time, np.array(_rgb(image))
            time += length if length > 0.01 else _DEFAULT_FRAME_SECONDS


@contextlib.contextmanager
def _opened(path: Path, kind: Kind, max_pixels: int) -> Iterator[Image.Image]:
    """The image, its header read and its size within the limit; what fails inside is a MediaError."""
    _register_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes are checked here, and oddities in metadata do no harm
            with Image.open(path, formats=[kind.format]) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise MediaError(
                        "{file} has {width} × {height} pixels; pictures may have up to {limit} megapixels.",
                        file=shown(path), width=width, height=height, limit=max_pixels // 1_000_000,
                    )  # fmt: skip
                yield image
    except Image.DecompressionBombError as error:
        raise MediaError(
            "{file} has more than 178 megapixels; pictures may have up to {limit} megapixels.",
            file=shown(path),
            limit=max_pixels // 1_000_000,
        ) from error
    except (MediaError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever their format's libraries do
        raise damaged(path, kind) from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes the picture upright, by its EXIF note; a note that can't be read is none."""
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:
        return None


def _rgb(image: Image.Image) -> Image.Image:
    """RGB in 8 bits: transparency on white, deeper grey scales scaled down."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        grey = np.asarray(image, dtype=np.float32)
        top = 255 if grey.max(initial=0) <= 255 else 65535
        flat = Image.fromarray((grey.clip(0, top) * (255 / top)).round().astype(np.uint8)).convert("RGB")
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = Image.new("RGBA", layer.size, "white")
        flat.alpha_composite(layer)
        flat = flat.convert("RGB")
    else:
        flat = image.convert("RGB")
    return flat


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
