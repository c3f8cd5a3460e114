"""The first part of `data images`: the sketch, which pictures and clips share, before any denoiser.

It learns to read from captions alone, of which there are many for little, and to paint from pictures and clips.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from nextgpt_core.decoders.autoencoder import PocketAutoencoder
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.decoders.sketch_unet import Sketch
from nextgpt_core.pocket import clip_data, images
from nextgpt_core.pocket.autoencoder_task import to_pictures
from nextgpt_core.pocket.holdout import DEFAULT_STYLE
from nextgpt_core.pocket.layouts import CONCEPTS, PLACED, STYLES, all_poses, read_labels
from nextgpt_core.pocket.shards import Shards, write_shard
from nextgpt_core.pocket.sketch_task import Drawn, PainterTask, ReaderTask, SketchErrorTask
from nextgpt_core.pocket.training import Plan, train

CAPTIONS = 12  # shards of captions of each, pictures and clips, of 4,000
_FIRST = 1000  # of their numbers, so that they are other captions than the pictures'
READING = Plan(1600, 256, 1e-3, average=0.995)
PAINTING = Plan(3300, 256, 1e-3, warmup=50, average=0.995)
ERRORS = Plan(250, 256, 2e-3, warmup=20)
SAMPLES = (
    "a red apple", "a dog", "two cats", "a blue car on a beach", "a rocket in the night sky", "a slice of pizza",
    "a green frog", "a line drawing of a fish",
)  # fmt: skip


def build_captions(folder: Path, condition: SentenceCondition, shards: int = CAPTIONS) -> Path:
    """Captions of pictures and of clips that nobody draws, as shards without latents; returns their folder."""
    root = folder / "captions"
    for number in range(_FIRST, _FIRST + shards):
        if not (root / f"pictures{number}").is_dir():
            scenes = images.draw_scenes(folder, number, images.SHARD)
            captions, lines = [scene.caption for scene in scenes], [scene.to_json() for scene in scenes]
            write_shard(root / f"pictures{number}", None, condition.embed_all(captions), lines)
        if not (root / f"clips{number}").is_dir():
            clips = clip_data.draw_clips(folder, number, images.SHARD)
            captions, lines = [clip.scene.caption for clip in clips], [clip.to_json() for clip in clips]
            write_shard(root / f"clips{number}", None, condition.embed_all(captions), lines)
    return root


def open_drawn(folder: Path, length: int) -> Drawn:
    """Shards and what their lines say."""
    shards = Shards(folder, length)
    return Drawn(shards, read_labels(shards.scenes()))


def train_sketch(
    run_folder: Path,
    autoencoder: PocketAutoencoder,
    condition: SentenceCondition,
    captions: Drawn,
    pictures: Drawn,
    clips: Drawn,
    for_sketch: int,
    sketch: Sketch,
) -> Sketch:
    """Trains it in place: on all captions and clips, and on the first `for_sketch` pictures; its errors on the others.

    Its runs lie beside `run_folder` and are resumed from there.
    """
    contents = condition.embed_all(list(CONCEPTS))[:, 0]
    effects, prompts = autoencoder.channel_effects().sqrt(), condition.embed(list(SAMPLES))

    def draw(sketched: Tensor, path: Path) -> None:
        images.contact_sheet(list(to_pictures(autoencoder.decode(sketched.float()).sample)), 8, path)

    def draw_read(reader: nn.Module, path: Path) -> None:
        draw(sketch.painter(reader(prompts).to(torch.float32))[0], path)

    def draw_painted(painter: nn.Module, path: Path) -> None:
        unseen = torch.arange(for_sketch, len(pictures.shards))[:8]
        layout = pictures.labels.layout(unseen, contents)
        draw(painter(layout)[0], path)

    def stage(name: str) -> Path:
        return run_folder.with_name(f"{run_folder.name}-{name}")

    sketch.poses.copy_(all_poses().flatten())
    sketch.reader.concepts.zero_()[: len(contents)] = contents
    sketch.reader.drawn.copy_(pictures.labels.looks())
    sketch.reader.places.copy_(pictures.labels.places().flatten())
    train(ReaderTask(sketch.reader, captions, contents, draw_read), stage("reader"), READING)
    rows = torch.cat([weighted_rows(pictures, 0, for_sketch), clip_rows(pictures, clips)])
    task = PainterTask(sketch.painter, pictures, clips, rows, effects, draw_painted, contents)
    train(task, stage("painter"), PAINTING)
    rows = torch.cat([torch.arange(for_sketch, len(pictures.shards)), clip_rows(pictures, clips)])
    task = SketchErrorTask(
        sketch, pictures, clips, rows, effects, lambda network, path: draw(network(prompts)[0], path)
    )
    train(task, stage("errors"), ERRORS)
    return sketch.requires_grad_(False)


def weighted_rows(pictures: Drawn, first: int, end: int) -> Tensor:
    """Rows `first` to `end`, twice where several things, a place or the default style are in them.

    That style is what people get when they name none.
    """
    labels, rows = pictures.labels, torch.arange(first, end)
    several = labels.present[rows].sum(1) > 1
    placed = labels.background[rows] < len(PLACED)
    default = labels.style[rows] == STYLES[DEFAULT_STYLE]
    return rows.repeat_interleave(1 + (several | placed | default).long())


def clip_rows(pictures: Drawn, clips: Drawn) -> Tensor:
    """All clips, as rows behind the pictures, eight times: they have sixteen frames."""
    return len(pictures.shards) + torch.arange(len(clips.shards)).repeat_interleave(8)
