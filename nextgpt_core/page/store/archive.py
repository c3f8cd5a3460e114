"""A conversation as one zip, and back: its record as JSON, a page to read without us, and its media.

What comes in was made by anybody: names, sizes, types and every file's content are checked before anything is kept, and
nothing is unpacked to a path that the archive names.
"""

from __future__ import annotations

import html
import secrets
import shutil
import zipfile
from pathlib import Path

from nextgpt_core import media
from nextgpt_core.config import ConfigError
from nextgpt_core.conversation import Media, RefusedError, Text
from nextgpt_core.media import MediaError
from nextgpt_core.page.show import figures
from nextgpt_core.page.show.figures import Address
from nextgpt_core.page.store import records, uploads
from nextgpt_core.page.talk.reply import Reply
from nextgpt_core.page.talk.state import Conversation
from nextgpt_core.page.words import Words, say

MAX_BYTES = 256 * 2**20  # of all files, unpacked
MAX_FILES = 500
_MAX_RECORD = 8 * 2**20
_BLOCK = 1 << 20
_STYLE = (
    "body{font:16px/1.6 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1c2130}"
    ".user{margin:1.5rem 0;padding:.6rem 1rem;background:#f3f4f9;border-radius:12px}.words{white-space:pre-wrap}"
    "h1{font-size:1.5rem;line-height:1.35}"
    "figure{margin:.6rem 0}img,video{max-width:100%;max-height:24rem}figcaption,small,header{color:#5c6478}"
    "@media(prefers-color-scheme:dark){body{background:#12141c;color:#e8eaf2}.user{background:#1c202c}"
    "figcaption,small,header{color:#a3abbf}:root{color-scheme:dark}}"
)


class ArchiveError(RefusedError):
    """The archive is none of ours, or not safe to open."""


def pack(conversation: Conversation, folder: Path, words: Words) -> Path:
    """Writes the zip into `folder`, in the place of the one before. Media that are gone are left out of the page."""
    for old in folder.glob("export-*.zip"):
        old.unlink(missing_ok=True)
    path = folder / f"export-{secrets.token_hex(8)}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # media are compressed already
        archive.writestr("conversation.json", records.write(conversation), zipfile.ZIP_DEFLATED)
        archive.writestr("conversation.html", page(conversation, words, _beside), zipfile.ZIP_DEFLATED)
        for item in dict.fromkeys(_files(conversation)):
            if item.is_file():
                archive.write(item, f"media/{item.name}")
    return path


def unpack(path: Path, folder: Path, id: str) -> Conversation:
    """The conversation in the zip, as `id`, its media put into `folder`, which must be new. Raises ArchiveError."""
    folder.mkdir(parents=True)
    try:
        return _unpack(path, folder, id)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, MediaError):
            raise ArchiveError(error.sentence) from error
        if isinstance(error, ConfigError):
            raise ArchiveError("The archive can't be read: {error}", error=error) from error
        if isinstance(error, Exception) and not isinstance(error, ArchiveError):  # made by anybody, to break anything
            raise ArchiveError("This is no conversation that was exported here.") from error
        raise


def _unpack(path: Path, folder: Path, id: str) -> Conversation:
    with zipfile.ZipFile(path) as archive:
        _check(archive)
        room = MAX_BYTES
        for entry in archive.infolist():
            if entry.filename.startswith("media/"):
                room -= _copy(archive, entry, folder / entry.filename.removeprefix("media/"), room)
        with archive.open("conversation.json") as file:
            text = file.read(_MAX_RECORD + 1)
    if len(text) > _MAX_RECORD:
        raise ArchiveError("The archive's conversation.json is too large.")
    conversation = records.read(text.decode("utf-8"), id, folder)
    for item in _media(conversation):
        _prove(item, folder)
    for file in set(folder.iterdir()) - set(_files(conversation)):
        file.unlink()
    return conversation


def _check(archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise ArchiveError(
            "The archive holds {count} files; {limit} are the limit.", count=len(entries), limit=MAX_FILES
        )
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ArchiveError("The archive holds more than {limit} MB.", limit=MAX_BYTES >> 20)
    names = [entry.filename for entry in entries]
    for name in names:
        inside = name.removeprefix("media/")
        known = name in ("conversation.json", "conversation.html")
        if not known and not (name.startswith("media/") and records.NAME.fullmatch(inside)):
            raise ArchiveError("The archive holds {name}, which no export of ours does.", name=repr(name[:80]))
    if len(set(names)) < len(names):
        raise ArchiveError("The archive holds two files of one name.")


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, room: int) -> int:
    """Bytes copied. The size that an entry states may lie, so what comes out is counted."""
    copied = 0
    with archive.open(entry) as source, target.open("xb") as file:
        while block := source.read(_BLOCK):
            copied += len(block)
            if copied > room:
                raise ArchiveError("The archive holds more than {limit} MB.", limit=MAX_BYTES >> 20)
            file.write(block)
    return copied


def _prove(item: Media, folder: Path) -> None:
    """A file must be what the record and its name say, by its content; raises MediaError where nothing can read it."""
    if media.probe(item.path) != item.modality or item.path.suffix not in (uploads.suffix(item.path), uploads.UNSHOWN):
        raise ArchiveError("{file} is not what the archive says.", file=item.path.name)
    if item.path.suffix == uploads.UNSHOWN:
        playable = media.preview(item.path, folder)
        if playable == item.path:
            raise ArchiveError("{file} is not what the archive says.", file=item.path.name)
        playable.replace(uploads.shown(item))


def _media(conversation: Conversation) -> list[Media]:
    found = [item for turn in conversation.turns for item in turn.asked.media]
    replies = [turn.reply for turn in conversation.turns if turn.reply is not None]
    return found + [v.media for reply in replies for medium in reply.media for v in medium.versions]


def _files(conversation: Conversation) -> list[Path]:
    return [path for item in _media(conversation) for path in (item.path, uploads.shown(item))]


def page(conversation: Conversation, words: Words, address: Address, notice: str = "") -> str:
    """The turns on show, as a page that needs nothing but the files at `address`; `notice` stands below its title."""
    title = html.escape(conversation.title or words["untitled"])
    told = f"<header>{html.escape(notice)}</header>" if notice else ""
    body = []
    for turn in conversation.path:
        asked = [_shown(part, words, address) for part in turn.asked.parts]
        body.append(f'<section class="user">{"".join(asked)}</section>')
        body.append(f'<section class="assistant">{_reply(turn.reply or Reply(), words, address)}</section>')
    return (
        f'<!doctype html><html lang="{words["language"]}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1>{told}{''.join(body)}</body></html>"
    )


def _reply(reply: Reply, words: Words, address: Address) -> str:
    pieces = []
    for part in reply.parts:
        if isinstance(part, Text):
            pieces.append(_shown(part, words, address))
        elif part.media is not None:
            below = figures.caption(part.caption) + figures.provenance(part, words)
            pieces.append(figures.figure(part.media, part.caption, "made", address, below))
        else:
            pieces.append(figures.note(say(part.failure or "", words), "failed"))
    return "".join(pieces)


def _shown(part: Text | Media, words: Words, address: Address) -> str:
    if isinstance(part, Text):
        return f'<p class="words">{html.escape(part.text)}</p>'
    return figures.figure(part, words[f"upload_{part.modality}"], "sent", address)


def _beside(path: Path) -> str:
    return f"media/{path.name}"
