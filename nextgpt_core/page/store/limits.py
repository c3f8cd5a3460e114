"""What one visitor may ask of the machine: messages a minute, bytes uploaded an hour, bytes kept on disk.

Counted for a browser by its cookie, for anything else by its address. Counts live in memory and leave when they are
old.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from nextgpt_core.page.store.visitors import cookie
from nextgpt_core.page.words import WORDS, choose


@dataclass(frozen=True)
class Limits:
    messages_a_minute: int = 30
    upload_bytes_an_hour: int = 512 * 2**20
    bytes_on_disk: int = 2**30


class Allowance:
    """At most `most` of something in `seconds`, for each of any number of names."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._spent: dict[str, deque[tuple[float, int]]] = {}
        self._lock = threading.Lock()

    def spend(self, name: str, amount: int = 1) -> float:
        """0.0 where enough was left, which is less then; else the seconds until there is, and nothing is spent."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            spent = self._spent.setdefault(name, deque())
            over = sum(amount for _, amount in spent) + amount - self._most
            if over <= 0:
                spent.append((now, amount))
                return 0.0
            until = now + self._seconds
            for at, freed in spent:
                over -= freed
                if over <= 0:
                    until = at + self._seconds
                    break
            return max(0.1, until - now)

    def _forget(self, now: float) -> None:
        for name, spent in list(self._spent.items()):
            while spent and spent[0][0] <= now - self._seconds:
                spent.popleft()
            if not spent:
                del self._spent[name]

    def __len__(self) -> int:
        return len(self._spent)


class UploadLimit:
    """ASGI middleware around Gradio's upload route. The server reads no more of a body than its length announces."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.allowance = Allowance(most, 3600.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/upload"):
            return await self.app(scope, receive, send)
        name = cookie(scope) or (scope["client"] or ("",))[0]
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"")
        if not announced.isdigit():  # a browser and gradio_client always say; who does not might send for ever
            return await PlainTextResponse("Content-Length is missing.", 411)(scope, receive, send)
        if seconds := self.allowance.spend(name, int(announced)):
            words = WORDS[choose(headers.get(b"accept-language", b"").decode("latin-1"))]
            refusal = words["too_many_uploads"].format(minutes=round(seconds / 60) or 1)
            return await PlainTextResponse(refusal, 429)(scope, receive, send)
        return await self.app(scope, receive, send)
