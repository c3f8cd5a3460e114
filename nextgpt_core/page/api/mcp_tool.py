"""The tool `chat` for assistants that speak MCP (Model Context Protocol), at `/mcp`.

The protocol's streamable HTTP without sessions: each call brings its earlier turns, so no caller's words wait here for
another, and one that hangs up stops the model. (Gradio's own MCP server asks the page as one visitor for all callers,
who would then share one conversation.) Pictures and sounds come back as MCP's own kinds of content, videos as embedded
resources. https://modelcontextprotocol.io/specification/2025-06-18
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from nextgpt_core.config import Config
from nextgpt_core.conversation import (
    ChatOptions,
    Event,
    MediaFailed,
    MediaProgress,
    MediaReady,
    MediaStarted,
    Message,
    TextDelta,
)
from nextgpt_core.page.api.calls import Call, CallError, Calls, failure, hung_up_stops, read_body
from nextgpt_core.page.api.event_stream import EventStream
from nextgpt_core.page.api.openai_messages import messages, short
from nextgpt_core.page.api.openai_reply import MIME, encoded, told
from nextgpt_core.page.settings import Settings

_VERSIONS = ("2025-06-18", "2025-03-26")  # the newest first
_PARSE, _INVALID, _NO_METHOD, _BAD_PARAMS = -32700, -32600, -32601, -32602  # JSON-RPC's codes
_KINDS = {"files": (list, "a list"), "earlier": (list, "a list"), "options": (dict, "an object")}
_EARLIER = {
    "type": "object",
    "properties": {"role": {"enum": ["user", "assistant"]}, "content": {"type": "string"}},
    "required": ["role", "content"],
}


def routes(calls: Calls) -> list[BaseRoute]:
    """What `launch` adds to the page's server."""
    return [Route("/mcp", _Server(calls), methods=["POST"])]


class _RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Server:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._settings = Settings(calls.config)
        self._tool = _describe(calls.config, self._settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, id = Request(scope, receive), None
        try:
            self._calls.check(request)
            asked = _parse(await read_body(request))
            id = asked.get("id")
            if id is None:  # a notification, or an answer to what we never ask
                answer = Response(status_code=202)
            elif asked["method"] == "tools/call":
                return await self._call(request, id, _params(asked), send)
            else:
                answer = JSONResponse(_result(id, self._plain(asked["method"], _params(asked))))
        except _RpcError as error:
            answer = JSONResponse(_error(id, error.code, str(error)), 400 if id is None else 200)
        except CallError as error:
            answer = JSONResponse(_error(id, _INVALID, error.message), error.status, error.headers)
        await answer(scope, receive, send)

    def _plain(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            wanted = params.get("protocolVersion")
            return {
                "protocolVersion": wanted if wanted in _VERSIONS else _VERSIONS[0],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "NExT-GPT", "version": self._calls.config.name},
            }
        if method == "tools/list":
            return {"tools": [self._tool]}
        if method == "ping":
            return {}
        raise _RpcError(_NO_METHOD, f"There is no method {method}; there are initialize, ping, tools/list, tools/call.")

    async def _call(self, request: Request, id: Any, params: Mapping[str, Any], send: Send) -> None:
        """What goes wrong with the turn is the tool's answer, which the assistant can read and act on."""
        if params.get("name") != "chat":
            raise _RpcError(_BAD_PARAMS, f"There is no tool {params.get('name')!r}; there is 'chat'.")
        meta = params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        stream, gathered = EventStream(send), _Gathered(token)
        try:
            self._calls.count(request)
            with self._calls.place() as call:
                async with hung_up_stops(request, call.stop):
                    said, options = await to_thread.run_sync(self._read, params.get("arguments"), call)
                    async with aclosing(call.turn(said, options)) as batches:
                        async for events in batches:
                            await stream.data(*gathered.notes(events))
                            if not events:
                                await stream.sign()
            result = gathered.result()
        except CallError as error:
            result = _failed(error.message)
        except Exception:
            result = _failed(failure().message)
        await stream.data(_result(id, result))
        await stream.end()

    def _read(self, arguments: Any, call: Call) -> tuple[list[Message], ChatOptions]:
        given = arguments if isinstance(arguments, dict) else {}
        if unknown := given.keys() - self._tool["inputSchema"]["properties"].keys():
            raise CallError(400, f"There is no argument {', '.join(sorted(unknown))}.", "unknown_argument")
        for name, (kind, expected) in _KINDS.items():
            if not isinstance(given.get(name, kind()), kind):
                raise CallError(400, f"{name} is {short(given[name])}, expected {expected}.", "invalid_value")
        files, earlier, options = (given.get(name, kind()) for name, (kind, _) in _KINDS.items())
        parts = [{"type": "file", "file": {"file_data": file}} for file in files]
        if text := given.get("message"):
            parts.append({"type": "text", "text": text})
        said = messages([*earlier, {"role": "user", "content": parts}], call.folder)
        try:
            return said, self._settings.options(options, call.folder, call.folder.parent.name)
        except ValueError as error:
            raise CallError(400, str(error), "invalid_value") from error


class _Gathered:
    """An answer as it grows, and what a caller who asked for progress is told of it."""

    def __init__(self, token: str | int | None) -> None:
        self._token = token
        self._text = ""
        self._content: list[dict[str, Any]] = []
        self._media: list[dict[str, Any]] = []
        self._failed: list[str] = []
        self._making = ""
        self._progress = 0

    def notes(self, events: list[Event]) -> list[dict[str, Any]]:
        """Takes the events in; the progress notifications that they give."""
        doing = ""
        for event in events:
            if isinstance(event, TextDelta):
                self._text += event.text
                doing = self._text.strip()
            elif isinstance(event, MediaStarted):
                self._making = event.modality
            elif isinstance(event, MediaProgress):
                doing = f"{self._making}: step {event.step} of {event.steps}"
            elif isinstance(event, MediaReady):
                self._content.append(_content(event))
                about = {"modality": event.media.modality, "caption": event.media.caption}
                self._media.append({**about, **told(event.provenance)})
            elif isinstance(event, MediaFailed):
                self._failed.append(event.reason)
        if self._token is None or not doing:
            return []
        self._progress += 1
        params = {"progressToken": self._token, "progress": self._progress, "message": doing}
        return [{"jsonrpc": "2.0", "method": "notifications/progress", "params": params}]

    def result(self) -> dict[str, Any]:
        text = "\n".join([self._text.strip(), *self._failed]).strip()
        return {
            "content": [*([{"type": "text", "text": text}] if text else []), *self._content],
            "structuredContent": {"text": self._text, "media": self._media, "failed": self._failed},
            "isError": False,
        }


def _content(ready: MediaReady) -> dict[str, Any]:
    item, mime = ready.media, MIME[ready.media.path.suffix]
    if item.modality != "video":
        return {"type": item.modality, "data": encoded(ready), "mimeType": mime}
    resource = {"uri": f"nextgpt://made/{item.path.name}", "mimeType": mime, "blob": encoded(ready)}
    return {"type": "resource", "resource": resource}


def _describe(config: Config, settings: Settings) -> dict[str, Any]:
    makes = " and ".join(settings.modalities) or "no media"
    properties = {
        "message": {"type": "string", "description": "What to say or ask for."},
        "files": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Pictures, videos and sounds to look at or hear, each as a data: URL in base64.",
        },
        "earlier": {"type": "array", "items": _EARLIER, "description": "The conversation so far, oldest first."},
        "options": {
            "type": "object",
            "description": f"Settings by name, with their usual values: {json.dumps(settings.defaults)}. "
            f"{', '.join(settings.modalities)}: auto, always or never.",
        },
    }
    return {
        "name": "chat",
        "description": f"Answers a message about any mix of text, pictures, videos and sounds, and makes {makes} "
        f"when asked to. The model is NExT-GPT, profile {config.name}.",
        "inputSchema": {"type": "object", "properties": properties, "additionalProperties": False},
    }


def _parse(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise _RpcError(_PARSE, "The body is not JSON.") from None
    if not isinstance(asked, dict) or asked.get("jsonrpc") != "2.0":
        raise _RpcError(_INVALID, "The body is no JSON-RPC 2.0 message.")
    if "id" in asked and not isinstance(asked.get("method"), str):
        raise _RpcError(_INVALID, "The request names no method.")
    return asked


def _params(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    params = asked.get("params") or {}
    if not isinstance(params, dict):
        raise _RpcError(_BAD_PARAMS, "params is no object.")
    return params


def _result(id: Any, result: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": result}


def _error(id: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}


def _failed(message: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": message}], "isError": True}
