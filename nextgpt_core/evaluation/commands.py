"""`python -m nextgpt_core evaluate photos|routing|images`: figures that anyone can print again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from nextgpt_core import checkpoint
from nextgpt_core.config import load_config
from nextgpt_core.decoders import build_decoder
from nextgpt_core.encoders.efficientnet import EfficientNetLite2
from nextgpt_core.evaluation import routing, understanding
from nextgpt_core.weights import cache_folder, resolve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=JUDGES)
    parser.add_argument("--checkpoint", type=Path, default=checkpoint.POCKET, metavar="DIR")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="photos with labels.jsonl (file, class_index, label)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="for images: what `data images` built (in the cache)")
    parser.add_argument("--concepts", type=int, default=400, help="for images: objects asked for (400)")
    parser.add_argument("--cases", type=int, default=60, help="for images: scenes of each kind (60)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, every answer included")


def run(args: argparse.Namespace) -> int:
    figures = JUDGES[args.what](args)
    if args.json:
        print(json.dumps(figures, ensure_ascii=False, indent=2))
    else:
        for name, value in figures.items():
            if isinstance(value, int | float):
                print(f"{name:24}{value:8.3f}")
    return 0


def _photos(args: argparse.Namespace) -> dict[str, object]:
    if args.photos is None:
        raise SystemExit("evaluate photos needs --photos DIR, a folder of photos with labels.jsonl.")
    held_out = understanding.held_out_photos(args.photos)
    return understanding.evaluate_photos(checkpoint.load(args.checkpoint, args.device), held_out)


def _routing(args: argparse.Namespace) -> dict[str, object]:
    return routing.evaluate_routing(checkpoint.load(args.checkpoint, args.device))


def _images(args: argparse.Namespace) -> dict[str, object]:
    from nextgpt_core.evaluation import images  # draws data, which only rebuilding the decoders needs

    config = load_config(args.checkpoint)
    if "image" not in config.decoders:
        raise SystemExit(f"{args.checkpoint}/config.json names no image decoder, so there is nothing to judge.")
    decoder = build_decoder(config.decoders["image"], args.checkpoint)
    source = next(encoder.source for encoder in config.encoders.values() if encoder.kind == "efficientnet-lite2")
    judge = EfficientNetLite2(resolve(source))
    return images.evaluate_images(decoder, judge, args.data or cache_folder() / "pocket", args.concepts, args.cases)


JUDGES: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {
    "photos": _photos,
    "routing": _routing,
    "images": _images,
}
