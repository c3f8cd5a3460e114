"""Takes uploads in: what they are, a copy beside the conversation, and a form that the browser can show."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.media.kinds import sniff

# The suffix tells the browser what a file is, so it comes from the content and never from the name that was sent.
_SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WebP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "AVIF": ".avif",
    "MP4": ".mp4",
    "WebM or MKV": ".webm",
    "FLAC": ".flac",
    "MP3": ".mp3",
    "AAC": ".aac",
    "WAV": ".wav",
}
UNSHOWN = ".upload"  # of a file that browsers do not play; beside it lies one that they do
_PREVIEWS = {"image": ".png", "video": ".mp4", "audio": ".wav"}


def take(path: Path, folder: Path) -> Media:
    """Copies an upload into `folder`. Raises MediaError where the file is nothing that can be read."""
    modality = media.probe(path)
    folder.mkdir(parents=True, exist_ok=True)
    playable = media.preview(path, folder)
    ending = suffix(path) if playable == Path(path) else UNSHOWN
    kept = Media(modality, folder / f"upload-{secrets.token_hex(8)}{ending}")
    shutil.copyfile(path, kept.path)
    if ending == UNSHOWN:
        playable.replace(shown(kept))
    return kept


def suffix(path: Path) -> str:
    """The suffix under which a file of this content is kept where browsers play it."""
    return _SUFFIXES.get(sniff(path).name, UNSHOWN)


def shown(item: Media) -> Path:
    """The file that stands for `item` in the browser."""
    return item.path.with_suffix(_PREVIEWS[item.modality]) if item.path.suffix == UNSHOWN else item.path
