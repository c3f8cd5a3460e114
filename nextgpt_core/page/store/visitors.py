"""Who a visitor is: a secret in a cookie of the browser's own, which no script can read, and nothing else.

The folder name is a digest of the secret (and of the login's name where there is one), so the addresses of files do not
give it away. Files of a visitor are served to that browser only. A browser that refuses cookies, or a program, is a
visitor for as long as its session lasts.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "nextgpt_visitor"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_FILE = re.compile(r"/file[=/](.*)", re.DOTALL)
_DAYS = 400  # as long as browsers keep a cookie at most
_KEPT = "v-"  # begins the folder of a visitor who will be known again


def visitor(request: Any) -> str:
    """The folder name for who sends this request (a `gr.Request` or Starlette's); "" where no cookie came with it."""
    secret = (request.cookies or {}).get(COOKIE, "")
    if not _SECRET.fullmatch(secret):
        return ""
    return _folder(secret) + _digest(getattr(request, "username", None) or "")[:8]


def passing() -> str:
    """The folder name of a visitor without a cookie: as long as the session."""
    return f"s-{secrets.token_hex(16)}"


def _folder(secret: str) -> str:
    return _KEPT + _digest(secret)[:32]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Visitors:
    """ASGI middleware: gives the cookie with the page, and keeps a visitor's files in `folder` from all others."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self.app = app
        self.folder = folder.resolve()
        # Inside the hub's own page a Space is a third party, whose cookies need these words.
        self.words = "SameSite=None; Secure; Partitioned" if os.environ.get("SPACE_ID") else "SameSite=Lax"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        secret = cookie(scope)
        if not self._allowed(scope["path"], secret):
            refused = PlainTextResponse("This file belongs to another visitor.", status_code=403)
            return await refused(scope, receive, send)
        new = f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; HttpOnly; Max-Age={_DAYS * 86400}; {self.words}"

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", new)
            await send(message)

        return await self.app(scope, receive, send if secret else send_with_cookie)

    def _allowed(self, path: str, secret: str) -> bool:
        asked = _FILE.search(path)
        if asked is None:
            return True
        for name in (asked[1], unquote(asked[1])):
            try:
                inside = Path(os.path.realpath(name)).relative_to(self.folder).parts
            except (ValueError, OSError):  # elsewhere, which is Gradio's to judge
                continue
            if inside and inside[0].startswith(_KEPT) and not (secret and inside[0].startswith(_folder(secret))):
                return False
        return True


def cookie(scope: Scope) -> str:
    """The secret that a request carries, or ""."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            held = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            if held is not None and _SECRET.fullmatch(held.value):
                return held.value
    return ""
