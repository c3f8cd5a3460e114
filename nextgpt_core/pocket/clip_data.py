"""The clip data, end to end: composed clips and animations, as shards of latents and conditions like those of pictures.

A clip's latents are (channels, frames, h, w). Whatever is drawn follows from a seed; what is there already is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from tqdm import tqdm

from nextgpt_core.decoders.autoencoder import PocketAutoencoder
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.pocket.animations import captions, find_animations, read_animation, shown
from nextgpt_core.pocket.clips import FPS, FRAMES, Clip, ClipSampler, render_clip
from nextgpt_core.pocket.images import encode_pictures, open_sprites
from nextgpt_core.pocket.shards import write_shard

SHARD = 500  # clips a shard
FRAMES_OF, _APART = 3, 2000  # frames of a clip where many clips count, and the first number of such shards
_TOLD = 2  # captions of each animation


def draw_clips(folder: Path, number: int, count: int) -> list[Clip]:
    """The clips of shard `number`: half of them of any thing, half of one concept after the other."""
    sprites, hues = open_sprites(folder)
    sampler = ClipSampler(sprites, hues, Random(f"clips {number}"))
    names = sorted({name for name, _ in sprites.rows})
    Random(0).shuffle(names)
    first = number * count // 2
    return [sampler(names[(first + i // 2) % len(names)] if i % 2 else None) for i in range(count)]


def build_clip_shards(
    folder: Path, autoencoder: PocketAutoencoder, condition: SentenceCondition, shards: int, processes: int = 2
) -> Path:
    """`shards` · 500 composed clips; returns the folder of the shards."""
    root = folder / "clips" / "shards"
    with ProcessPoolExecutor(processes) as pool:
        for number in range(shards):
            if not (root / f"{number:04d}").is_dir():
                clips = draw_clips(folder, number, SHARD)
                drawn = pool.map(partial(draw_clip, folder), clips, chunksize=8)
                latents = encode_clips(autoencoder, tqdm(drawn, f"clips {number}", len(clips), unit="clip"))
                captions, lines = [clip.scene.caption for clip in clips], [clip.to_json() for clip in clips]
                write_shard(root / f"{number:04d}", latents, condition.embed_all(captions), lines)
    return root


def build_frame_shards(
    folder: Path, autoencoder: PocketAutoencoder, condition: SentenceCondition, shards: int, processes: int = 2
) -> Path:
    """`shards` · 5,000 composed clips of which three frames are drawn: to see many things, not how they go on."""
    root = folder / "clips" / "frames"
    with ProcessPoolExecutor(processes) as pool:
        for number in range(shards):
            if not (root / f"{number:04d}").is_dir():
                clips, rng = draw_clips(folder, _APART + number, 10 * SHARD), Random(f"frames {number}")
                shown = [tuple(sorted(rng.sample(range(FRAMES), FRAMES_OF))) for _ in clips]
                drawn = pool.map(partial(draw_clip, folder), clips, shown, chunksize=32)
                latents = encode_clips(autoencoder, tqdm(drawn, f"frames {number}", len(clips), unit="clip"), 16)
                lines = [clip.to_json(frames) for clip, frames in zip(clips, shown, strict=True)]
                captions = [clip.scene.caption for clip in clips]
                write_shard(root / f"{number:04d}", latents, condition.embed_all(captions), lines)
    return root


def build_animation_shard(
    folder: Path, autoencoder: PocketAutoencoder, condition: SentenceCondition, processes: int = 2
) -> None:
    """Beside those, one of all animations, two captions each."""
    shard = folder / "clips" / "shards" / "animations"
    if not shard.is_dir():
        files = find_animations(folder / "packages")
        with ProcessPoolExecutor(processes) as pool:
            drawn = pool.map(read_animation, files.values(), chunksize=8)
            latents = encode_clips(autoencoder, tqdm(drawn, "animations", len(files), unit="clip"))
        told = [dict(captions(Random(f"animations {i}"))) for i in range(_TOLD)]
        words = [ways[name] for ways in told for name in files]
        scenes = [asdict(shown(name, ways[name])) for ways in told for name in files]
        lines = [json.dumps({"scene": scene, "motion": None}) for scene in scenes]
        write_shard(shard, np.concatenate([latents] * _TOLD), condition.embed_all(words), lines)


def draw_clip(folder: Path, clip: Clip, shown: Sequence[int] | None = None) -> np.ndarray:
    return render_clip(clip, *open_sprites(folder), shown=shown)


def encode_clips(autoencoder: PocketAutoencoder, clips: Iterable[np.ndarray], batch: int = 4) -> np.ndarray:
    """(frames, 256, 256, 3) uint8 each → latents (n, channels, frames, 8, 8) float16."""
    made = []
    for group in _groups(iter(clips), batch):
        latents = encode_pictures(autoencoder, np.concatenate(group))
        made.append(latents.reshape(len(group), -1, *latents.shape[1:]).swapaxes(1, 2))
    return np.concatenate(made)


def film_strips(clips: Sequence[np.ndarray], path: Path, shown: int = 8, side: int = 96) -> None:
    """A still sheet: a row a clip, `shown` of its frames from left to right; a picture file by the path's suffix."""
    rows = [np.concatenate([_tile(clip[i * len(clip) // shown], side) for i in range(shown)], 1) for clip in clips]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path, quality=88)


def moving_sheet(clips: Sequence[np.ndarray], columns: int, path: Path, side: int = 128) -> None:
    """An animated WebP (or GIF) of clips in rows, all of as many frames; as many clips as fill the rows."""
    clips = clips[: len(clips) // columns * columns]
    frames = []
    for pictures in zip(*clips, strict=True):
        tiles = [_tile(picture, side) for picture in pictures]
        rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
        frames.append(Image.fromarray(np.concatenate(rows)))
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0, quality=80)


def _tile(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def _groups(clips: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    while group := list(islice(clips, size)):
        yield group
