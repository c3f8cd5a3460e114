"""`python -m nextgpt_core benchmark`: how fast a checkpoint is here, beside a peer in the same run.

Absolute figures belong to a machine and a moment; the ratios travel. Each pair is measured in turn, several times, and
the medians are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from nextgpt_core import checkpoint
from nextgpt_core.conversation import ChatOptions, MediaReady, Message, Sampling, Text, TurnDone
from nextgpt_core.model import NextGPT

_PROMPT = "Write a long story about a sailor who finds an island that is on no map, and what he meets there."
_NO_MEDIA = {"image": "never", "video": "never", "audio": "never"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, default=checkpoint.POCKET, metavar="DIR")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=int, default=3, help="how often each figure is measured (3)")
    parser.add_argument("--tokens", type=int, default=64, help="length of the timed reply (64)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    figures: dict[str, float] = {"start_to_first_token_seconds": _cold_start(args)}
    began = time.perf_counter()
    model = checkpoint.load(args.checkpoint, args.device)
    figures["load_seconds"] = time.perf_counter() - began
    figures["first_token_seconds"] = _median(args.runs, lambda: _turn(model, "Tell me a joke.").timings.first_token)
    figures |= _token_rates(model, args.runs, args.tokens)
    for modality in model.config.decoders:
        figures[f"seconds_per_{modality}"] = _median(args.runs, lambda m=modality: _medium_seconds(model, m))
    if args.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):34}{value:9.2f}")
    return 0


def _cold_start(args: argparse.Namespace) -> float:
    """A new process, from its start to the first token of an answer; the weights are in the cache."""
    code = (
        "import sys; from nextgpt_core import checkpoint; from nextgpt_core.conversation import *;"
        "next(checkpoint.load(sys.argv[1], sys.argv[2]).chat([Message('user', (Text('Hello!'),))]))"
    )
    command = [sys.executable, "-c", code, str(args.checkpoint), args.device]

    def start() -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return _median(args.runs, start)


def _token_rates(model: NextGPT, runs: int, tokens: int) -> dict[str, float]:
    """Greedy decoding of the same prompt with the same weights, ours and transformers' `generate`, in turn."""
    segments = model.renderer.render([Message("user", (Text(_PROMPT),))])
    ids = torch.tensor([[i for segment in segments for i in segment.ids]], device=model.device)

    def ours() -> float:
        return _turn(model, _PROMPT, tokens).timings.tokens_per_second

    @torch.inference_mode()
    def theirs() -> float:
        seconds = []
        for count in (1, tokens):  # the prompt's own pass is taken off
            began = time.perf_counter()
            model.language_model.base.generate(
                ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0
            )
            seconds.append(time.perf_counter() - began)
        return (tokens - 1) / (seconds[1] - seconds[0])

    pairs = [(ours(), theirs()) for _ in range(runs)]
    return {
        "tokens_per_second": statistics.median(a for a, _ in pairs),
        "tokens_per_second_transformers_generate": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def _turn(model: NextGPT, text: str, tokens: int = 16) -> TurnDone:
    """One answer without media; a new scope, so that no cached prefix helps."""
    options = ChatOptions(
        sampling=Sampling(max_tokens=tokens), seed=0, wanted=_NO_MEDIA, scope=f"benchmark {time.monotonic_ns()}"
    )
    return list(model.chat([Message("user", (Text(text),))], options))[-1]


def _medium_seconds(model: NextGPT, modality: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        options = ChatOptions(seed=0, wanted=_NO_MEDIA | {modality: "always"}, out_dir=Path(folder))
        events = list(model.chat([Message("user", (Text("A red apple."),))], options))
    return sum(event.provenance.seconds for event in events if isinstance(event, MediaReady))


def _median(runs: int, measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(runs))
