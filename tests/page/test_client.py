"""The endpoint `/chat` through gradio_client, and how the page is served."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.client import Job

from nextgpt_core import media
from tests.media_files import tone, write_png_bomb, write_wav
from tests.page.conftest import Served, connect
from tests.page.programs import wait_until
from tests.page.scripted import make


@pytest.fixture
def client(served: Served, tmp_path: Path) -> Client:
    return connect(served, download_files=tmp_path)


def ask(client: Client, text: str, *files: Path) -> tuple[str, list[str]]:
    message = {"text": text, "files": [handle_file(str(file)) for file in files]}
    return client.predict(message, api_name="/chat")


def test_words_and_every_kind_of_medium_come_back(client):
    text, files = ask(client, "a picture a clip and a sound")
    assert text.startswith("Answer 1 to: a picture")
    assert [media.probe(Path(file)) for file in files] == ["image", "video", "audio"]


def test_the_readme_form_of_a_call_works(client):
    text, files = client.predict({"text": "hello", "files": []}, api_name="/chat")
    assert (text, files) == ("Answer 1 to: hello.", [])


def test_calls_of_one_client_continue_one_conversation_and_others_do_not(served, client):
    ask(client, "first picture")
    text, _ = ask(client, "second")
    assert text.startswith("Answer 2")
    told, options = served.model.seen[-1]
    assert [message.role for message in told] == ["user", "assistant", "user"]
    assert told[1].media[0].caption == "A picture of first picture"
    assert ask(connect(served), "hello")[0].startswith("Answer 1")
    assert served.model.seen[-1][1].scope != options.scope


def test_words_stream(client):
    job = client.submit({"text": "slow words", "files": []}, api_name="/chat")
    job.result(timeout=60)
    texts = [text for text, _ in job.outputs()]
    assert len(set(texts)) > 2
    assert all(text in texts[-1] for text in texts)


def test_uploads_reach_the_model_by_what_they_are(served, client, tmp_path):
    settings = {"height": 64, "width": 64, "frames": 8}
    lying = make("image", tmp_path, settings).rename(tmp_path / "lying.mp3")
    text, _ = ask(client, "look", lying, write_wav(tmp_path / "tone.wav", tone(0.5)))
    assert "I got an image." in text
    assert "I got an audio." in text
    assert all(served.folder in item.path.parents for item in served.model.seen[-1][0][-1].media)


def test_a_file_that_cannot_be_read_costs_one_line_and_the_conversation_goes_on(client, tmp_path):
    ask(client, "one")
    text_file = tmp_path / "text.png"
    text_file.write_text("I am no picture.")
    for hostile in (text_file, write_png_bomb(tmp_path / "bomb.png")):
        text, files = ask(client, "look", hostile)
        assert hostile.name in text
        assert "\n" not in text
        assert files == []
    assert ask(client, "and now")[0].startswith("Answer 2")


@pytest.mark.parametrize("fault", ["crash", "memory"])
def test_a_fault_is_apologised_for_and_the_conversation_goes_on(client, fault):
    ask(client, "one")
    text, _ = ask(client, fault)
    assert "Reference: " in text
    assert "scripted" not in text  # the log has the rest
    assert ask(client, "two")[0].startswith("Answer 2")


def test_a_medium_that_fails_costs_only_itself(client):
    text, files = ask(client, "fail picture and sound")
    assert text.startswith("Answer 1")
    assert "The image could not be made." in text
    assert files == []


def test_an_empty_message_and_too_many_files_are_answered_without_the_model(served, client, tmp_path):
    calls = len(served.model.seen)
    assert ask(client, "  ")[0] == "Write something or attach a file first."
    picture = make("image", tmp_path, {"height": 8, "width": 8})
    assert "at most 8 files" in ask(client, "look", *[picture] * 9)[0]
    assert len(served.model.seen) == calls


def began(job: Job) -> Job:
    """The job, once the model has said something."""
    wait_until(job.outputs)
    return job


def submit(client: Client, text: str) -> Job:
    return client.submit({"text": text, "files": []}, api_name="/chat")


def test_a_cancelled_job_stops_the_model_and_the_next_message_is_answered(client, held):
    """The next one comes while the model is still in the middle of the step that was cancelled."""
    job = began(submit(client, "hold the clip"))
    job.cancel()
    assert held.running == 1
    following = submit(client, "next")
    held.go.set()
    assert following.result(timeout=60)[0].endswith("to: next.")
    assert held.running == 0


def test_a_call_waits_for_the_one_before_it(client, held):
    first, second = began(submit(client, "hold it here")), submit(client, "next")
    held.go.set()
    assert first.result(timeout=60)[0] == "Answer 1 to: hold it here."
    assert second.result(timeout=60)[0] == "Answer 2 to: next."


def test_only_the_chat_is_public(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/chat"]


def fetch(address: str) -> tuple[int, dict[str, str]]:
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def test_the_page_sends_headers_that_keep_it_to_itself(served):
    status, headers = fetch(served.address)
    headers = {name.lower(): value for name, value in headers.items()}
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/etc/passwd", str(Path(__file__)), os.getcwd() + "/app.py"])
def test_no_other_file_is_served(served, path):
    assert fetch(f"{served.address}gradio_api/file={path}")[0] in (403, 404)
