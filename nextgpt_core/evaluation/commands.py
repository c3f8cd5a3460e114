"""`python -m nextgpt_core evaluate`: the whole, or one of its judges; figures that anyone can print again.

The judges of decoders alone and of 8 bits are not part of the whole.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextgpt_core import checkpoint
from nextgpt_core.config import load_config
from nextgpt_core.conversation import Modality
from nextgpt_core.decoders import build_decoder
from nextgpt_core.encoders.efficientnet import EfficientNetLite2
from nextgpt_core.evaluation import routing
from nextgpt_core.evaluation.replies import load_for_judging, load_untouched
from nextgpt_core.lean_llama import packs
from nextgpt_core.weights import cache_folder, resolve

if TYPE_CHECKING:
    from nextgpt_core.evaluation.report import Sources


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=("all", *JUDGES), default="all", help="the whole (all) or a part")
    parser.add_argument("--checkpoint", type=Path, default=checkpoint.POCKET, metavar="DIR")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="photos with labels.jsonl (file, class_index, label)"
    )
    parser.add_argument("--sounds", type=Path, metavar="DIR", help="recordings with labels.jsonl (file, label)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="for images and videos: what `data images` built (in the cache)"
    )
    parser.add_argument("--decoder", type=Path, metavar="DIR", help="for audio: one that config.json does not name")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="for audio: a picture of spectrograms, real and made"
    )
    parser.add_argument("--concepts", type=int, help="things asked for (images 400, videos 200, else 40)")
    parser.add_argument(
        "--cases", type=int, help="scenes of each kind, mixtures (all and alignment 20, images and audio 60)"
    )
    parser.add_argument(
        "--prompts", type=int, help="of the matrix, at random (all and routing 1500; bits 0, besides own words)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="for all: a page with the media inside")
    parser.add_argument("--json", action="store_true", help="print one JSON object, every answer included")


def run(args: argparse.Namespace) -> int:
    figures = _whole(args) if args.what == "all" else JUDGES[args.what](args)
    if args.json:
        print(json.dumps(figures, ensure_ascii=False, indent=2))
    else:
        for name, value in _numbers(figures):
            print(f"{name:40}{value:8.3f}")
        for name, reason in figures.get("not_judged", {}).items():
            print(f"{name:40}not judged: {reason}")
    return 0


def _numbers(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested objects, by its dotted name; lists of single answers are left to --json."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{name}.")
        elif isinstance(value, int | float):
            yield f"{before}{name}", value


def _whole(args: argparse.Namespace) -> dict[str, Any]:
    from nextgpt_core.evaluation.report import evaluate_all
    from nextgpt_core.evaluation.sheet import write_sheet

    with tempfile.TemporaryDirectory() as work:
        report = evaluate_all(load_for_judging(args.checkpoint, args.device), _sources(args, work))
        if args.html is not None:
            write_sheet(report, args.html)
    return report.figures


def _alignment(args: argparse.Namespace) -> dict[str, Any]:
    from nextgpt_core.evaluation.report import align_all

    return _part_of_whole(args, align_all)


def _understanding(args: argparse.Namespace) -> dict[str, Any]:
    from nextgpt_core.evaluation.report import understand_all

    return _part_of_whole(args, understand_all)


def _part_of_whole(args: argparse.Namespace, judge: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    not_judged: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as work:
        found = judge(load_for_judging(args.checkpoint, args.device), _sources(args, work), not_judged)
    return {**found, "not_judged": not_judged}


def _sources(args: argparse.Namespace, work: str) -> Sources:
    from nextgpt_core.evaluation.report import Sources

    given = {name: value for name in ("concepts", "cases", "prompts") if (value := getattr(args, name)) is not None}
    return Sources(_data(args), Path(work), args.photos, args.sounds, **given)


def _text(args: argparse.Namespace) -> dict[str, object]:
    from nextgpt_core.evaluation import plain_text

    untouched = load_untouched(args.checkpoint, args.device)
    return plain_text.evaluate_text(load_for_judging(args.checkpoint, args.device), untouched)


def _routing(args: argparse.Namespace) -> dict[str, object]:
    return routing.evaluate_routing(load_for_judging(args.checkpoint, args.device), routing.some_prompts(args.prompts))


def _bits(args: argparse.Namespace) -> dict[str, object]:
    from nextgpt_core.evaluation import eight_bits, plain_text

    model = checkpoint.load(args.checkpoint, "cpu")
    if not packs(model.language_model.base.dtype):
        raise SystemExit("This torch has no products in 8 bits for this CPU, so there is nothing to compare.")
    prompts = [*routing.own_words(), *routing.some_prompts(args.prompts or 0)]
    return eight_bits.evaluate_bits(model, prompts, plain_text.conversations())


def _images(args: argparse.Namespace) -> dict[str, object]:
    from nextgpt_core.evaluation import images  # draws data, which only rebuilding the decoders needs

    return images.evaluate_images(
        *_decoder_and_judge(args, "image"), _data(args), args.concepts or 400, args.cases or 60
    )


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
    return sounds.evaluate_audio(
        decoder, SoundEffects(resolve(source)), _data(args) / "sounds", args.cases or 60, sheet=args.sheet
    )


def _decoder_and_judge(args: argparse.Namespace, modality: Modality) -> tuple[Any, EfficientNetLite2]:
    config = load_config(args.checkpoint)
    if modality not in config.decoders:
        raise SystemExit(f"{args.checkpoint}/config.json names no {modality} decoder, so there is nothing to judge.")
    source = next(encoder.source for encoder in config.encoders.values() if encoder.kind == "efficientnet-lite2")
    return build_decoder(config.decoders[modality], args.checkpoint), EfficientNetLite2(resolve(source))


def _data(args: argparse.Namespace) -> Path:
    return args.data or cache_folder() / "pocket"


JUDGES: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {
    "alignment": _alignment,
    "routing": _routing,
    "text": _text,
    "understanding": _understanding,
    "bits": _bits,
    "images": _images,
    "videos": _videos,
    "audio": _audio,
}
