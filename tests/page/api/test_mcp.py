"""The MCP tool through the official client, against the real route with the scripted model."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

from nextgpt_core import media
from tests.page.conftest import apart
from tests.page.programs import KEY, LOGIN, Served, data_url, serve, wait_until
from tests.page.scripted import ScriptedModel, make

HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(ScriptedModel(), tmp_path_factory.mktemp("conversations"), [LOGIN])


def with_session(page: Served, work, headers: dict[str, str] = HEADERS) -> Any:
    """What `work` makes of a session that has introduced itself."""

    async def run() -> Any:
        async with (
            httpx.AsyncClient(headers=headers, timeout=60) as http,
            streamable_http_client(f"{page.address}mcp", http_client=http) as (read, write, _),
            ClientSession(read, write, read_timeout_seconds=timedelta(seconds=60)) as session,
        ):
            await session.initialize()
            return await work(session)

    return apart(anyio.run, run)


def ask(page: Served, message: str, **arguments: object) -> CallToolResult:
    return with_session(page, lambda session: session.call_tool("chat", {"message": message, **arguments}))


def post(page: Served, **message: object) -> httpx.Response:
    accept = {"Accept": "application/json, text/event-stream"}
    return httpx.post(f"{page.address}mcp", json={"jsonrpc": "2.0", **message}, headers={**HEADERS, **accept})


def test_the_tool_describes_itself(page):
    async def work(session: ClientSession) -> Any:
        await session.send_ping()
        return (await session.list_tools()).tools

    (tool,) = with_session(page, work)
    assert tool.name == "chat"
    assert "image and video and audio" in tool.description
    assert set(tool.inputSchema["properties"]) == {"message", "files", "earlier", "options"}
    assert "image_steps" in tool.inputSchema["properties"]["options"]["description"]


def test_every_kind_of_medium_comes_back_and_nothing_stays(page, tmp_path):
    answer = ask(page, "a picture a clip and a sound", options={"seed": 3, "image_steps": 5})
    assert not answer.isError
    text, image, video, audio = answer.content
    assert text.text == "Answer 1 to: a picture a clip and a sound."
    assert (image.mimeType, video.resource.mimeType, audio.mimeType) == ("image/png", "video/mp4", "audio/wav")
    for kind, data in (("image", image.data), ("video", video.resource.blob), ("audio", audio.data)):
        path = tmp_path / kind
        path.write_bytes(base64.b64decode(data))
        assert media.probe(path) == kind
    told = answer.structuredContent["media"]
    assert [(made["modality"], made["seed"]) for made in told] == [("image", 3), ("video", 4), ("audio", 5)]
    assert told[0]["settings"]["steps"] == 5
    wait_until(lambda: not list(page.folder.iterdir()))


def test_files_and_earlier_turns_reach_the_model(page, tmp_path):
    file = data_url(make("image", tmp_path, {"height": 32, "width": 32}))
    earlier = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Hello!"}]
    answer = ask(page, "look", files=[file], earlier=earlier)
    assert answer.content[0].text == "Answer 2 to: look. I got an image."
    assert [message.text for message in page.model.seen[-1][0]] == ["hello", "Hello!", "look"]


def test_calls_of_one_session_and_of_others_know_nothing_of_each_other(page):
    async def work(session: ClientSession) -> list[str]:
        return [(await session.call_tool("chat", {"message": f"message {i}"})).content[0].text for i in range(2)]

    answers = [with_session(page, work), with_session(page, work)]
    assert answers == [["Answer 1 to: message 0.", "Answer 1 to: message 1."]] * 2
    assert len({options.scope for _, options in page.model.seen[-4:]}) == 4


def test_progress_is_told_to_who_asks_for_it(page):
    told: list[tuple[float, str]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    with_session(page, lambda session: session.call_tool("chat", {"message": "slow picture"}, progress_callback=note))
    assert [progress for progress, _ in told] == sorted({progress for progress, _ in told})
    assert told[0][1].startswith("Answer")
    assert told[-1][1] == "image: step 10 of 10"


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"message": ""}, "says nothing"),
        ({"message": "hello", "files": ["http://127.0.0.1:1/a.png"]}, "Nothing is fetched"),
        ({"message": "hello", "files": ["/etc/passwd"]}, "Nothing is fetched"),
        ({"message": "hello", "files": ["data:text/plain;base64,SGVsbG8="]}, "is text; accepted are pictures"),
        ({"message": "hello", "options": {"image_steps": 10**6}}, "from 1 to 50"),
        ({"message": "hello", "options": []}, "expected an object"),
        ({"message": "hello", "earlier": "x"}, 'earlier is "x", expected a list'),
        ({"message": 5}, "expected text"),
        ({"nonsense": 5}, "no argument nonsense"),
        ({"message": "fail picture"}, "The image could not be made."),
        ({"message": "crash"}, "Reference: "),
    ],
)
def test_what_goes_wrong_is_an_answer_in_words(page, arguments, words):
    answer = with_session(page, lambda session: session.call_tool("chat", arguments))
    assert words in answer.content[0].text
    assert "scripted" not in answer.content[0].text
    assert answer.isError == ("could not be made" not in words)


def test_there_is_no_other_tool_and_no_other_method(page):
    async def work(session: ClientSession) -> None:
        with pytest.raises(McpError, match="there is 'chat'"):
            await session.call_tool("other", {})
        with pytest.raises(McpError, match="There is no method resources/list"):
            await session.list_resources()

    with_session(page, work)


def test_what_is_no_protocol_is_refused(page):
    assert post(page, method="notifications/initialized").status_code == 202
    assert post(page, id=1, method=5).json()["error"]["code"] == -32600
    assert post(page, id=1, method="tools/call", params=[1]).json()["error"]["code"] == -32602
    headers = {**HEADERS, "Content-Type": "application/json"}
    assert httpx.post(f"{page.address}mcp", content="{", headers=headers).json()["error"]["code"] == -32700
    assert httpx.post(f"{page.address}mcp", content="[]", headers=headers).json()["error"]["code"] == -32600
    assert httpx.get(f"{page.address}mcp", headers=HEADERS).status_code == 405
    plain = httpx.post(f"{page.address}mcp", content="{}", headers={**HEADERS, "Content-Type": "text/plain"})
    assert plain.status_code == 415


def test_the_login_is_asked_for(page):
    answer = httpx.post(f"{page.address}mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


def test_hanging_up_stops_the_model(page):
    page.model.go.clear()
    call = {"name": "chat", "arguments": {"message": "hold clip"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{page.address}mcp", json=body, headers=HEADERS, timeout=2)
    wait_until(lambda: page.calls.taken == 0)
    assert page.model.running == 1
    page.model.go.set()
    wait_until(lambda: page.model.running == 0)
    assert not list(page.folder.glob("*/*"))  # where the clip would be, had the model gone on
    assert ask(page, "hello").content[0].text == "Answer 1 to: hello."


def test_many_at_once_get_each_their_own(page):
    async def work(session: ClientSession) -> dict[int, str]:
        answers: dict[int, str] = {}

        async def one(number: int) -> None:
            answer = await session.call_tool("chat", {"message": f"visitor{number}"})
            answers[number] = answer.content[0].text

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(one, number)
        return answers

    assert with_session(page, work) == {n: f"Answer 1 to: visitor{n}." for n in range(5)}
    assert page.model.most_running == 1


def test_the_picture_that_came_back_can_be_shown_again(page, tmp_path: Path):
    image = ask(page, "picture").content[1]
    answer = ask(page, "look", files=[f"data:{image.mimeType};base64,{image.data}"])
    assert "I got an image." in answer.content[0].text
