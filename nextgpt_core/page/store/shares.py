"""A conversation shown to others: a page of how it stands, at an address that nobody guesses, until it is taken back.

The page and its files are copies in a folder inside the conversation's own, so they go when the conversation goes, and
nothing else can be reached by the address. Uploads are written anew: what a camera noted in them, such as the place,
stays behind, and so does a clip's sound. Beside the visitors' folders lies a file for each address, which says where.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from nextgpt_core import media
from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.media import MediaError
from nextgpt_core.page.store import archive, records
from nextgpt_core.page.store.library import KEPT, SHARE
from nextgpt_core.page.store.uploads import shown
from nextgpt_core.page.talk.reply import Medium, Reply, Version
from nextgpt_core.page.talk.state import Conversation, Turn
from nextgpt_core.page.words import Words

_FOLDER, _TOKEN_FILE, _PAGE = "shared", "token", "page.html"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_FPS, _RATE = 10, 44_100  # of an upload that is written anew
_MIME = {".png": "image/png", ".mp4": "video/mp4", ".wav": "audio/wav"}
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-same-origin",  # no script at all
    "Referrer-Policy": "no-referrer",  # a link in the words must not tell the address
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",  # what was taken back is gone
}


def share(conversation: Conversation, folder: Path, words: Words) -> str:
    """Shares the turns on show, in the place of what was shared before; → the token in the address."""
    revoke(folder)
    token, target = secrets.token_urlsafe(32), folder / _FOLDER
    unfinished = folder / f"{_FOLDER}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    copied = _Copier(unfinished).conversation(conversation)
    notice = words["shared_notice"].format(date=time.strftime("%Y-%m-%d"), days=round(KEPT / 86400))
    page = archive.page(copied, words, lambda path: path.name, notice)
    (unfinished / _PAGE).write_text(page, encoding="utf-8")
    (unfinished / _TOKEN_FILE).write_text(token, encoding="utf-8")
    unfinished.replace(target)
    _index(folder.parents[1], token).write_text(f"{folder.parent.name}/{folder.name}", encoding="utf-8")
    return token


def token_of(folder: Path) -> str:
    """The token under which the conversation in `folder` is shared, or ""."""
    try:
        return (folder / _FOLDER / _TOKEN_FILE).read_text(encoding="utf-8")
    except OSError:
        return ""


def revoke(folder: Path) -> None:
    """From here on the address leads nowhere."""
    token = token_of(folder)
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)
    if token:
        _index(folder.parents[1], token).unlink(missing_ok=True)


def find(root: Path, token: str) -> Path | None:
    """The folder of what is shared under `token`; `root` holds the visitors' folders."""
    if not _TOKEN.fullmatch(token):
        return None
    try:
        folder = root / _index(root, token).read_text(encoding="utf-8")
    except OSError:
        return None
    return folder / _FOLDER if secrets.compare_digest(token_of(folder), token) else None


def address(token: str) -> str:
    """Relative to the page."""
    return f"shared/{token}/"


def routes(root: Path) -> list[BaseRoute]:
    """What `launch` adds to the page's server."""

    def page(request: Request) -> Response:
        return FileResponse(_asked(root, request) / _PAGE, media_type="text/html; charset=utf-8", headers=_HEADERS)

    def file(request: Request) -> Response:
        name = request.path_params["name"]
        path = _asked(root, request) / name
        if not records.NAME.fullmatch(name) or path.suffix not in _MIME or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, media_type=_MIME[path.suffix], headers=_HEADERS)

    return [Route("/shared/{token}/", page), Route("/shared/{token}/{name}", file)]


def _asked(root: Path, request: Request) -> Path:
    """Where the page has a login, only who is logged in may look."""
    app: Any = request.app
    if app.auth is not None:
        names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
        if not any(request.cookies.get(name) in app.tokens for name in names):
            raise HTTPException(401)
    folder = find(root, request.path_params["token"])
    if folder is None:
        raise HTTPException(404)
    return folder


def _index(root: Path, token: str) -> Path:
    """Named by a digest, so that a list of the folder gives no address away."""
    return root / f"{hashlib.sha256(token.encode()).hexdigest()[:40]}{SHARE}"


class _Copier:
    """A conversation whose files lie in `folder`: the turns on show, of each medium the version on show."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def conversation(self, conversation: Conversation) -> Conversation:
        return replace(conversation, turns=tuple(self._turn(turn) for turn in conversation.path))

    def _turn(self, turn: Turn) -> Turn:
        asked = tuple(part if isinstance(part, Text) else self._upload(part) for part in turn.asked.parts)
        said = tuple(part for part in asked if part is not None)
        return replace(turn, asked=Message("user", said), reply=self._reply(turn.reply or Reply()))

    def _reply(self, reply: Reply) -> Reply:
        return replace(reply, parts=tuple(p if isinstance(p, Text) else self._medium(p) for p in reply.parts))

    def _medium(self, medium: Medium) -> Medium:
        item = medium.media
        if item is None or not item.path.is_file():
            return replace(medium, versions=(), chosen=0)
        path = self._folder / item.path.name
        shutil.copyfile(item.path, path)
        version = Version(replace(item, path=path), medium.provenance)
        return replace(medium, versions=(version,), chosen=0)

    def _upload(self, item: Media) -> Media | None:
        """None for a file that is gone, or that cannot be read."""
        suffix = {"image": ".png", "video": ".mp4", "audio": ".wav"}[item.modality]
        source, path = shown(item), self._folder / f"upload-{secrets.token_hex(8)}{suffix}"
        try:
            if item.modality == "image":
                media.write_image(np.asarray(media.read_image(source)), path, {})
            elif item.modality == "audio":
                media.write_audio(media.read_audio(source, _RATE), _RATE, path, {})
            else:
                count, rate = media.video_length(source)
                media.write_video(media.read_video(source, max(1, round(count / rate * _FPS)))[0], path, _FPS, {})
        except MediaError:
            return None
        return Media(item.modality, path)
