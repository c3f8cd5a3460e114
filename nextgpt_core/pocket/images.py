"""The picture data, end to end: sprites, rendered pictures for the autoencoder, shards of latents for the denoiser.

Everything lies under one folder and is built once; what is there already is kept. Whatever is drawn follows from a
seed, so two builds are alike.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from nextgpt_core.decoders.autoencoder import PocketAutoencoder
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.pocket.autoencoder_task import to_pixels
from nextgpt_core.pocket.holdout import style_held_out
from nextgpt_core.pocket.scenes import COUNTS, Scene, SceneSampler, render, sprite_hues
from nextgpt_core.pocket.shards import write_shard
from nextgpt_core.pocket.sources import Sprites, build_sprites

SHARD = 4000  # examples a shard
Hues = dict[tuple[str, str], float | None]


@cache
def open_sprites(folder: Path) -> tuple[Sprites, Hues]:
    """Sprites and their dominant hues, built at the first call."""
    sprites = build_sprites(folder)
    path = folder / "hues.json"
    if not path.is_file():
        path.write_text(json.dumps([[*key, hue] for key, hue in sprite_hues(sprites).items()]), encoding="utf-8")
    return sprites, {(name, style): hue for name, style, hue in json.loads(path.read_text(encoding="utf-8"))}


def draw_scenes(folder: Path, number: int, count: int) -> list[Scene]:
    """The scenes of shard `number`: half of them from the sampler, half in turn, so that all get theirs.

    In turn come each concept in each style, and several of each concept.
    """
    sprites, hues = open_sprites(folder)
    sampler = SceneSampler(sprites, hues, Random(f"scenes {number}"))
    looks = [key for key in sprites.rows if not style_held_out(*key)]
    groups = [(name, several) for name in sorted({name for name, _ in sprites.rows}) for several in COUNTS]
    for keys in (looks, groups):
        Random(0).shuffle(keys)
    scenes = []
    for turn in range(number * count // 4, (number + 1) * count // 4):
        scenes += [sampler(), sampler.single(*looks[turn % len(looks)])]
        scenes += [sampler(), sampler.counted(*groups[turn % len(groups)])]
    return scenes


def draw_pictures(folder: Path, number: int, count: int) -> tuple[list[Scene], np.ndarray]:
    """Those scenes and their pictures, (count, 256, 256, 3) uint8."""
    scenes = draw_scenes(folder, number, count)
    sprites, hues = open_sprites(folder)
    return scenes, np.stack([render(scene, sprites, hues) for scene in scenes])


def build_pictures(folder: Path, shards: int, processes: int = 2) -> list[np.ndarray]:
    """Rendered pictures to train the autoencoder on, memory-mapped, `SHARD` in each array.

    Nothing else reads them: kept from an older version of the drawing code, they would no longer fit their captions.
    """
    paths = [folder / f"pictures{number}.npy" for number in range(shards)]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    for number, (_, pictures) in _drawn(folder, missing, processes, "pictures"):
        np.save(paths[number].with_suffix(".partial.npy"), pictures)
        os.replace(paths[number].with_suffix(".partial.npy"), paths[number])
    return [np.load(path, mmap_mode="r") for path in paths]


def build_shards(
    folder: Path, autoencoder: PocketAutoencoder, condition: SentenceCondition, shards: int, processes: int = 2
) -> Path:
    """Latents and conditions of `shards` · 4,000 scenes; returns their folder."""
    root = folder / "shards"
    missing = [number for number in range(shards) if not (root / f"{number:04d}").is_dir()]
    for number, (scenes, pictures) in _drawn(folder, missing, processes, "shards"):
        captions = [scene.caption for scene in scenes]
        conditions = condition.embed_all(captions)
        lines = [scene.to_json() for scene in scenes]
        write_shard(root / f"{number:04d}", encode_pictures(autoencoder, pictures), conditions, lines)
    return root


@torch.no_grad()
def encode_pictures(autoencoder: PocketAutoencoder, pictures: np.ndarray, batch: int = 50) -> np.ndarray:
    """(n, 256, 256, 3) uint8 → latents (n, channels, 8, 8) float16."""
    device = autoencoder.latent_mean.device
    parts = []
    for first in range(0, len(pictures), batch):
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(autoencoder.encode(to_pixels(pictures[first : first + batch]).to(device)).latent.float().cpu())
    return torch.cat(parts).numpy().astype(np.float16)


def contact_sheet(pictures: list[np.ndarray], columns: int, path: Path, side: int = 128) -> None:
    """Pictures in rows, each `side` pixels wide, as a JPEG, WebP or PNG by the path's suffix."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for i, picture in enumerate(pictures):
        tile = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(tile, (i % columns * side, i // columns * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=88)


def _drawn(
    folder: Path, numbers: list[int], processes: int, title: str
) -> Iterator[tuple[int, tuple[list[Scene], np.ndarray]]]:
    """Shards as they are drawn, in order, by several processes, which wait for whoever takes them: one is 0.8 GB."""
    open_sprites(folder)  # builds them once, before the processes ask for them
    with ProcessPoolExecutor(processes) as pool, tqdm(total=len(numbers), desc=title, unit="shard") as progress:
        drawing = deque(pool.submit(draw_pictures, folder, number, SHARD) for number in numbers[:processes])
        for i, number in enumerate(numbers):
            drawn = drawing.popleft().result()
            drawing.extend(
                pool.submit(draw_pictures, folder, later, SHARD) for later in numbers[i + processes : i + processes + 1]
            )
            yield number, drawn
            progress.update()
