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
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nextgpt_core import checkpoint
from nextgpt_core.base_model import as_transformers
from nextgpt_core.conversation import ChatOptions, MediaReady, Message, Sampling, Text, TurnDone
from nextgpt_core.lean_llama import packs
from nextgpt_core.model import NextGPT

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROMPT = "Write a long story about a sailor who finds an island that is on no map, and what he meets there."
_SHORT_PROMPT = "Which season is the best for a walk?"
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
    figures["first_token_seconds"] = _median(
        args.runs, lambda: _turn(model, [_message("Tell me a joke.")]).timings.first_token
    )
    figures |= _warm_first_token(model, args.runs)
    figures |= _token_rates(model, args.runs, args.tokens)
    for modality in model.config.decoders:
        figures[f"seconds_per_{modality}"] = _median(args.runs, lambda m=modality: _medium_seconds(model, m))
    if args.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):44}{value:9.2f}")
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


def _warm_first_token(model: NextGPT, runs: int) -> dict[str, float]:
    """A new message in a conversation whose earlier turn is cached: only what is new is fed."""
    hello = Message("user", (Text("Hello!"),))
    seconds, fed = [], 0
    for _ in range(runs):
        scope = f"benchmark {time.monotonic_ns()}"
        done = _turn(model, [hello], scope=scope)
        timings = _turn(model, [hello, done.message, _message(_SHORT_PROMPT)], scope=scope).timings
        seconds.append(timings.first_token)
        fed = timings.fed_tokens
    return {"warm_first_token_seconds": statistics.median(seconds), "warm_new_tokens": fed}


def _token_rates(model: NextGPT, runs: int, tokens: int) -> dict[str, float]:
    """Decoding the same prompt with the same weights, ours and transformers' `generate`, in turn.

    `step` is the language model alone. On a CPU with a kernel for it, weights in 8 bits are measured beside the full.
    """
    language_model, configured = model.language_model, model.config.language_model.cpu_bits
    on_cpu = model.device.type == "cpu"
    variants = {16: "_16_bits", 8: "_8_bits"} if on_cpu and packs(language_model.base.dtype) else {configured: ""}
    stock = as_transformers(language_model.base)
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        theirs = _generate_rate(stock, _prompt_ids(model)[None], tokens)
        found["tokens_per_second_transformers_generate"].append(theirs)
        for bits, suffix in variants.items():
            language_model.make_lean(bits)
            ours = _turn(model, [_message(_PROMPT)], tokens).timings.tokens_per_second
            found[f"tokens_per_second{suffix}"].append(ours)
            found[f"ratio{suffix}"].append(ours / theirs)
            found[f"step_tokens_per_second{suffix}"].append(_step_rate(model, tokens))
    language_model.make_lean(configured)
    return {name: statistics.median(values) for name, values in sorted(found.items())}


def _prompt_ids(model: NextGPT) -> Tensor:
    segments = model.renderer.render([_message(_PROMPT)])
    return torch.tensor([i for segment in segments for i in segment.ids], device=model.device)


@torch.inference_mode()
def _generate_rate(stock: PreTrainedModel, ids: Tensor, tokens: int) -> float:
    """ids: (1, n), the prompt, whose own pass is taken off: the clock starts at the first new token."""
    clock = _Clock()
    stock.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0, streamer=clock)
    return (tokens - 1) / (clock.times[-1] - clock.times[1])


class _Clock:
    """A streamer that notes when transformers' `generate` had what: the prompt, then token after token."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing: the last token was the end."""


@torch.inference_mode()
def _step_rate(model: NextGPT, tokens: int) -> float:
    """Row in, the next token's logits out, on the host as they are needed there."""
    language_model, fed = model.language_model, model.language_model.new_rows()
    rows = language_model.embed(_prompt_ids(model))
    language_model.extend(rows, fed)
    language_model.extend(rows[:1], fed)  # a GPU records its step at the first
    began = time.perf_counter()
    for _ in range(tokens):
        language_model.next_logits(language_model.extend(rows[:1], fed)[0]).cpu()
    return tokens / (time.perf_counter() - began)


def _message(text: str) -> Message:
    return Message("user", (Text(text),))


def _turn(model: NextGPT, messages: list[Message], tokens: int = 16, scope: str = "") -> TurnDone:
    """One greedy answer without media; in a scope of its own where none is given, so that no cached prefix helps."""
    sampling = Sampling(temperature=0.0, max_tokens=tokens)
    scope = scope or f"benchmark {time.monotonic_ns()}"
    return list(model.chat(messages, ChatOptions(sampling=sampling, seed=0, wanted=_NO_MEDIA, scope=scope)))[-1]


def _medium_seconds(model: NextGPT, modality: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        options = ChatOptions(seed=0, wanted=_NO_MEDIA | {modality: "always"}, out_dir=Path(folder))
        events = list(model.chat([_message("A red apple.")], options))
    return sum(event.provenance.seconds for event in events if isinstance(event, MediaReady))


def _median(runs: int, measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(runs))
