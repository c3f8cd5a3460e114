"""`/v1` through OpenAI's own client: what is refused, what goes wrong, and how either is told."""

from __future__ import annotations

import threading

import openai
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from nextgpt_core.page.api import calls as calls_module
from nextgpt_core.page.api import openai_api
from nextgpt_core.page.api.calls import Calls
from nextgpt_core.page.store.limits import Limits
from nextgpt_core.page.talk.lane import Lane
from tests.media_files import write_png_bomb
from tests.page.api.conftest import ask, picture, say, show
from tests.page.programs import KEY, LOGIN, data_url, wait_until
from tests.page.scripted import CONFIG, ScriptedModel

HELLO = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    "change, param, words",
    [
        ({"model": "gpt"}, "model", "there is 'scripted'"),
        ({"messages": []}, "messages", "missing or empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", '"tool"'),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "nothing to answer"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0]", "image_url"),
        ({"messages": [{"role": "user", "content": "x" * 200_001}]}, "messages", "200000 characters"),
        ({"temperature": 3}, "temperature", "from 0 to 1.5"),
        ({"seed": "x"}, "seed", "expected a number"),
        ({"max_tokens": 0}, "max_tokens", "from 1 up"),
        ({"image_steps": 10**6}, "image_steps", "from 1 to 50"),
        ({"n": 2}, "n", "only be 1"),
        ({"tools": [{"type": "function"}]}, "tools", "only be []"),
        ({"image": "yes"}, "image", "auto, always, never"),
        ({"modalities": ["smell"]}, "modalities", "text, image, video, audio"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"nonsense": 1}, "nonsense", "no parameter"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_name(api, http, change, param, words):
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}], **change}
    calls = len(api.model.seen)
    answer = http.post("v1/chat/completions", json=body, headers={"Authorization": f"Bearer {KEY}"})
    error = answer.json()["error"]
    assert answer.status_code == (404 if param == "model" else 400)
    assert error["param"] == param
    assert words in error["message"]
    assert len(api.model.seen) == calls


@pytest.mark.parametrize(
    "body", ["", "[]", "[" * 100_000, '{"model": "scripted", "messages": [{"role": "user", "content": "\\ud800"}]}']
)
def test_a_body_that_says_nothing_is_refused(http, body):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = http.post("v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.png", "file:///etc/passwd", "/etc/passwd", "data:image/png,x"])
def test_nothing_is_fetched_and_no_path_is_read(client, url):
    with pytest.raises(openai.BadRequestError, match=r"data: URL|Nothing is fetched"):
        ask(client, say("look"), show(url))


def test_hostile_files_are_refused_in_one_line(client, tmp_path):
    (tmp_path / "text").write_text("I am no picture.")
    for hostile in (tmp_path / "text", write_png_bomb(tmp_path / "bomb.png")):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, say("look"), show(data_url(hostile)), stream=True)
        assert caught.value.code == "invalid_media"
        assert caught.value.param == "messages[0].content[1].image_url"
        assert "\n" not in caught.value.body["message"]


def test_too_many_files_and_too_large_a_body_are_refused(api, client, tmp_path, monkeypatch):
    one = show(data_url(picture(tmp_path)))
    with pytest.raises(openai.BadRequestError, match="over 32 files"):
        ask(client, say("look"), *[one] * 33)
    monkeypatch.setattr(calls_module, "MAX_BODY", 10_000)
    with pytest.raises(openai.APIStatusError, match="is the limit"):
        ask(client, "x" * 10_000)
    monkeypatch.undo()
    wait_until(lambda: not list(api.folder.iterdir()))


@pytest.mark.parametrize("fault", ["crash", "memory"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_fault_is_told_by_a_reference_only(client, fault, stream):
    with pytest.raises(openai.APIError) as caught:
        answer = ask(client, fault, stream=stream)
        list(answer)
    assert "Reference: " in caught.value.message
    assert "scripted" not in caught.value.message
    assert ask(client, "two").choices[0].message.content.strip() == "Answer 1 to: two."


def test_too_many_callers_are_told_when_to_come_back(api, client):
    api.model.go.clear()
    callers = [threading.Thread(target=ask, args=(client, "hold")) for _ in range(calls_module._WAITING)]
    for caller in callers:
        caller.start()
    wait_until(lambda: api.calls.taken == len(callers))
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, "me too")
    assert caught.value.response.headers["retry-after"] == "10"
    api.model.go.set()
    for caller in callers:
        caller.join(30)
    assert api.model.most_running == 1
    assert ask(client, "me too").choices[0].message.content.strip() == "Answer 1 to: me too."


def test_the_login_is_asked_for(api, http):
    with pytest.raises(openai.AuthenticationError, match="NAME:PASSWORD"):
        ask(openai.OpenAI(base_url=f"{api.address}v1", api_key="wrong", max_retries=0), "hello")
    assert http.get("v1/models").status_code == 401
    assert http.get("v1/models", auth=LOGIN).status_code == 200


def test_a_caller_may_ask_so_many_times_a_minute(tmp_path):
    lane = Lane(ScriptedModel)
    lane.open()
    app = Starlette(routes=openai_api.routes(Calls(lane, tmp_path, CONFIG, limits=Limits(messages_a_minute=1))))
    with TestClient(app) as caller:
        first, second = (caller.post("/v1/chat/completions", json=HELLO) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 429)
    assert 0 < int(second.headers["retry-after"]) <= 60


def test_a_foreign_page_cannot_ask(http):
    """A browser sends text/plain to other sites unasked; JSON it announces first, and the answer names no such site."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain", "Origin": "https://example.com"}
    assert http.post("v1/chat/completions", content="{}", headers=headers).status_code == 415
    asking = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    answer = http.options("v1/chat/completions", headers=asking)
    assert "access-control-allow-origin" not in answer.headers


def test_what_is_not_there_is_an_error_of_openais_form(http):
    for answer in (http.get("v1/embeddings"), http.get("v1/chat/completions")):
        assert answer.status_code in (404, 405)
        assert answer.json()["error"]["code"] == "not_here"
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_a_model_that_cannot_be_loaded_is_an_error(tmp_path):
    def load():
        raise OSError("no such weights")

    lane = Lane(load)
    lane.open()
    app = Starlette(routes=openai_api.routes(Calls(lane, tmp_path, CONFIG)))
    with TestClient(app) as caller:
        answer = caller.post("/v1/chat/completions", json=HELLO)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "model_not_loaded"
