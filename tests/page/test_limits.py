"""Nobody takes more than their part, the line is kept in order, and a refusal says when to come back."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from nextgpt_core.conversation import ChatOptions, Message, Text
from nextgpt_core.page.store.limits import Allowance, UploadLimit
from nextgpt_core.page.store.visitors import COOKIE, Visitors, visitor
from nextgpt_core.page.talk.lane import Lane, Waiting
from tests.page.conftest import apart
from tests.page.scripted import ScriptedModel


def test_an_allowance_comes_back_with_time():
    now = [0.0]
    allowance = Allowance(3, 60.0, clock=lambda: now[0])
    assert [allowance.spend("ann") for _ in range(3)] == [0, 0, 0]
    now[0] = 20.0
    assert allowance.spend("ann") == 40.0
    assert allowance.spend("bob") == 0
    now[0] = 61.0
    assert allowance.spend("ann") == 0
    now[0] = 200.0
    allowance.spend("eve")
    assert len(allowance) == 1  # who is gone is forgotten


async def through(middleware: object, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of a request that goes through a middleware; 200 where it reaches what lies behind."""
    sent: list[dict] = []
    scope = {
        "type": "http",
        "method": "POST" if path.endswith("/upload") else "GET",
        "path": path,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
    }

    async def send(message: dict) -> None:
        sent.append(message)

    await middleware(scope, None, send)
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


async def behind(scope: dict, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})


def test_uploads_of_an_hour_are_counted_for_each_visitor():
    limit = UploadLimit(behind, most=100)
    ann, bob = (f"{COOKIE}={letter * 43}" for letter in "ab")

    def upload(cookie: str, length: str | None) -> int:
        headers = {"cookie": cookie} | ({"content_length": length} if length else {})
        return apart(asyncio.run, through(limit, "/gradio_api/upload", **headers))[0]

    assert [upload(ann, "60"), upload(ann, "60"), upload(ann, "40"), upload(bob, "60")] == [200, 429, 200, 200]
    assert upload(ann, None) == 411


def test_who_uploads_too_much_is_told_so_in_the_browsers_language():
    sent: list[dict] = []
    headers = [(b"content-length", b"60"), (b"accept-language", b"zh-CN,zh;q=0.9")]
    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": headers, "client": None}

    async def send(message: dict) -> None:
        sent.append(message)

    apart(asyncio.run, UploadLimit(behind, most=50)(scope, None, send))
    assert sent[0]["status"] == 429
    assert "请 60 分钟后再来" in sent[1]["body"].decode()


def test_a_visitors_file_is_for_that_visitor_only(tmp_path):
    visitors = Visitors(behind, tmp_path)
    ann, bob = (letter * 43 for letter in "ab")

    class Request:
        cookies = {COOKIE: ann}

    folder = tmp_path / visitor(Request())
    (folder / "talk").mkdir(parents=True)

    def fetch(path: str, secret: str | None) -> int:
        headers = {"cookie": f"{COOKIE}={secret}"} if secret else {}
        return apart(asyncio.run, through(visitors, path, **headers))[0]

    file = f"{folder}/talk/a.png"
    for path in (f"/gradio_api/file={file}", f"/file={file}", f"/gradio_api/file/{file}"):
        assert fetch(path, ann) == 200
        assert fetch(path, bob) == fetch(path, None) == 403
    crooked = f"/gradio_api/file={tmp_path}//x/../{folder.name}/./talk/a.png"
    assert fetch(crooked, bob) == 403
    assert fetch(f"/gradio_api/file={tmp_path}/s-passing/a.png", bob) == 200
    assert fetch("/gradio_api/file=/elsewhere/a.png", bob) == 200  # Gradio judges that


def test_the_page_gives_a_secret_once_and_no_script_can_read_it(tmp_path):
    visitors = Visitors(behind, tmp_path)
    given = apart(asyncio.run, through(visitors, "/"))[1]["set-cookie"]
    assert "HttpOnly" in given and "SameSite=Lax" in given
    secret = given.split(";")[0].removeprefix(f"{COOKIE}=")
    assert "set-cookie" not in apart(asyncio.run, through(visitors, "/", cookie=f"{COOKIE}={secret}"))[1]
    assert secret not in apart(asyncio.run, through(visitors, "/"))[1]["set-cookie"]


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


def ask(lane: Lane, text: str, stop: threading.Event, folder: Path):
    return lane.turn([Message("user", (Text(text),))], ChatOptions(out_dir=folder), stop)


def test_the_line_tells_each_its_place_and_an_estimate(model, tmp_path):
    lane = Lane(lambda: model)
    lane.open()
    list(ask(lane, "hello", threading.Event(), tmp_path))
    first, second, third = (ask(lane, "hold it here", threading.Event(), tmp_path) for _ in range(3))
    next(first)
    while not model.running:
        time.sleep(0.01)
    assert next(second)[0].before == 1
    place = next(third)[0]
    assert isinstance(place, Waiting)
    assert (place.what, place.before) == ("line", 2)
    assert place.seconds is not None
    second.close()  # who leaves the line lets the others come forward
    while (place := next(third)[0]) is None or place.before != 1:
        pass
    model.go.set()
    assert list(third)[-1][1]
    first.close()


def test_turns_are_answered_in_the_order_of_asking(model, tmp_path):
    lane = Lane(lambda: model)
    lane.open()
    running = ask(lane, "hold it here", threading.Event(), tmp_path)
    next(running)
    turns = [ask(lane, f"number {i}", threading.Event(), tmp_path) for i in range(6)]
    for turn in turns:
        next(turn)
    model.go.set()
    threads = [threading.Thread(target=list, args=(turn,)) for turn in [running, *reversed(turns)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [messages[-1].text for messages, _ in model.seen] == ["hold it here", *(f"number {i}" for i in range(6))]


def test_a_model_that_could_not_be_loaded_is_tried_again_by_the_next_turn(model, tmp_path):
    attempts: list[int] = []

    def load() -> ScriptedModel:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("no network")
        return model

    lane = Lane(load)
    lane.open()
    while lane.state == "loading":
        time.sleep(0.01)
    assert isinstance(lane.failure, OSError)
    turn = ask(lane, "hello", threading.Event(), tmp_path)
    events = [event for _, batch in turn for event in batch]
    assert events and lane.failure is None and len(attempts) == 2
