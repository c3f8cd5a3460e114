"""`python -m nextgpt_core memory`: the plan for a card that need not be here and a profile that need not be fetched."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nextgpt_core.config import ConfigError, load_config
from nextgpt_core.memory import GIB, DoesNotFitError, describe, plan
from nextgpt_core.sizes import measure
from nextgpt_core.weights import WeightsError

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", default="7b", metavar="DIR", help="a folder, or a name in checkpoints/")
    parser.add_argument("--gpu", type=float, required=True, metavar="GB", help="the GPU's memory: 80, 48, 24, 16, 12")


def run(args: argparse.Namespace) -> int:
    folder = Path(args.checkpoint) if Path(args.checkpoint).is_dir() else CHECKPOINTS / args.checkpoint
    try:
        config = load_config(folder)
        chosen = plan(config, measure(config, folder), usable(args.gpu))
    except (ConfigError, DoesNotFitError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 1
    print(describe(chosen))
    return 0


def usable(gigabytes: float) -> int:
    """Bytes for us of a card sold with so many: drivers and error correction hold back a twentieth."""
    return round(0.95 * gigabytes * GIB)
