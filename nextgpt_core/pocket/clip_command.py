"""`python -m nextgpt_core data clips`: from a picture decoder to a clip decoder that shares its weights.

Shards of latents are built once and kept; training resumes. Pictures come first, since clips start from them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet3DConditionModel
from torch import nn

from nextgpt_core.decoders.folder import load_component
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.decoders.video import VideoDecoder
from nextgpt_core.pocket.clip_data import (
    build_animation_shard,
    build_clip_shards,
    draw_clip,
    draw_clips,
    film_strips,
    moving_sheet,
)
from nextgpt_core.pocket.clips import FPS, FRAMES
from nextgpt_core.pocket.denoiser_task import DenoiserTask
from nextgpt_core.pocket.shards import Shards
from nextgpt_core.pocket.training import Plan, train
from nextgpt_core.pocket.video_task import freeze_shared, new_video_unet, write_video_decoder

SETTINGS = {"steps": 4, "guidance_scale": 1.0, "noise": 0.3, "shared_noise": 0.9,
            "height": 256, "width": 256, "frames": FRAMES, "fps": FPS}  # fmt: skip
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

    It starts from the picture decoder, or goes on from the clip decoder in `start`.
    """
    autoencoder = load_component(image_folder, "vae")
    build_animation_shard(folder, autoencoder, condition)
    data = Shards(build_clip_shards(folder, autoencoder, condition, shards), condition.length)
    if start is None:
        unet = new_video_unet(load_component(image_folder, "unet"))
    else:
        unet = freeze_shared(load_component(start, "unet").requires_grad_(True))
    prompts = condition.embed(list(SAMPLES))

    def write(network: nn.Module, _: Path) -> None:
        write_video_decoder(out, network, image_folder)

    def draw(network: UNet3DConditionModel, path: Path) -> None:
        write(network, path)
        decoder = VideoDecoder(out, SETTINGS)
        film_strips([decoder.generate(prompt[None], SETTINGS, seed) for seed, prompt in enumerate(prompts)], path)

    weights = autoencoder.channel_effects().sqrt()
    task = DenoiserTask(unet, data, torch.arange(len(data)), weights, write, draw, SETTINGS["shared_noise"])
    name = "clips" if start is None else f"clips-from-{start.name}"
    train(task, folder / "runs" / name, plan)
