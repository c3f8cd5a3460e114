"""`/v1` through OpenAI's own client, against the real route with the scripted model."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from nextgpt_core import media
from nextgpt_core.page.api import calls as calls_module
from nextgpt_core.page.api import openai_api
from nextgpt_core.page.api.calls import Calls
from nextgpt_core.page.store.limits import Limits
from nextgpt_core.page.talk.lane import Lane
from tests.media_files import tone, write_png_bomb, write_wav
from tests.page.programs import KEY, LOGIN, Served, data_url, serve, wait_until
from tests.page.scripted import CONFIG, ScriptedModel, make

HELLO = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}


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


def test_words_and_counts_come_back(client):
    answer = ask(client, "hello")
    assert answer.choices[0].message.content.strip() == "Answer 1 to: hello."
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (10, 5, 15)


def test_every_kind_of_medium_comes_back_whole_and_nothing_stays(api, client, tmp_path):
    message = ask(client, "a picture a clip and a sound", seed=5).choices[0].message
    kinds = []
    for part in message.media:
        head, _, data = part[part["type"]]["url"].partition(",")
        path = tmp_path / part["type"]
        path.write_bytes(base64.b64decode(data))
        kinds.append((part["type"], head, media.probe(path), part["provenance"]["seed"]))
    assert kinds == [
        ("image_url", "data:image/png;base64", "image", 5),
        ("video_url", "data:video/mp4;base64", "video", 6),
        ("audio_url", "data:audio/wav;base64", "audio", 7),
    ]
    assert message.media[0]["caption"] == "A picture of a picture a clip and a sound"
    assert message.media[0]["offset"] == len(message.content)
    wait_until(lambda: not list(api.folder.iterdir()))


def test_an_answer_streams_in_chunks(client):
    stream = ask(client, "slow picture", stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    words = [delta.content for delta in deltas if delta.content]
    assert len(words) > 2
    assert "".join(words).strip() == "Answer 1 to: slow picture."
    steps = [delta.progress["step"] for delta in deltas if getattr(delta, "progress", None)]
    assert steps == sorted(steps)
    assert steps[-1] == 10
    media_parts = [part for delta in deltas for part in getattr(delta, "media", [])]
    assert [part["type"] for part in media_parts] == ["image_url"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens == 15


def test_files_of_every_form_reach_the_model_by_what_they_are(api, client, tmp_path):
    clip = make("video", tmp_path, {"height": 32, "width": 32, "frames": 4})
    sound = base64.b64encode(write_wav(tmp_path / "tone.wav", tone(0.5)).read_bytes()).decode()
    answer = ask(
        client,
        say("look"),
        show(data_url(picture(tmp_path))),
        {"type": "video_url", "video_url": {"url": data_url(clip, "video/mp4")}},
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
        {"type": "file", "file": {"filename": "lie.pdf", "file_data": data_url(clip, "application/pdf")}},
    )
    assert "I got an image. I got a video. I got an audio. I got a video." in answer.choices[0].message.content
    told = api.model.seen[-1][0][-1]
    assert told.text == "look"
    assert all(api.folder in item.path.parents for item in told.media)


def test_a_conversation_is_what_the_caller_sends(api, client):
    first = ask(client, "first picture").choices[0].message
    told = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first picture"},
        first,
        {"role": "user", "content": [say("second")]},
        {"role": "user", "content": "and third"},
    ]
    answer = client.chat.completions.create(model="scripted", messages=told)
    assert answer.choices[0].message.content.startswith("Answer 2")
    messages = api.model.seen[-1][0]
    assert [message.role for message in messages] == ["user", "assistant", "user"]
    assert messages[0].text == "Be brief.\n\nfirst picture"
    assert messages[1].text == first.content
    assert messages[1].media[0].caption == "A picture of first picture"
    assert messages[2].text == "second\nand third"
    assert ask(client, "hello").choices[0].message.content.startswith("Answer 1")


def test_media_go_back_to_where_they_stood(api, client):
    said = {
        "role": "assistant",
        "content": "One. Two.",
        "media": [
            {"type": "audio_url", "audio_url": {"url": "data:,"}, "caption": "One.", "offset": 4},
            {"type": "image_url", "image_url": {"url": "data:,"}, "caption": "Two.", "offset": 9},
        ],
    }
    messages = [{"role": "user", "content": "both"}, said, {"role": "user", "content": "more"}]
    client.chat.completions.create(model="scripted", messages=messages)
    parts = api.model.seen[-1][0][1].parts
    assert [getattr(part, "text", None) or part.modality for part in parts] == ["One.", "audio", " Two.", "image"]


def test_a_part_of_an_answer_can_be_asked_about(client):
    part = ask(client, "picture").choices[0].message.media[0]
    assert "I got an image." in ask(client, say("what is this?"), part).choices[0].message.content


def test_wishes_reach_the_model(api, client):
    ask(
        client, "hello", temperature=0.7, top_p=0.5, max_tokens=17, seed=3, modalities=["text", "audio"],
        extra_body={"image": "always", "image_steps": 4}, user="me", frequency_penalty=0,
    )  # fmt: skip
    options = api.model.seen[-1][1]
    usual = api.model.config.language_model.sampling
    assert (options.sampling.temperature, options.sampling.top_p, options.sampling.max_tokens) == (0.7, 0.5, 17)
    assert options.sampling.repetition_penalty == usual.repetition_penalty
    assert options.seed == 3
    assert options.wanted == {"image": "always", "video": "never", "audio": "auto"}
    assert options.decoding == {"image": {"steps": 4}}
    ask(client, "hello", max_completion_tokens=100_000)
    options = api.model.seen[-1][1]
    assert options.sampling == usual
    assert set(options.wanted.values()) == {"auto"}


def test_prefixes_are_shared_only_by_whoever_knows_the_key(api, client):
    scopes = []
    for key in ("mine", "mine", "yours", None, None):
        ask(client, "hello", extra_body={"prompt_cache_key": key})
        scopes.append(api.model.seen[-1][1].scope)
    assert scopes[0] == scopes[1]
    assert len(set(scopes)) == 4


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


def test_a_medium_that_fails_costs_only_itself(client):
    message = ask(client, "fail picture").choices[0].message
    assert message.content.strip() == "Answer 1 to: fail picture."
    assert message.media == []
    assert message.failed == [{"modality": "image", "reason": "The image could not be made. The log says why."}]


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_stops_the_model(api, stream):
    messages = [{"role": "user", "content": "hold clip"}]  # the model stays at the third step
    body = {"model": "scripted", "messages": messages, "stream": stream}
    api.model.go.clear()
    with (
        httpx.Client(base_url=api.address, headers={"Authorization": f"Bearer {KEY}"}, timeout=2) as caller,
        pytest.raises(httpx.ReadTimeout),
        caller.stream("POST", "v1/chat/completions", json=body) as answer,
    ):
        for _ in answer.iter_lines():
            pass
    wait_until(lambda: api.calls.taken == 0)
    assert api.model.running == 1
    api.model.go.set()
    wait_until(lambda: api.model.running == 0)
    assert not list(api.folder.glob("*/*"))  # where the clip would be, had the model gone on
    assert ask(openai.OpenAI(base_url=f"{api.address}v1", api_key=KEY, max_retries=0), "hello").choices


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


def test_callers_at_once_get_each_their_own(api, client):
    answers: dict[int, str] = {}

    def visit(number: int) -> None:
        message = ask(client, f"visitor{number} picture", seed=number).choices[0].message
        answers[number] = f"{message.content.strip()} {message.media[0]['provenance']['seed']}"

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(6)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(30)
    assert answers == {n: f"Answer 1 to: visitor{n} picture. {n}" for n in range(6)}


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


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["scripted"]
    assert client.models.retrieve("scripted").id == "scripted"
    with pytest.raises(openai.NotFoundError, match="there is 'scripted'"):
        client.models.retrieve("gpt")


def test_what_is_not_there_is_an_error_of_openais_form(http):
    for answer in (http.get("v1/embeddings"), http.get("v1/chat/completions")):
        assert answer.status_code in (404, 405)
        assert answer.json()["error"]["code"] == "not_here"
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_page_stands_beside_it(http):
    assert "gradio" in http.get("").text


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
