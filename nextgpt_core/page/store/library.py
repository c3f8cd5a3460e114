"""Conversations on disk: a folder for each visitor, in it one for each conversation, with its record and its files.

A conversation that is open somewhere is one object, which all tabs of its visitor share. What got no new turn for
`KEPT` seconds is deleted.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from nextgpt_core.config import ConfigError
from nextgpt_core.page.store import records
from nextgpt_core.page.talk.live import Chat
from nextgpt_core.page.talk.state import Conversation

logger = logging.getLogger(__name__)
KEPT = 7 * 24 * 3600.0  # seconds since the last change
_BETWEEN = 3600.0  # seconds between two sweeps
_RECORD, _TITLE = "conversation.json", "title.txt"
SHARE = ".share"  # ends the name of a file that says where a shared conversation lies; see `shares`
_ID = re.compile(r"[A-Za-z0-9_-]{8,40}")


@dataclass(frozen=True)
class Entry:
    """A line of the list. `changed` is in seconds since the epoch."""

    id: str
    title: str
    changed: float


class Library:
    """All visitors' conversations, under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: WeakValueDictionary[tuple[str, str], Chat] = WeakValueDictionary()
        self._lock = threading.Lock()

    def place(self, visitor: str) -> Path:
        return self.folder / visitor

    def new(self, visitor: str) -> Chat:
        return self.add(visitor, Conversation())

    def add(self, visitor: str, conversation: Conversation) -> Chat:
        with self._lock:
            chat = Chat(conversation, self.place(visitor) / conversation.id, self.save)
            self._open[visitor, conversation.id] = chat
            return chat

    def open(self, visitor: str, id: str) -> Chat | None:
        """None where this visitor has no such conversation, or what is there cannot be read."""
        with self._lock:
            chat = self._open.get((visitor, id))
            if chat is not None and not chat.deleted:
                return chat
            folder = self.place(visitor) / id
            if not _ID.fullmatch(id) or not (folder / _RECORD).is_file():
                return None
            try:
                text = (folder / _RECORD).read_text(encoding="utf-8")
                chat = Chat(records.read(text, id, folder), folder, self.save)
            except (OSError, ConfigError) as error:
                logger.warning("A stored conversation could not be read: %s", error)
                return None
            self._open[visitor, id] = chat
            return chat

    def list(self, visitor: str) -> list[Entry]:
        """The visitor's conversations, the last changed first."""
        entries = []
        for record in self.place(visitor).glob(f"*/{_RECORD}"):
            try:
                title = (record.parent / _TITLE).read_text(encoding="utf-8")
                entries.append(Entry(record.parent.name, title, record.stat().st_mtime))
            except OSError:  # deleted meanwhile
                continue
        return sorted(entries, key=lambda entry: entry.changed, reverse=True)

    def save(self, chat: Chat) -> None:
        """Writes the record whole or not at all. A conversation that was deleted stays so."""
        if chat.deleted:
            return
        chat.folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((_TITLE, chat.conversation.title), (_RECORD, records.write(chat.conversation))):
            unfinished = chat.folder / f"{name}.unfinished"
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(chat.folder / name)

    def delete(self, visitor: str, id: str) -> None:
        """Stops what it is answering, and removes its files."""
        if (chat := self.open(visitor, id)) is not None:
            chat.delete()
        with self._lock:
            self._open.pop((visitor, id), None)
        if _ID.fullmatch(id):
            shutil.rmtree(self.place(visitor) / id, ignore_errors=True)

    def delete_all(self, visitor: str) -> None:
        with self._lock:
            chats = [chat for (owner, _), chat in self._open.items() if owner == visitor]
        for chat in chats:
            chat.delete()
        shutil.rmtree(self.place(visitor), ignore_errors=True)

    def used(self, visitor: str) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.place(visitor).rglob("*") if path.is_file())


def sweep(folder: Path, kept: float = KEPT) -> None:
    """Deletes what got nothing new for `kept` seconds: conversations, and visitors' folders without any."""
    now = time.time()
    for visitor in folder.iterdir():
        if not visitor.is_dir():
            continue
        old = now - visitor.stat().st_mtime > kept  # read first: deleting in it makes it new
        for conversation in visitor.iterdir():
            if conversation.is_dir() and now - conversation.stat().st_mtime > kept:
                shutil.rmtree(conversation, ignore_errors=True)
        if old and not any(item.is_dir() for item in visitor.iterdir()):
            shutil.rmtree(visitor, ignore_errors=True)
    for share in folder.glob(f"*{SHARE}"):
        if not (folder / share.read_text(encoding="utf-8")).is_dir():
            share.unlink(missing_ok=True)


def keep_sweeping(folder: Path) -> None:
    """Sweeps now and every hour, in the background."""

    def work() -> None:
        while True:
            try:
                sweep(folder)
            except OSError as error:  # a folder that went meanwhile; the next hour will do
                logger.warning("Old conversations could not be deleted: %s", error)
            time.sleep(_BETWEEN)

    threading.Thread(target=work, name="retention", daemon=True).start()
