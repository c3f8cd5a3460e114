"""Training data: JSONL conversations, and batches that blend several files.

A line is `{"messages": [{"role": "user", "content": [{"type": "text", "text": …}, {"type": "image", "path": …}]}, …]}`,
the multimodal chat format that transformers uses. A user's medium has a path, relative to the file's own folder; an
assistant's medium has a caption, what the decoder shall make.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nextgpt_core.conversation import MODALITIES, Media, Message, Text

Conversation = tuple[Message, ...]


class DataError(ValueError):
    """A data file cannot be used; the message names file, line and fault."""


def read_conversations(path: Path, longest: int | None = None) -> list[Conversation]:
    """All, or those of at most `longest` characters (see `length`). Raises DataError, also where none is left."""
    if not path.is_file():
        raise DataError(f"There is no data file {path}.")
    conversations = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                messages = json.loads(line)["messages"]
                conversations.append(tuple(_message(message, path.parent) for message in messages))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{path}, line {number}: {type(error).__name__}: {error}.") from error
    if longest is not None:
        conversations = [conversation for conversation in conversations if length(conversation) <= longest]
        if not conversations:
            raise DataError(f"{path} holds no conversation of at most {longest} characters.")
    return conversations


def write_conversations(conversations: Iterable[Sequence[Message]], path: Path) -> int:
    """Returns how many were written. Paths are written as they are: absolute, or relative to the file's folder."""
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for messages in conversations:
            line = {"messages": [{"role": m.role, "content": [_part_json(p) for p in m.parts]} for m in messages]}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


@dataclass
class Blend:
    """Endless batches that draw from each source by its weight; the same seed and position give the same batch.

    Within a batch, conversations have about the same length, so that little of it is padding.
    """

    sources: Sequence[Sequence[Conversation]]
    weights: Sequence[float]
    batch_size: int
    seed: int = 0
    _pool: int = 8  # batches drawn together, sorted by length, and dealt in random order

    def batches(self, start: int = 0) -> Iterator[list[Conversation]]:
        """From batch number `start` on; what came before is not drawn again, only counted."""
        block, offset = divmod(start, self._pool)
        while True:
            yield from self._block(block)[offset:]
            block, offset = block + 1, 0

    def _block(self, number: int) -> list[list[Conversation]]:
        rng = random.Random(f"{self.seed} {number}")
        drawn = [
            rng.choice(source) for source in rng.choices(self.sources, self.weights, k=self.batch_size * self._pool)
        ]
        drawn.sort(key=length)
        batches = [drawn[i : i + self.batch_size] for i in range(0, len(drawn), self.batch_size)]
        rng.shuffle(batches)
        return batches


def length(conversation: Conversation) -> int:
    """Roughly, to put together what is of a length."""
    return sum(len(message.text) + 20 * len(message.parts) for message in conversation)


def _message(value: dict, folder: Path) -> Message:
    if value["role"] not in ("user", "assistant"):
        raise ValueError(f"the role {value['role']!r} is neither user nor assistant")
    return Message(value["role"], tuple(_part(part, value["role"], folder) for part in value["content"]))


def _part(part: dict, role: str, folder: Path) -> Text | Media:
    if part["type"] == "text":
        return Text(part["text"])
    if part["type"] not in MODALITIES:
        raise ValueError(f"the type {part['type']!r} is none of text, {', '.join(MODALITIES)}")
    if role == "user":
        return Media(part["type"], folder / part["path"])
    return Media(part["type"], Path(part.get("path", "")), part["caption"])


def _part_json(part: Text | Media) -> dict[str, str]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    value = {"type": part.modality}
    if part.caption is not None:
        value["caption"] = part.caption
    if part.path != Path():
        value["path"] = str(part.path)
    return value
