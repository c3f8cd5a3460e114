"""OpenAI's own client, and what it says, for the tests of `/v1`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.page.programs import KEY, LOGIN, Served, serve
from tests.page.scripted import ScriptedModel, make


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(ScriptedModel(), tmp_path_factory.mktemp("conversations"), [LOGIN])


@pytest.fixture(scope="module")
def client(api: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api.address}v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def http(api: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.address, timeout=30) as http:
        yield http


def ask(client: openai.OpenAI, *content: object, **options):
    said = content[0] if len(content) == 1 else list(content)
    return client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": said}], **options)


def picture(folder: Path) -> Path:
    return make("image", folder, {"height": 32, "width": 32})


def show(url: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url}}


def say(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
