"""`python -m nextgpt_core data clips`: from a picture decoder to a clip decoder that shares its weights.

Shards of latents are built once and kept; training resumes. Pictures come first, since clips start from them. What
clips share in the end is the autoencoder and what is read of a caption: things that move stand anywhere, and smaller
than pictures have them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet3DConditionModel
from torch import nn

from nextgpt_core.decoders.autoencoder import PocketAutoencoder
from nextgpt_core.decoders.folder import load_component
from nextgpt_core.decoders.layout import LayoutPainter
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.decoders.sketch_unet import SketchUNet2DConditionModel
from nextgpt_core.decoders.video import VideoDecoder
from nextgpt_core.pocket.autoencoder_task import to_pictures
from nextgpt_core.pocket.clip_data import (
    build_animation_shard,
    build_clip_shards,
    build_frame_shards,
    draw_clip,
    draw_clips,
    film_strips,
    moving_sheet,
)
from nextgpt_core.pocket.clips import FPS, FRAMES
from nextgpt_core.pocket.denoiser_task import DenoiserTask
from nextgpt_core.pocket.images import contact_sheet
from nextgpt_core.pocket.layouts import CONCEPTS
from nextgpt_core.pocket.sketch_command import open_drawn
from nextgpt_core.pocket.sketch_task import Drawn, PainterTask
from nextgpt_core.pocket.training import Plan, train
from nextgpt_core.pocket.video_task import FrameTask, new_video_unet, of_frames, write_video_decoder

SETTINGS = {"steps": 4, "guidance_scale": 1.0, "noise": 0.3, "shared_noise": 0.9,
            "height": 256, "width": 256, "frames": FRAMES, "fps": FPS}  # fmt: skip
WHOLE = 6  # shards of whole clips, for the layers along time
PAINTING = Plan(4000, 96, 5e-4, warmup=30, average=0.995)
FRAMING = Plan(600, 32, 4e-4, warmup=30, average=0.99)
SAMPLES = ("a rocket flying up", "a red car driving from left to right", "an apple spinning", "an animated ghost")


def draw_sheet(folder: Path, out: Path) -> None:
    """24 clips of the training data: a sheet that moves, one that does not, and their captions."""
    clips = draw_clips(folder, 0, 24)
    drawn = [draw_clip(folder, clip) for clip in clips]
    moving_sheet(drawn, 6, out / "clips.webp")
    film_strips(drawn, out / "clips.jpg")
    (out / "clips.txt").write_text("\n".join(clip.scene.caption for clip in clips) + "\n", encoding="utf-8")


def train_clips(
    folder: Path,
    out: Path,
    image_folder: Path,
    condition: SentenceCondition,
    shards: int,
    plan: Plan,
    start: Path | None = None,
) -> None:
    """Trains on latents of the picture decoder's autoencoder and writes the decoder to `out` at every save.

    It starts from the picture decoder, or goes on from the clip decoder in `start`. A plan of no minutes leaves the
    layers along time as identities.
    """
    autoencoder, runs = load_component(image_folder, "vae"), folder / "runs"
    frames = open_drawn(build_frame_shards(folder, autoencoder, condition, shards), condition.length)
    frame_unet = load_component(image_folder, "unet")
    if start is not None:
        frame_unet = of_frames(load_component(start, "unet"), frame_unet)
    sitting = "" if start is None else f"-from-{start.name}"
    train_painter(runs / f"clips-painter{sitting}", autoencoder, condition, frames, frame_unet.sketch.painter)
    train_frames(runs / f"clips-frames{sitting}", autoencoder, condition, frames, frame_unet)
    unet = new_video_unet(frame_unet)
    if not plan.minutes:
        write_video_decoder(out, unet, image_folder)
        return
    build_animation_shard(folder, autoencoder, condition)
    clips = open_drawn(build_clip_shards(folder, autoencoder, condition, WHOLE), condition.length)
    prompts = condition.embed(list(SAMPLES))

    def write(network: nn.Module, _: Path) -> None:
        write_video_decoder(out, network, image_folder)

    def draw(network: UNet3DConditionModel, path: Path) -> None:
        write(network, path)
        decoder = VideoDecoder(out, SETTINGS)
        film_strips([decoder.generate(prompt[None], SETTINGS, seed) for seed, prompt in enumerate(prompts)], path)

    weights = autoencoder.channel_effects().sqrt()
    rows = torch.arange(len(clips.shards))
    task = DenoiserTask(unet, clips.shards, rows, weights, write, draw, SETTINGS["shared_noise"])
    train(task, runs / f"clips{sitting}", plan)


def train_painter(
    run_folder: Path,
    autoencoder: PocketAutoencoder,
    condition: SentenceCondition,
    clips: Drawn,
    painter: LayoutPainter,
) -> None:
    """Goes on with the pictures' painter, in place, by frames of clips alone."""
    contents = condition.embed_all(list(CONCEPTS))[:, 0]

    def draw(network: LayoutPainter, path: Path) -> None:
        sketched = network(clips.labels.layout(torch.arange(8), contents))[0]
        contact_sheet(list(to_pictures(autoencoder.decode(sketched.float()).sample)), 8, path)

    painter.requires_grad_(True)
    rows, effects = torch.arange(len(clips.shards)), autoencoder.channel_effects().sqrt()
    train(PainterTask(painter, None, clips, rows, effects, draw, contents), run_folder, PAINTING)
    painter.requires_grad_(False)


def train_frames(
    run_folder: Path,
    autoencoder: PocketAutoencoder,
    condition: SentenceCondition,
    clips: Drawn,
    unet: SketchUNet2DConditionModel,
) -> None:
    """Goes on with the pictures' UNet, in place, by frames of clips; its sketch stays, but for its errors."""
    prompts = condition.embed(list(SAMPLES))

    def draw(network: SketchUNet2DConditionModel, path: Path) -> None:
        sketched = network.sketch(prompts, FRAMES)[0]
        contact_sheet(list(to_pictures(autoencoder.decode(sketched.float()).sample)), FRAMES, path)

    unet.requires_grad_(True)
    for part in (unet.sketch.reader, unet.sketch.painter):
        part.requires_grad_(False)
    train(FrameTask(unet, clips, autoencoder.channel_effects().sqrt(), draw), run_folder, FRAMING)
    unet.requires_grad_(False)
