"""`python -m nextgpt_core evaluate photos|routing|bits|images|videos|audio`: figures that anyone can print again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nextgpt_core import checkpoint
from nextgpt_core.config import load_config
from nextgpt_core.conversation import Modality
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
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="for images and videos: what `data images` built (in the cache)"
    )
    parser.add_argument("--decoder", type=Path, metavar="DIR", help="for audio: one that config.json does not name")
    parser.add_argument("--concepts", type=int, help="for images and videos: objects asked for (400, 200)")
    parser.add_argument(
        "--cases", type=int, default=60, help="for images and audio: scenes of each kind, mixtures (60)"
    )
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


def _bits(args: argparse.Namespace) -> dict[str, object]:
    from nextgpt_core.evaluation import eight_bits, plain_text

    model = checkpoint.load(args.checkpoint, "cpu")
    return eight_bits.evaluate_bits(model, routing.own_words(), plain_text.conversations())


def _images(args: argparse.Namespace) -> dict[str, object]:
    from nextgpt_core.evaluation import images  # draws data, which only rebuilding the decoders needs

    return images.evaluate_images(*_decoder_and_judge(args, "image"), _data(args), args.concepts or 400, args.cases)


def _videos(args: argparse.Namespace) -> dict[str, object]:
    from nextgpt_core.evaluation import videos

    return videos.evaluate_videos(*_decoder_and_judge(args, "video"), _data(args), args.concepts or 200)


def _audio(args: argparse.Namespace) -> dict[str, object]:
    from nextgpt_core.decoders.audio import AudioDecoder
    from nextgpt_core.encoders.sound_effects import SoundEffects
    from nextgpt_core.evaluation import sounds
    from nextgpt_core.pocket.commands import MINILM
    from nextgpt_core.pocket.sounds.stages import SETTINGS

    config = load_config(args.checkpoint)
    if args.decoder is not None:
        decoder = AudioDecoder(args.decoder, SETTINGS, lambda: resolve(MINILM))
    elif "audio" in config.decoders:
        decoder = build_decoder(config.decoders["audio"], args.checkpoint)
    else:
        raise SystemExit(f"{args.checkpoint}/config.json names no audio decoder; name one's folder with --decoder DIR.")
    source = next(encoder.source for encoder in config.encoders.values() if encoder.kind == "sound-effects")
    return sounds.evaluate_audio(decoder, SoundEffects(resolve(source)), _data(args) / "sounds", args.cases)


def _decoder_and_judge(args: argparse.Namespace, modality: Modality) -> tuple[Any, EfficientNetLite2]:
    config = load_config(args.checkpoint)
    if modality not in config.decoders:
        raise SystemExit(f"{args.checkpoint}/config.json names no {modality} decoder, so there is nothing to judge.")
    source = next(encoder.source for encoder in config.encoders.values() if encoder.kind == "efficientnet-lite2")
    return build_decoder(config.decoders[modality], args.checkpoint), EfficientNetLite2(resolve(source))


def _data(args: argparse.Namespace) -> Path:
    return args.data or cache_folder() / "pocket"


JUDGES: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {
    "photos": _photos,
    "routing": _routing,
    "bits": _bits,
    "images": _images,
    "videos": _videos,
    "audio": _audio,
}
