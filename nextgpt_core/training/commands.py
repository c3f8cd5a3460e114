"""`python -m nextgpt_core train encode|decode|project|instruct`: one stage, from one checkpoint folder to another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import torch

from nextgpt_core import checkpoint
from nextgpt_core.config import load_config
from nextgpt_core.training.data import Blend, read_conversations
from nextgpt_core.training.loop import LoopConfig, train
from nextgpt_core.training.projection import train_projectors
from nextgpt_core.training.stages import STAGES, Stage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", choices=STAGES, help="what to train; see nextgpt_core/training/stages.py")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FROM", help="the folder to start from")
    parser.add_argument("--out", type=Path, required=True, help="where state, log and the new checkpoint go")
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="FILE[=WEIGHT]", help="JSONL conversations, blended by weight (1)"
    )
    parser.add_argument(
        "--longest", type=int, metavar="N", help="leaves out conversations of more than N characters, a file being 20"
    )
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=16, help="conversations a step, over all processes (16)")
    parser.add_argument(
        "--conversations", type=int, default=8000, help="for project: how many are read, whose runs make batches (8000)"
    )
    parser.add_argument("--accumulate", type=int, default=1, help="batches a step (1)")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the stage's learning rates (1)")
    parser.add_argument(
        "--group-rates",
        nargs="*",
        default=[],
        metavar="GROUP=FACTOR",
        help="more factors, for lora, signals, input or output alone; 0 leaves a group as it is",
    )
    parser.add_argument(
        "--denoise",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="weight of the frozen UNets' error on targets that have a file (0)",
    )
    parser.add_argument("--bits", type=int, choices=(16, 8, 6), default=16, help="of a weight in the checkpoint (16)")
    parser.add_argument("--fresh", action="store_true", help="start from config.json alone, without trained weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")


def run(args: argparse.Namespace) -> int:
    torch.manual_seed(args.seed)
    if args.fresh:
        model = checkpoint.build(args.checkpoint, load_config(args.checkpoint), args.device)
    else:
        model = checkpoint.load(args.checkpoint, args.device, training=True)
    stage = adapted(STAGES[args.stage], args.rate, args.group_rates, args.denoise)
    files = [(path, float(weight or 1)) for path, _, weight in (text.partition("=") for text in args.data)]
    sources = [read_conversations(Path(path), args.longest) for path, _ in files]
    blend = Blend(sources, [weight for _, weight in files], args.batch, args.seed)
    config = LoopConfig(args.steps, accumulate=args.accumulate, bits=args.bits)
    if set(stage.trains) == {"output"}:
        some = list(dict.fromkeys(islice(chain.from_iterable(blend.batches()), args.conversations)))
        train_projectors(model, stage, some, config, args.batch, args.out)
    else:
        train(model, stage, blend, config, args.out)
    return 0


def adapted(stage: Stage, rate: float, group_rates: Sequence[str], denoise: float) -> Stage:
    """The stage with its rates multiplied and, where it has a weight, the loss `denoise`. Raises ValueError."""
    factors = dict(text.partition("=")[::2] for text in group_rates)
    if unknown := factors.keys() - stage.trains.keys():
        raise ValueError(
            f"Stage {stage.name} does not train {', '.join(unknown)}; it trains {', '.join(stage.trains)}."
        )
    rates = {group: value * rate * float(factors.get(group, 1)) for group, value in stage.trains.items()}
    losses = stage.losses | ({"denoise": denoise} if denoise else {})
    return replace(stage, trains={group: value for group, value in rates.items() if value}, losses=losses)
