"""A page with what programs talk to beside it: the OpenAI route and the MCP tool."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nextgpt_core.page import layout
from nextgpt_core.page.api import mcp_tool, openai_api
from nextgpt_core.page.api.calls import Calls
from nextgpt_core.page.talk.lane import Lane, Model
from tests.page.conftest import MANY

LOGIN = ("ada", "a word that nobody guesses")
KEY = ":".join(LOGIN)


@dataclass
class Served:
    address: str
    model: Model
    calls: Calls

    @property
    def folder(self) -> Path:
        return self.calls.folder


def serve(model: Model, folder: Path, login: list[tuple[str, str]]) -> Iterator[Served]:
    lane = Lane(lambda: model)
    calls = Calls(lane, folder, model.config, login, MANY)
    page = layout.build(lane, folder, model.config, MANY)
    routes = [*openai_api.routes(calls), *mcp_tool.routes(calls)]
    address = layout.launch(page, folder, login=login, limits=MANY, routes=routes)
    lane.open()
    yield Served(address, model, calls)
    page.close()


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)


def data_url(path: Path, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
