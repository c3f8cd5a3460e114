"""`/v1` through OpenAI's own client, against the real route with the scripted model: what comes back."""

from __future__ import annotations

import base64
import threading

import httpx
import openai
import pytest

from nextgpt_core import media
from tests.media_files import tone, write_wav
from tests.page.api.conftest import ask, picture, say, show
from tests.page.programs import KEY, data_url, wait_until
from tests.page.scripted import make


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


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["scripted"]
    assert client.models.retrieve("scripted").id == "scripted"
    with pytest.raises(openai.NotFoundError, match="there is 'scripted'"):
        client.models.retrieve("gpt")


def test_the_page_stands_beside_it(http):
    assert "gradio" in http.get("").text
