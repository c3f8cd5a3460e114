"""The command line, on a checkpoint at tiny size."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from nextgpt_core import chat_command
from tests import media_files


def call(folder: Path, tmp_path: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    chat_command.add_arguments(parser)
    options = ("--checkpoint", str(folder), "--device", "cpu", "--seed", "1", "--out", str(tmp_path / "out"))
    return chat_command.run(parser.parse_args([*options, *words]))


def test_json_is_one_object_with_everything(tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wishes = ("--image", "always", "--video", "never", "--audio", "never")
    assert call(tiny_folder, tmp_path, "--json", *wishes, "Draw a cat") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer.keys() == {"text", "media", "failed", "timings"}
    assert [medium["modality"] for medium in answer["media"]] == ["image"]
    assert answer["media"][0].keys() == {"modality", "path", "caption", "seed", "seconds"}
    assert Image.open(answer["media"][0]["path"]).size == (16, 16)
    assert answer["timings"].keys() == {"load", "first_token", "tokens_per_second", "media"}


def test_a_conversation_goes_on_after_a_bad_file(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.png").touch()
    lines = iter([f"/file {tmp_path / 'empty.png'}", "What is this?", "And now?", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert call(tiny_folder, tmp_path, "--image", "never", "--video", "never", "--audio", "never") == 0
    output = capsys.readouterr().out
    assert "empty" in output
    assert len(output.strip().splitlines()) >= 3  # the help, the complaint, an answer


def bomb(folder: Path) -> Path:
    return media_files.write_png_bomb(folder / "bomb.png")


def cut_video(folder: Path) -> Path:
    path = media_files.write_container(folder / "cut.mp4", media_files.moving_bar(), format="mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def nothing(folder: Path) -> Path:
    path = folder / "nothing.jpg"
    path.touch()
    return path


def text_named_png(folder: Path) -> Path:
    path = folder / "text.png"
    path.write_text("just words\n" * 100)
    return path


def three_hours(folder: Path) -> Path:
    return media_files.write_flac(folder / "long.flac", seconds=1, claimed_seconds=3 * 3600)


@pytest.mark.parametrize("make", [bomb, cut_video, nothing, text_named_png, three_hours])
def test_a_hostile_file_is_one_line(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, make: Callable[[Path], Path]
) -> None:
    assert call(tiny_folder, tmp_path, "--file", str(make(tmp_path)), "What is this?") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1


def test_a_folder_that_is_no_checkpoint_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert call(tmp_path, tmp_path, "Hello") == 1
    assert "has no config.json" in capsys.readouterr().err
