"""Writes the pocket profile's training conversations: `python -m nextgpt_core dialogues --out DIR`.

Drawn files and the untouched model's answers are kept where they are there already.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

import torch
from tqdm import tqdm

from nextgpt_core import checkpoint, weights
from nextgpt_core.config import load_config
from nextgpt_core.pocket.captions import CaptionSampler
from nextgpt_core.pocket.dialogues import replay, shown
from nextgpt_core.pocket.dialogues.writer import DialogueWriter
from nextgpt_core.pocket.sounds.rows import captions_of_sounds
from nextgpt_core.training.data import write_conversations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="the folder for the JSONL files and what they show")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos with labels.jsonl (file, label)")
    parser.add_argument("--sounds", type=Path, metavar="DIR", help="recordings with labels.jsonl (file, label)")
    parser.add_argument("--count", type=int, default=12000, help="dialogues of each kind (12000)")
    parser.add_argument("--pictures", type=int, default=1500, help="drawn scenes to show and ask about (1500)")
    parser.add_argument("--clips", type=int, default=300, help="the same as clips (300)")
    parser.add_argument("--replay", type=int, default=900, help="ordinary questions for the untouched model (900)")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    data, rng = weights.cache_folder() / "pocket", Random(args.seed)
    learned = {m: shown.captions(m, data, args.seed).__next__ for m in shown.DRAWINGS}
    learned["audio"] = captions_of_sounds(args.seed).__next__
    captions = CaptionSampler(rng, learned)
    files = {
        "image": [*shown.labelled(args.photos), *shown.drawn("image", data, args.out, args.pictures)],
        "video": shown.drawn("video", data, args.out, args.clips),
        "audio": shown.labelled(args.sounds),
    }
    writer = DialogueWriter(rng, captions, files)
    for name, write in writer.kinds().items():
        write_conversations((write() for _ in tqdm(range(args.count), desc=name)), args.out / f"{name}.jsonl")
    if args.replay and not (args.out / "replay.jsonl").is_file():
        _write_replay(args.out / "replay.jsonl", args.replay, rng)
    return 0


def _write_replay(path: Path, count: int, rng: Random) -> None:
    model = checkpoint.build(checkpoint.POCKET, load_config(checkpoint.POCKET)).eval()
    model.language_model.merge_lora()
    with torch.inference_mode():
        write_conversations(replay.answer(model, replay.questions(rng, count)), path)
