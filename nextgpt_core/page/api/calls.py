"""Turns for callers without a session, such as the OpenAI route and the MCP tool.

A call brings its whole conversation, waits in the same lane as the page's visitors, and leaves nothing behind: its
uploads and what is made for it lie in a folder of its own that goes when it ends. When the caller hangs up, the model
stops at its next token or step. What a call says and how its answer is written is left to the routes.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request

from nextgpt_core.config import Config
from nextgpt_core.conversation import ChatOptions, Event, Message
from nextgpt_core.media import MediaError
from nextgpt_core.page.store.limits import Allowance, Limits
from nextgpt_core.page.store.visitors import passing
from nextgpt_core.page.talk.lane import Lane
from nextgpt_core.page.talk.live import refusal

logger = logging.getLogger(__name__)
MAX_BODY = 64 * 2**20  # bytes of one request: a file of 48 MiB as base64
MAX_TEXT = 200_000  # characters of one request, far beyond any context; a guard for the tokenizer
MAX_FILES = 32  # of one request, its earlier messages included
_WAITING = 8  # calls at a time, the one that is answered included
_RETRY = 10  # seconds after which a refused caller may ask again
_SIGN = 5.0  # seconds after which a silent turn gives a sign of life


class CallError(Exception):
    """A call cannot be answered. `status` is HTTP's, `code` a word for programs, `param` the place in the request.

    After `retry` seconds the caller may ask again.
    """

    def __init__(self, status: int, message: str, code: str, param: str | None = None, retry: float = _RETRY) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self._retry = status, message, code, param, retry

    @property
    def headers(self) -> Mapping[str, str]:
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": str(ceil(self._retry))} if self.status in (429, 503) else {}


@dataclass
class Call:
    """`folder` is where its files may lie; whoever sets `stop` ends it."""

    lane: Lane
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)

    async def turn(self, messages: Sequence[Message], options: ChatOptions) -> AsyncIterator[list[Event]]:
        """Batches of events until the turn ends or `stop` is set; an empty batch says that it goes on, or waits.

        Raises CallError: the message's fault (400) in the error's own words, ours (500) as a reference into the log.
        """
        turn = self.lane.turn(messages, options, self.stop)
        step = None
        try:
            while True:
                step = step or asyncio.ensure_future(to_thread.run_sync(next, turn, None))
                done, _ = await asyncio.wait({step}, timeout=_SIGN)
                if not done:
                    yield []
                    continue
                result, step = step.result(), None
                if result is None:
                    return
                if result[1]:
                    yield result[1]
        except Exception as error:
            if words := refusal(error):
                code = "invalid_media" if isinstance(error, MediaError) else "context_length_exceeded"
                raise CallError(400, words, code, "messages") from error
            if self.lane.failure is not None:
                message = "The model could not be loaded; the server's log says why."
                raise CallError(503, message, "model_not_loaded") from error
            raise failure() from error
        finally:
            self.stop.set()
            if step is not None:
                await asyncio.wait({step})


def failure() -> CallError:
    """The error at hand goes into the log; the caller is told under which reference."""
    reference = secrets.token_hex(4)
    logger.exception("A call failed; the caller was given the reference %s.", reference)
    return CallError(500, f"That went wrong on our side; please try again. Reference: {reference}", "server_error")


class Calls:
    """Who may call, and how many at a time.

    `lane` leads to the model of this `config`; `folder` is where the page keeps conversations, so that its sweep finds
    what a crash left there of a call. Where the page has a login, callers carry one of its names and passwords.
    """

    def __init__(
        self,
        lane: Lane,
        folder: Path,
        config: Config,
        login: Sequence[tuple[str, str]] = (),
        limits: Limits | None = None,
    ) -> None:
        self.lane, self.folder, self.config = lane, folder, config
        self.taken = 0
        self._keys = [f"{name}:{password}".encode() for name, password in login]
        self._allowance = Allowance((limits or Limits()).messages_a_minute, 60.0)

    def check(self, request: Request) -> None:
        """Raises CallError unless the request carries a login where one is asked for, and no foreign page can send it.

        A browser asks this server first before it sends JSON for another site; other types it would send at once.
        """
        key = _key(request)
        if self._keys and not any(secrets.compare_digest(key, known) for known in self._keys):
            raise CallError(
                401, "This server asks for a login: Authorization: Bearer NAME:PASSWORD.", "invalid_api_key"
            )
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if request.method == "POST" and kind != "application/json":
            raise CallError(415, f"The body is {kind or 'of no type'}, expected application/json.", "unsupported_type")

    def count(self, request: Request) -> None:
        """Counts a turn. Raises CallError where this caller has had as many as a visitor may have in a minute."""
        if seconds := self._allowance.spend(caller(request) if self._keys else _address(request)):
            message = f"Too many messages in a minute. Please ask again in {ceil(seconds)} s."
            raise CallError(429, message, "rate_limit", retry=seconds)

    @contextmanager
    def place(self) -> Iterator[Call]:
        """A place among those who wait, and a folder. Raises CallError where too many wait."""
        if self.taken >= _WAITING or self.lane.full:
            raise CallError(429, f"Too many are waiting just now. Please ask again in {_RETRY} s.", "too_many_waiting")
        self.taken += 1
        call = Call(self.lane, self.folder / passing() / "call")
        try:
            yield call
        finally:
            self.taken -= 1
            call.stop.set()
            shutil.rmtree(call.folder.parent, ignore_errors=True)


def caller(request: Request) -> str:
    """What tells callers apart: their key if they have one, else where they call from."""
    return request.headers.get("authorization") or _address(request)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _key(request: Request) -> bytes:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return value.strip().encode()
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""


async def read_body(request: Request) -> bytes:
    """Raises CallError beyond MAX_BODY."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise CallError(413, f"The request is over {MAX_BODY // 2**20} MiB, which is the limit.", "too_large")
    return bytes(body)


@asynccontextmanager
async def hung_up_stops(request: Request, stop: threading.Event) -> AsyncIterator[None]:
    """Sets `stop` when the caller hangs up. The request's body has been read."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        stop.set()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
