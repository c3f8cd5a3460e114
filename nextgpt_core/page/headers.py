"""HTTP headers that keep the page to itself: what it may load, who may frame it, no guessing of content types."""

from __future__ import annotations

import os

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Gradio's page has inline scripts and builds functions from strings, hence the two unsafe- words; nothing but this
# server is ever asked for anything.
_POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}
_SPACE_FRAMES = "'self' https://huggingface.co https://*.hf.space"  # a Space is shown inside the hub's own page


class SecurityHeaders:
    """ASGI middleware; it touches only the start of a response, so streams stay streams."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        frames = _SPACE_FRAMES if os.environ.get("SPACE_ID") else "'self'"
        policy = {**_POLICY, "frame-ancestors": frames}
        self.headers = {
            "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)  # a stricter word of a route's own stands
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
