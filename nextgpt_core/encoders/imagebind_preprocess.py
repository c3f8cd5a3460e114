"""What ImageBind sees of a file: pixels of a centre crop, views of a video's clips, filter banks of a sound's clips.

The rules are those of ImageBind's published data module, so that published and trained weights meet what
they were trained on. Reading the containers is `media`'s business.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from nextgpt_core import media

SIZE = 224
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
CLIP_SECONDS = 2
VIDEO_CLIPS = 5
AUDIO_CLIPS, SAMPLE_RATE = 3, 16_000
MEL_BINS, MEL_FRAMES = 128, 204
MEL_MEAN, MEL_STD = -4.268, 9.138  # of AudioSet's log energies


def load_image(path: Path) -> Tensor:
    return image_pixels(media.read_image(path))


def load_video(path: Path) -> Tensor:
    indices = [index for pair in frame_pairs(*media.video_length(path)) for index in pair]
    return video_views(torch.from_numpy(media.read_frames(path, indices)).unflatten(0, (VIDEO_CLIPS, 2)))


def load_audio(path: Path) -> Tensor:
    return audio_clips(torch.from_numpy(media.read_audio(path, SAMPLE_RATE)))


LOADERS = {"image": load_image, "video": load_video, "audio": load_audio}


def image_pixels(image: Image.Image) -> Tensor:
    """(3, 224, 224): the short side to 224 (bicubic), the middle of the long one."""
    width, height = image.size
    short = min(width, height)
    image = image.convert("RGB").resize((SIZE * width // short, SIZE * height // short), Image.Resampling.BICUBIC)
    left, top = round((image.width - SIZE) / 2), round((image.height - SIZE) / 2)
    pixels = np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32) / 255
    return _standardise(torch.from_numpy(pixels).permute(2, 0, 1))


def video_views(frames: Tensor) -> Tensor:
    """Clips (clips, 2, h, w, 3) uint8 to (clips x crops, 3, 2, 224, 224), clip by clip.

    The crops are the two ends and the middle of the long side.
    """
    pixels = frames.permute(0, 4, 1, 2, 3).flatten(0, 1).float() / 255  # (clips x 3, 2, h, w)
    height, width = pixels.shape[-2:]
    short = min(height, width)
    size = (SIZE * height // short, SIZE * width // short)
    pixels = interpolate(pixels, size, mode="bilinear", align_corners=False).unflatten(0, (-1, 3))
    over = max(size) - SIZE
    axis = -2 if height > width else -1
    crops = [pixels.narrow(axis, offset, SIZE) for offset in (0, math.ceil(over / 2), over)]
    return _standardise(torch.stack(crops, dim=1).flatten(0, 1))


def frame_pairs(count: int, rate: Fraction) -> list[tuple[int, int]]:
    """The first and the last frame of each clip, of a video of `count` frames at `rate` per second."""
    pairs = []
    for start in clip_starts(count / rate, VIDEO_CLIPS):
        first = math.ceil(rate * start)
        pairs.append((first, min(math.ceil(rate * (start + CLIP_SECONDS)), count) - 1))
    return pairs


def clip_starts(duration: Fraction, clips: int) -> list[Fraction]:
    """Seconds. The step divides by the number of clips, not of gaps, so the last clip does not reach the end."""
    return [index * max(duration - CLIP_SECONDS, Fraction(0)) / clips for index in range(clips)]


def audio_clips(samples: Tensor) -> Tensor:
    """Mono samples (n,) at 16 kHz to (3, 1, mel 128, frames 204).

    The published code takes a stereo file's first channel; `media` mixes the channels, which loses neither.
    """
    starts = [int(start * SAMPLE_RATE) for start in clip_starts(Fraction(len(samples), SAMPLE_RATE), AUDIO_CLIPS)]
    banks = [filter_bank(samples[start : start + CLIP_SECONDS * SAMPLE_RATE]) for start in starts]
    padded = [pad(bank.T, (0, MEL_FRAMES - len(bank))) for bank in banks]  # silence is 0 before standardising
    return ((torch.stack(padded) - MEL_MEAN) / MEL_STD).unsqueeze(1)


def filter_bank(samples: Tensor) -> Tensor:
    """Kaldi's log filter bank of samples (n,) at 16 kHz, (frames, 128): whole Hann windows of 25 ms every 10 ms.

    Each window loses its mean and is pre-emphasised by 0.97; its power spectrum of 512 points is gathered by triangles
    that are even on the mel scale, from 20 Hz to 8 kHz.
    """
    length, step, emphasis = SAMPLE_RATE // 40, SAMPLE_RATE // 100, 0.97
    if len(samples) < length:
        return samples.new_zeros(0, MEL_BINS)
    frames = (samples - samples.mean()).unfold(0, length, step)
    frames = frames - frames.mean(1, keepdim=True)
    frames = frames - emphasis * torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    power = torch.fft.rfft(frames * torch.hann_window(length, periodic=False), n=512).abs().square()
    return (power @ _mel_triangles(512).T).clamp_min(torch.finfo(torch.float32).eps).log()


@cache
def _mel_triangles(points: int, low: float = 20.0) -> Tensor:
    """(128, points // 2 + 1). Triangles of height 1 that start and end at the peaks of their neighbours."""

    def mel(hertz: Tensor) -> Tensor:
        return 1127 * (1 + hertz / 700).log()

    edges = mel(torch.tensor([low, SAMPLE_RATE / 2], dtype=torch.float64))
    peaks = torch.linspace(edges[0], edges[1], MEL_BINS + 2, dtype=torch.float64).unsqueeze(1)
    bins = mel(torch.arange(points // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / points)
    rise = (bins - peaks[:-2]) / (peaks[1:-1] - peaks[:-2])
    fall = (peaks[2:] - bins) / (peaks[2:] - peaks[1:-1])
    return torch.minimum(rise, fall).clamp_min(0).float()


def pixels_to_bytes(pixels: Tensor) -> np.ndarray:
    """What `load_image` or `load_video` gave → (n, 224, 224, 3) uint8, to be looked at."""
    views = pixels[None, :, None] if pixels.ndim == 3 else pixels  # (views, 3, frames, 224, 224)
    shape = (3, 1, 1, 1)
    views = views * torch.tensor(STD).view(shape) + torch.tensor(MEAN).view(shape)
    frames = views.permute(0, 2, 3, 4, 1).flatten(0, 1)
    return (frames * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def _standardise(pixels: Tensor) -> Tensor:
    """Channels of pixels (…, 3, h, w) or (…, 3, frames, h, w) to the mean and deviation of CLIP's training images."""
    shape = (3, *[1] * (2 if pixels.ndim == 3 else 3))
    return (pixels - torch.tensor(MEAN).view(shape)) / torch.tensor(STD).view(shape)
