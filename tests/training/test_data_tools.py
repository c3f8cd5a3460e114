"""The original's files become conversations, and a server of the usual kind may reword what users say."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.training import original_data, rewriting
from nextgpt_core.training.data import DataError, read_conversations, write_conversations

FOLDER = Path("media")


def original(tmp_path: Path, *entries: dict, pairs: str = "describe") -> list[list[Message]]:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return list(original_data.read_original(path, FOLDER, pairs))


def test_caption_pairs_are_described_or_made(tmp_path):
    pair = {"audio_name": "7.wav", "audio_id": "7", "caption": "rain on a roof"}
    said = Message("user", (Media("audio", FOLDER / "7.wav"), Text("Describe this sound.")))
    assert original(tmp_path, pair) == [[said, Message("assistant", (Text("rain on a roof"),))]]
    asked, reply = original(tmp_path, pair, pairs="make")[0]
    assert asked.text == "Make the sound of rain on a roof."
    assert reply.media == (Media("audio", FOLDER / "7.wav", "rain on a roof"),)


def test_comprehension_and_generation_sets(tmp_path):
    turns = [{"from": "human", "value": "<image>\nDescribe it."}, {"from": "gpt", "value": "A red bus."}]
    made = [{"from": "human", "value": "Draw a bus"}, {"from": "gpt", "value": "Here. <image>"}]
    generation = {"output_image": "8.jpg", "image_captions": "a bus", "image_caption_embeddings": "8.npy"}
    shown, drawn = original(
        tmp_path, {"input_image": "7.jpg", "conversations": turns}, {**generation, "conversations": made}
    )
    assert shown[0] == Message("user", (Media("image", FOLDER / "7.jpg"), Text("Describe it.")))
    assert drawn[1] == Message("assistant", (Text("Here."), Media("image", FOLDER / "8.jpg", "a bus")))


def test_text_to_x_and_mosit_dialogues(tmp_path):
    spoken = {
        "audio_name": "t2x1.wav",
        "output_modality": "audio",
        "conversation": [
            {"from": "human", "value": "Let it rain", "input_modality": "text"},
            {"from": "gpt", "value": "Listen.", "caption": "rain", "output_modality": "audio"},
        ],
    }
    switching = {
        "image_list": [{"image_name": "a.jpg", "data_source": "x", "caption": "a dog"}],
        "video_list": [{"image_name": "b.mp4", "data_source": "x", "caption": "a dog runs"}],
        "conversation": [
            {"from": "human", "value": "A dog, please"},
            {"from": "gpt", "value": "Here <Image>a.jpg</Image> it is."},
            {"from": "human", "value": "Let it run"},
            {"from": "gpt", "value": "<Video>b.mp4</Video>"},
        ],
    }
    heard, dog = original(tmp_path, spoken, switching)
    assert heard[1].parts == (Text("Listen."), Media("audio", FOLDER / "t2x1.wav", "rain"))
    assert dog[1].parts == (Text("Here"), Media("image", FOLDER / "a.jpg", "a dog"), Text("it is."))
    assert dog[3].parts == (Media("video", FOLDER / "b.mp4", "a dog runs"),)
    path = tmp_path / "out.jsonl"
    assert write_conversations([heard, dog], path) == 2
    assert [m.media and m.media[0].caption for m in read_conversations(path)[1]] == [(), "a dog", (), "a dog runs"]


def test_what_the_original_got_wrong_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data.json, entry 2: .*neither a conversation nor image_name"):
        original(tmp_path, {"image_name": "a.jpg", "caption": "a"}, {"caption": "a"})
    turns = [{"from": "gpt", "value": "<image> <image>"}]
    with pytest.raises(DataError, match="more media than the entry has captions for"):
        original(tmp_path, {"image_captions": ["a"], "conversations": turns})
    with pytest.raises(DataError, match="is not JSON"):
        (tmp_path / "broken.json").write_text("{")
        list(original_data.read_original(tmp_path / "broken.json", FOLDER))


class Server(BaseHTTPRequestHandler):
    """Answers with what the test put in `answers`, or echoes louder."""

    answers: list[str] = []
    received: list[tuple[str, dict]] = []

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append((self.path, asked))
        said = json.loads(asked["messages"][-1]["content"])
        answer = self.answers.pop(0) if self.answers else json.dumps([text.upper() for text in said])
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    Server.answers, Server.received = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


CONVERSATION = (
    Message("user", (Media("image", Path("a.png")), Text("Make it move"))),
    Message("assistant", (Text("Here is a cat."), Media("video", Path(), "a cat"))),
    Message("user", (Text("Thanks"),)),
)


def test_users_words_are_reworded_and_nothing_else(address):
    reworded = rewriting.Rewriter(address, "large")(CONVERSATION)
    assert [m.text for m in reworded] == ["MAKE IT MOVE", "Here is a cat.", "THANKS"]
    assert [m.media for m in reworded] == [m.media for m in CONVERSATION]
    path, asked = Server.received[0]
    assert (path, asked["model"]) == ("/v1/chat/completions", "large")


@pytest.mark.parametrize("answer", ["Sure! Here you are.", '["only one"]', '["", ""]', "[1, 2]", '{"a": 1}'])
def test_an_answer_that_does_not_fit_changes_nothing(address, answer):
    Server.answers = [answer]
    assert rewriting.Rewriter(address, "large")(CONVERSATION) == CONVERSATION


def test_a_server_that_is_not_there_is_said_so(address):
    with pytest.raises(DataError, match="does not answer"):
        rewriting.Rewriter("http://127.0.0.1:9/v1", "large")(CONVERSATION)


def test_the_command_rewrites_a_file(address, tmp_path, capsys):
    write_conversations([CONVERSATION], tmp_path / "in.jsonl")
    parser = argparse.ArgumentParser()
    rewriting.add_arguments(parser)
    arguments = [str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.jsonl"), "--address", address]
    assert rewriting.run(parser.parse_args([*arguments, "--model", "large"])) == 0
    assert read_conversations(tmp_path / "out.jsonl")[0][2].text == "THANKS"
    assert "1 conversations" in capsys.readouterr().out
