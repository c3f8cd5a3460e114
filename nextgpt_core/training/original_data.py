"""The original NExT-GPT's data files as conversations: `python -m nextgpt_core original-data FILES …`.

Read are its caption pairs (`image_name`, `caption`), comprehension and generation sets (`input_image`, `output_image`),
text-to-X and MosIT dialogues (`conversation` with roles human and gpt), and their processed forms. A tag such as
`<image>` or `<Image>name</Image>` stands for a medium; in the assistant's words its caption is the target.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nextgpt_core.conversation import MODALITIES, Media, Message, Modality, Text
from nextgpt_core.training.data import DataError, write_conversations

_TAG = re.compile(r"<(image|video|audio)>(?:([^<]*)</\1>)?", re.IGNORECASE)
_SAID_OF_PAIRS = {"image": "Describe this picture.", "video": "Describe this video.", "audio": "Describe this sound."}
_ASKED_OF_PAIRS = {"image": "Draw {c}.", "video": "Make a video of {c}.", "audio": "Make the sound of {c}."}
_ROLES = {"human": "user", "gpt": "assistant"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, help="JSON files of the original")
    parser.add_argument("--media", type=Path, required=True, metavar="DIR", help="where the media that they name lie")
    parser.add_argument("--out", type=Path, required=True, help="the JSONL file to write")
    parser.add_argument(
        "--pairs", choices=("describe", "make"), default="describe",
        help="what a caption pair becomes: a description of the medium, or a request to make it (describe)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    conversations = [c for path in args.files for c in read_original(path, args.media, args.pairs)]
    print(f"{write_conversations(conversations, args.out)} conversations in {args.out}")
    return 0


def read_original(path: Path, folder: Path, pairs: str = "describe") -> Iterator[list[Message]]:
    """One conversation an entry, media as files of `folder`. Raises DataError, with file, entry and fault."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    for number, entry in enumerate(entries, 1):
        try:
            turns = entry.get("conversations", entry.get("conversation"))
            yield _pair(entry, folder, pairs) if turns is None else _dialogue(entry, turns, folder)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path}, entry {number}: {type(error).__name__}: {error}.") from error


def _pair(entry: Mapping[str, Any], folder: Path, pairs: str) -> list[Message]:
    modality = next((m for m in MODALITIES if f"{m}_name" in entry), None)
    if modality is None:
        raise ValueError("it has neither a conversation nor image_name, video_name or audio_name")
    caption, path = entry["caption"], folder / entry[f"{modality}_name"]
    if pairs == "describe":
        said = Message("user", (Media(modality, path), Text(_SAID_OF_PAIRS[modality])))
        return [said, Message("assistant", (Text(caption),))]
    asked = Message("user", (Text(_ASKED_OF_PAIRS[modality].format(c=caption)),))
    return [asked, Message("assistant", (Text(caption), Media(modality, path, caption)))]


def _dialogue(entry: Mapping[str, Any], turns: Sequence[Mapping[str, Any]], folder: Path) -> list[Message]:
    """Media that only the entry names are used in the order of the tags, on the side that they are named for."""
    shown = {m: _listed(entry.get(f"input_{m}")) for m in MODALITIES}
    made = {m: _captions(entry, m) for m in MODALITIES}
    messages = []
    for turn in turns:
        role = _ROLES[turn["from"]]
        parts = list(_parts(turn["value"], role, shown, made, folder))
        modality = turn.get("output_modality", "text") if role == "assistant" else turn.get("input_modality", "text")
        if modality in MODALITIES and not any(isinstance(part, Media) for part in parts):
            parts.append(_untagged(entry, turn, modality, role, folder))
        messages.append(Message(role, tuple(parts)))
    return messages


def _parts(
    text: str,
    role: str,
    shown: Mapping[Modality, list[str]],
    made: Mapping[Modality, list[tuple[str, str]]],
    folder: Path,
) -> Iterator[Text | Media]:
    at = 0
    for tag in _TAG.finditer(text):
        if words := text[at : tag.start()].strip():
            yield Text(words)
        modality, name = tag[1].lower(), tag[2]
        at = tag.end()
        if role == "user":
            yield Media(modality, folder / (name or shown[modality].pop(0)))
        else:
            caption, file = _taken(made[modality], name)
            yield Media(modality, folder / file if file else Path(), caption)
    if words := text[at:].strip():
        yield Text(words)


def _untagged(entry: Mapping[str, Any], turn: Mapping[str, Any], modality: Modality, role: str, folder: Path) -> Media:
    """Text-to-X dialogues name a turn's modality, the medium's caption in the turn and its file in the entry."""
    name = entry.get(f"{modality}_name", "")
    if role == "user":
        return Media(modality, folder / name)
    return Media(modality, folder / name if name else Path(), turn["caption"])


def _captions(entry: Mapping[str, Any], modality: Modality) -> list[tuple[str, str]]:
    """(caption, file or "") of the media that the assistant makes."""
    if f"{modality}_list" in entry:
        return [(item["caption"], item["image_name"]) for item in entry[f"{modality}_list"]]
    captions, files = _listed(entry.get(f"{modality}_captions")), _listed(entry.get(f"output_{modality}"))
    files += [""] * (len(captions) - len(files))
    return list(zip(captions, files, strict=True))


def _taken(made: list[tuple[str, str]], name: str | None) -> tuple[str, str]:
    """The one of that name, or the next."""
    if not made:
        raise ValueError("the assistant's words hold more media than the entry has captions for")
    at = next((i for i, (_, file) in enumerate(made) if file and file == name), 0)
    return made.pop(at)


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])
