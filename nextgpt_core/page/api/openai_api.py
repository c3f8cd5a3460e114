"""`/v1/chat/completions` and `/v1/models` beside the page: what programs that talk to OpenAI's API can talk to.

Whole answers or server-sent events; errors in OpenAI's form. `openai_request` reads what is asked, `calls` runs it in
the page's lane, `openai_reply` writes the answer. The README's section "API" is the documentation.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from nextgpt_core.conversation import Event
from nextgpt_core.page.api.calls import CallError, Calls, caller, failure, hung_up_stops, read_body
from nextgpt_core.page.api.event_stream import EventStream
from nextgpt_core.page.api.openai_reply import Reply
from nextgpt_core.page.api.openai_request import Asked, read

_KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def routes(calls: Calls) -> list[BaseRoute]:
    """What `launch` adds to the page's server."""
    models = _Models(calls)
    inner: Sequence[BaseRoute] = (
        Route("/chat/completions", _ChatCompletions(calls), methods=["POST"]),
        Route("/models", models.all),
        Route("/models/{name:path}", models.one),
    )
    handlers = {CallError: _told, HTTPException: _told_otherwise, Exception: _told_as_fault}
    return [Mount("/v1", app=Starlette(routes=inner, exception_handlers=handlers))]


class _ChatCompletions:
    """The route as an ASGI application, because an answer may be one response or a stream, and errors come in both."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self._calls.check(request)
        self._calls.count(request)
        with self._calls.place() as call:
            body = await read_body(request)
            async with hung_up_stops(request, call.stop):
                config = self._calls.config
                asked = await to_thread.run_sync(read, body, call.folder, config, caller(request))
                reply = Reply(config.name, asked.longest)
                async with aclosing(call.turn(asked.messages, asked.options)) as batches:
                    if asked.stream:
                        await _stream(batches, asked, reply, send)
                    else:
                        await _whole(batches, reply, (scope, receive, send))


async def _whole(batches: AsyncIterator[list[Event]], reply: Reply, wire: tuple[Scope, Receive, Send]) -> None:
    async for events in batches:
        for _ in reply.deltas(events):
            pass
    if reply.done:  # else the caller has gone
        await JSONResponse(reply.completion())(*wire)


async def _stream(batches: AsyncIterator[list[Event]], asked: Asked, reply: Reply, send: Send) -> None:
    stream = EventStream(send)
    try:
        async for events in batches:
            if not stream.started:
                await stream.data(reply.opening())
            if events:
                await stream.data(*(reply.chunk(delta) for delta in reply.deltas(events)))
            else:
                await stream.sign()
    except CallError as error:
        if not stream.started:
            raise
        await stream.data(_body(error))
    else:
        if reply.done:
            await stream.data(*reply.closing(asked.usage), "[DONE]")
    if stream.started:
        await stream.end()


class _Models:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._model = {"id": calls.config.name, "object": "model", "created": int(time.time()), "owned_by": "nextgpt"}

    async def all(self, request: Request) -> Response:
        self._calls.check(request)
        return JSONResponse({"object": "list", "data": [self._model]})

    async def one(self, request: Request) -> Response:
        self._calls.check(request)
        name, known = request.path_params["name"], self._model["id"]
        if name != known:
            raise CallError(404, f"There is no model {name!r}; there is {known!r}.", "model_not_found", "model")
        return JSONResponse(self._model)


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, CallError)
    return JSONResponse(_body(error), error.status, error.headers)


async def _told_otherwise(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = CallError(error.status_code, f"{request.method} {request.url.path}: {error.detail}.", "not_here")
    return JSONResponse(_body(told), error.status_code, error.headers)


async def _told_as_fault(request: Request, error: Exception) -> Response:
    return await _told(request, failure())


def _body(error: CallError) -> dict[str, object]:
    kind = _KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
