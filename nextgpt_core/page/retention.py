"""Files are kept for a day. Conversations end with their tab, and what they leave on disk goes here."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

KEPT = 24 * 3600.0  # seconds since a conversation's last new file
_BETWEEN = 3600.0


def sweep(folder: Path, kept: float = KEPT) -> None:
    """Deletes the conversations in `folder` that got no new file for `kept` seconds."""
    for conversation in folder.iterdir():
        if conversation.is_dir() and time.time() - conversation.stat().st_mtime > kept:
            shutil.rmtree(conversation, ignore_errors=True)


def keep_sweeping(folder: Path) -> None:
    """Sweeps now and every hour, in the background."""

    def work() -> None:
        while True:
            sweep(folder)
            time.sleep(_BETWEEN)

    threading.Thread(target=work, name="retention", daemon=True).start()
