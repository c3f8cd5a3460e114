"""Server-sent events straight over ASGI, so that an answer may still become a plain error until its first word."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Send

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # a proxy must not gather what streams
)


class EventStream:
    """The head goes out with the first event or sign of life."""

    def __init__(self, send: Send) -> None:
        self.started = False
        self._send = send

    async def data(self, *values: Any) -> None:
        """One event for each value: text as it is, anything else as JSON."""
        texts = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)
        if text := "".join(f"data: {text}\n\n" for text in texts):
            await self._write(text)

    async def sign(self) -> None:
        """A comment, which readers pass over: it keeps proxies from hanging up."""
        await self._write(": waiting\n\n")

    async def end(self) -> None:
        await self._write("", more=False)

    async def _write(self, text: str, more: bool = True) -> None:
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": more})
