"""`python -m nextgpt_core chat`: one answer, or a conversation, in the terminal.

The page, tests and measurements share this way in. `--json` prints one object: `text`, `media` (modality, path,
caption, seed, seconds), `failed` (modality, reason) and `timings`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from nextgpt_core import checkpoint, media
from nextgpt_core.conversation import (
    MODALITIES,
    ChatOptions,
    Event,
    Media,
    MediaFailed,
    MediaProgress,
    MediaReady,
    MediaStarted,
    Message,
    Notice,
    Text,
    TextDelta,
    TooLongError,
    TurnDone,
)
from nextgpt_core.model import NextGPT

_HELP = "Type a message; /file PATH attaches a file to it, /new starts over, an empty line or Ctrl-D ends."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what to say; without it, an interactive conversation")
    parser.add_argument("--checkpoint", type=Path, default=checkpoint.POCKET, metavar="DIR")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--file", type=Path, action="append", default=[], metavar="PATH", help="show the model a file")
    for modality in MODALITIES:
        parser.add_argument(f"--{modality}", choices=("auto", "always", "never"), default="auto")
    parser.add_argument("--seed", type=int, help="the same seed gives the same answer")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR", help="where media go (outputs)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    options = ChatOptions(
        seed=args.seed, wanted={modality: getattr(args, modality) for modality in MODALITIES}, out_dir=args.out
    )
    if args.text is None and not args.file and args.json:
        print("--json needs a TEXT or a --file.", file=sys.stderr)
        return 2
    try:
        began = time.perf_counter()
        model = checkpoint.load(args.checkpoint, args.device)
        load_seconds = time.perf_counter() - began
        if args.text is None and not args.file:
            return _converse(model, options)
        message = _message(args.text or "", args.file)
        if not args.json:
            _print_turn(model.chat([message], options))
            return 0
        print(json.dumps(_as_json(list(model.chat([message], options)), load_seconds), ensure_ascii=False, indent=2))
    except (media.MediaError, TooLongError, checkpoint.CheckpointError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _message(text: str, files: list[Path]) -> Message:
    uploads = [Media(media.probe(path), path) for path in files]
    return Message("user", (*uploads, *([Text(text)] if text else [])))


def _converse(model: NextGPT, options: ChatOptions) -> int:
    print(_HELP)
    messages: list[Message] = []
    files: list[Path] = []
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            return 0
        if line == "/new":
            messages, files = [], []
        elif line.startswith("/file "):
            files.append(Path(line.removeprefix("/file ").strip()))
        elif not line and not files:
            return 0
        else:
            try:
                turn = [*messages, _message(line, files)]
                messages = [*turn, _print_turn(model.chat(turn, options))]
            except (media.MediaError, TooLongError) as error:
                print(error)
            files = []


def _print_turn(events: Iterator[Event]) -> Message:
    message = Message("assistant", ())
    for event in events:
        if isinstance(event, TextDelta):
            print(event.text, end="", flush=True)
        elif isinstance(event, MediaStarted):
            print()
        elif isinstance(event, MediaProgress):
            print(f"\r  {event.step}/{event.steps}", end="", flush=True)
        elif isinstance(event, MediaReady):
            print(f"\r  {event.media.path} ({event.provenance.seconds:.1f} s, seed {event.provenance.seed})")
        elif isinstance(event, MediaFailed):
            print(f"\n  {event.reason}")
        elif isinstance(event, Notice):
            print(f"\n  {event.text}")
        elif isinstance(event, TurnDone):
            message = event.message
            print()
    return message


def _as_json(events: list[Event], load_seconds: float) -> dict[str, object]:
    done = next(event for event in events if isinstance(event, TurnDone))
    ready = [event for event in events if isinstance(event, MediaReady)]
    return {
        "text": done.message.text,
        "media": [
            {
                "modality": event.media.modality,
                "path": str(event.media.path),
                "caption": event.provenance.caption,
                "seed": event.provenance.seed,
                "seconds": round(event.provenance.seconds, 3),
            }
            for event in ready
        ],
        "failed": [{"modality": e.modality, "reason": e.reason} for e in events if isinstance(e, MediaFailed)],
        "timings": {
            "load": round(load_seconds, 3),
            "first_token": round(done.timings.first_token, 3),
            "tokens_per_second": round(done.timings.tokens_per_second, 2),
            "media": [round(seconds, 3) for seconds in done.timings.media],
        },
    }
