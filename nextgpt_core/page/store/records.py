"""A conversation as JSON and back, for the disk and for exports. Files are named beside it, never by a path.

Reading is strict: an unknown key, a wrong type, a file that is not there or a turn that hangs in the air is an error
in the words of `config`, from which the reader comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from nextgpt_core.config import ConfigError, parse
from nextgpt_core.conversation import Media, Message, Modality, Provenance, Sentence, Text, Timings
from nextgpt_core.page.talk.reply import Medium, Reply, Version
from nextgpt_core.page.talk.state import Conversation, Turn

# Of a file; what a browser would run as a page has no place here.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}\.(png|jpg|webp|gif|bmp|avif|mp4|webm|wav|mp3|flac|aac|upload)")
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class PartRecord:
    """A text; an upload, which is a medium of one version; or a medium of a reply."""

    type: Literal["text", "image", "video", "audio"]
    text: str = ""  # of a medium: its caption
    index: int = 0
    versions: tuple[VersionRecord, ...] = ()
    chosen: int = 0
    failure: str | None = None
    failure_in_parts: SentenceRecord | None = None


@dataclass(frozen=True)
class SentenceRecord:
    """What a text is made of, so that it can be said in other languages; see `conversation.Sentence`."""

    pattern: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class VersionRecord:
    file: str
    provenance: Provenance | None = None


@dataclass(frozen=True)
class ReplyRecord:
    parts: tuple[PartRecord, ...]
    ending: Literal["done", "stopped", "refused", "failed"]
    note: str = ""
    note_in_parts: SentenceRecord | None = None
    timings: Timings | None = None


@dataclass(frozen=True)
class TurnRecord:
    id: str
    parent: str | None
    asked: tuple[PartRecord, ...]
    reply: ReplyRecord | None
    feedback: Literal["", "like", "dislike"] = ""


@dataclass(frozen=True)
class ConversationRecord:
    turns: tuple[TurnRecord, ...]
    leaf: str | None
    format: Literal["nextgpt-conversation-1"] = "nextgpt-conversation-1"


def write(conversation: Conversation) -> str:
    """What is still being answered is written as if it were stopped here."""
    turns = tuple(
        TurnRecord(turn.id, turn.parent, tuple(map(_part, turn.asked.parts)), _reply(turn.reply), turn.feedback)
        for turn in conversation.turns
    )
    return json.dumps(asdict(ConversationRecord(turns, conversation.leaf)), ensure_ascii=False, indent=1)


def read(text: str, id: str, folder: Path) -> Conversation:
    """The conversation that `write` wrote, whose files lie in `folder`. Raises ConfigError."""
    where = "conversation.json"
    try:
        record = parse(ConversationRecord, json.loads(text), where)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{where} is not JSON: {error}.") from error
    known: set[str | None] = {None}
    for turn in record.turns:
        if not _ID.fullmatch(turn.id) or turn.id in known or turn.parent not in known:
            raise ConfigError(f"{where} has a turn {turn.id[:40]!r} that follows none, or is there twice.")
        known.add(turn.id)
    if record.leaf not in known:
        raise ConfigError(f"{where} ends with a turn that is not there.")
    turns = tuple(
        Turn(turn.id, turn.parent, _question(turn.asked, folder), _answer(turn.reply, folder), turn.feedback)
        for turn in record.turns
    )
    return Conversation(id, turns, record.leaf)


def _part(part: Text | Media | Medium) -> PartRecord:
    if isinstance(part, Text):
        return PartRecord("text", part.text)
    if isinstance(part, Media):
        return PartRecord(part.modality, versions=(VersionRecord(part.path.name),))
    versions = tuple(VersionRecord(version.media.path.name, version.provenance) for version in part.versions)
    return PartRecord(
        part.modality, part.caption, part.index, versions, part.chosen, part.failure, _apart(part.failure)
    )


def _reply(reply: Reply | None) -> ReplyRecord | None:
    if reply is None:
        return None
    reply = reply.settled() if reply.ending else reply.ended("stopped")
    return ReplyRecord(tuple(map(_part, reply.parts)), reply.ending, reply.note, _apart(reply.note), reply.timings)


def _question(parts: tuple[PartRecord, ...], folder: Path) -> Message:
    return Message("user", tuple(Text(p.text) if p.type == "text" else _medium(p, folder).media for p in parts))


def _answer(record: ReplyRecord | None, folder: Path) -> Reply | None:
    if record is None:
        return None
    parts = tuple(
        Text(p.text) if p.type == "text" else _medium(p, folder, none_allowed=p.failure is not None)
        for p in record.parts
    )
    indices = [part.index for part in parts if isinstance(part, Medium)]
    if len(set(indices)) < len(indices):
        raise ConfigError("conversation.json has a reply with two media of one index.")
    return Reply(parts, record.ending, _together(record.note, record.note_in_parts), record.timings)


def _apart(text: str | None) -> SentenceRecord | None:
    return SentenceRecord(text.pattern, text.values) if isinstance(text, Sentence) else None


def _together(text: str | None, parts: SentenceRecord | None) -> str | None:
    return text if parts is None or text is None else Sentence.rebuilt(text, parts.pattern, parts.values)


def _medium(part: PartRecord, folder: Path, none_allowed: bool = False) -> Medium:
    if not (0 <= part.chosen < len(part.versions) or (none_allowed and not part.versions)):
        raise ConfigError("conversation.json has a medium without the file that it shows.")
    modality: Modality = part.type
    caption = part.text or None
    versions = []
    for version in part.versions:
        path = folder / version.file
        if not NAME.fullmatch(version.file) or not path.is_file():
            raise ConfigError(f"conversation.json names the file {version.file[:80]!r}, which is not there.")
        versions.append(Version(Media(modality, path, caption), version.provenance))
    failure = _together(part.failure, part.failure_in_parts)
    return Medium(part.index, modality, part.text, versions=tuple(versions), chosen=part.chosen, failure=failure)
