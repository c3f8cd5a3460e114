"""`python -m nextgpt_core weights`: fetches the frozen weights of a profile and verifies them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nextgpt_core import weights
from nextgpt_core.base_model import load_base
from nextgpt_core.checkpoint import POCKET
from nextgpt_core.config import ConfigError, load_config
from nextgpt_core.hardware import pick_dtype


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, default=POCKET, metavar="DIR")
    parser.add_argument("--offline", action="store_true", help="only check what is there; touch no network")
    parser.add_argument("--training", action="store_true", help="also what only training needs")


def run(args: argparse.Namespace) -> int:
    try:
        config = load_config(args.checkpoint)
        for part, source in weights.named_sources(config, args.training):
            path = weights.resolve(source, args.checkpoint, offline=args.offline, verify=True)
            if part == "language model" and path.is_file() and not args.offline:
                # A .gguf is converted once, so that the first start need not.
                load_base(path, weights.cache_folder(), pick_dtype("cpu"), chat=True)
            print(f"{part}: {path}")
    except (ConfigError, weights.WeightsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
