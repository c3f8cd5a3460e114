"""Trains the tiny checkpoint as a program of its own, so that it can be started in several processes, or killed.

Run as `python tests/training/tiny_run.py FOLDER OUT STEPS`, also under torch's or accelerate's launcher.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from nextgpt_core import checkpoint, encoders
from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.training.data import Blend
from nextgpt_core.training.loop import LoopConfig, train
from nextgpt_core.training.stages import STAGES


def blend() -> Blend:
    """Batches of six in which some have no sound and texts are of different lengths."""
    asked = [
        (
            Message("user", (Text(f"Make {modality} of {thing}"),)),
            Message("assistant", (Text(f"Here is {thing}."), Media(modality, Path(), thing))),
        )
        for thing in ("a cat", "a large dog", "rain")
        for modality in ("image", "image", "video", "audio")
    ]
    return Blend([asked], [1.0], 6, seed=5)


def run(folder: Path, out: Path, steps: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order are not bit for bit the same
    model = checkpoint.load(folder, "cpu", training=True)
    torch.manual_seed(3)
    train(model, STAGES["decode"], blend(), LoopConfig(steps, warmup=2, save_minutes=0, log_every=1), out)
    torch.set_num_threads(threads)


if __name__ == "__main__":
    encoders.KINDS["mean-colour"] = "tests.tiny:MeanColour"
    checkpoint.pick_dtype = lambda device: torch.float32
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
