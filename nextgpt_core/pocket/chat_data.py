"""Writes the pocket profile's training conversations: `python -m nextgpt_core dialogues --out DIR`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from tqdm import tqdm

from nextgpt_core import checkpoint, weights
from nextgpt_core.config import load_config
from nextgpt_core.conversation import Modality
from nextgpt_core.pocket import replay
from nextgpt_core.pocket.captions import CaptionSampler, article
from nextgpt_core.pocket.dialogues import DialogueWriter
from nextgpt_core.pocket.scenes import SceneSampler, sprite_hues
from nextgpt_core.pocket.sources import build_sprites
from nextgpt_core.training.data import write_conversations

Shown = list[tuple[Path, Modality, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="the folder for the JSONL files")
    parser.add_argument("--photos", type=Path, help="a folder of photos with labels.jsonl (file, label)")
    parser.add_argument("--sounds", type=Path, help="a folder of recordings with labels.jsonl (file, label)")
    parser.add_argument("--count", type=int, default=20000, help="dialogues of each kind (20000)")
    parser.add_argument("--replay", type=int, default=700, help="ordinary questions for the untouched model (700)")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    shown = [*labelled(args.photos, "image"), *labelled(args.sounds, "audio")]
    rng = Random(args.seed)
    writer = DialogueWriter(rng, CaptionSampler(rng, _scene_captions(args.seed)), shown)
    kinds = {
        "captions": writer.caption_only,
        "single": writer.single,
        "several": writer.several,
        "follow_up": writer.follow_up,
    }
    if shown:
        kinds["files"] = writer.about_a_file
    for name, write in kinds.items():
        write_conversations((write() for _ in tqdm(range(args.count), desc=name)), args.out / f"{name}.jsonl")
    if args.replay:
        model = checkpoint.build(checkpoint.POCKET, load_config(checkpoint.POCKET)).eval()
        model.language_model.merge_lora()
        with torch.inference_mode():
            write_conversations(replay.answer(model, replay.questions(rng, args.replay)), args.out / "replay.jsonl")
    return 0


def _scene_captions(seed: int) -> Callable[[], str]:
    """Captions of the scenes that the image decoder learns from, without the words that say it is a picture."""
    sprites = build_sprites(weights.cache_folder() / "pocket")
    scenes = SceneSampler(sprites, sprite_hues(sprites), Random(seed))

    def draw() -> str:
        while (caption := scenes().caption).startswith(("a picture", "an image", "a drawing")):
            pass
        return caption

    return draw


def labelled(folder: Path | None, modality: Modality) -> Shown:
    """(file, modality, what it shows), less a tenth that is held out: of the photos' classes, of the recordings."""
    if folder is None:
        return []
    items = []
    with (folder / "labels.jsonl").open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            label = json.loads(line)
            which = label.get("class_index", number)
            if which % 10 != 7:  # evaluation.understanding judges by these
                items.append((folder.resolve() / label["file"], modality, article(label["label"])))
    return items
