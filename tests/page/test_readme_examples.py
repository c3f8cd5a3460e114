"""The README's section "API", example by example, as a reader would run it, against a page with the scripted model."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextgpt_core import media
from tests.page.conftest import apart
from tests.page.programs import Served, serve
from tests.page.scripted import CONFIG, ScriptedModel

ROOT = Path(__file__).parents[2]
_MODE = re.DOTALL | re.MULTILINE
_SECTION = re.search(r"^## API\n(.*?)^## ", (ROOT / "README.md").read_text(encoding="utf-8"), _MODE)[1]
EXAMPLES = re.findall(r"^```(\w+)\n(.*?)^```$", _SECTION, _MODE)


class Pocket(ScriptedModel):
    """Named as the README has it; makes a picture when it must."""

    config = dataclasses.replace(CONFIG, name="pocket")

    def _chat(self, messages, options):
        if options.wanted.get("image") == "always":
            asked = messages[-1]
            said = dataclasses.replace(asked.parts[-1], text=asked.text + " picture")
            messages = [*messages[:-1], dataclasses.replace(asked, parts=(*asked.media, said))]
        yield from super()._chat(messages, options)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(Pocket(), tmp_path_factory.mktemp("conversations"), [])


def run(page: Served, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the one example with `name` in it prints."""
    ((language, code),) = [example for example in EXAMPLES if name in example[1]]
    assert "http://127.0.0.1:7860" in code
    code = code.replace("http://127.0.0.1:7860/", page.address)
    shutil.copy(ROOT / "assets" / "examples" / "sailing-boat.jpg", folder / "photo.jpg")
    if language == "bash":
        return subprocess.run(["bash", "-ec", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    monkeypatch.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        apart(exec, compile(code, name, "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def test_there_is_an_example_for_each_way_in():
    assert [language for language, _ in EXAMPLES] == ["python", "python", "bash", "python"]


def test_gradio_client(page, tmp_path, monkeypatch):
    greeting, *lines = run(page, "gradio_client", tmp_path, monkeypatch).splitlines()
    assert greeting.startswith("Loaded as API")
    assert lines[0] == "Answer 1 to: What is this?. I got an image."
    assert lines[1].startswith("Answer 2 to: Draw a red apple")
    assert ".png" in lines[1]
    assert lines[-1] == "Answer 3 to: Tell me about sailing boats."
    assert page.model.seen[-2][1].seed == 1


def test_openai_client(page, tmp_path, monkeypatch):
    printed = run(page, "from openai", tmp_path, monkeypatch)
    assert printed.startswith("Answer 1 to: Draw a red apple")
    assert "Answer 2 to: Tell me more about apples." in printed
    assert media.probe(tmp_path / "apple.png") == "image"


@pytest.mark.skipif(shutil.which("curl") is None, reason="this example needs curl")
def test_curl(page, tmp_path, monkeypatch):
    printed = run(page, "curl", tmp_path, monkeypatch)
    assert "Answer 1 to: What is in this picture?. I got an image." in printed
    assert page.model.seen[-1][1].wanted == {"image": "never", "video": "never", "audio": "never"}


def test_mcp(page, tmp_path, monkeypatch):
    printed = run(page, "ClientSession", tmp_path, monkeypatch)
    assert printed.startswith("['text', 'image'] Answer 1 to: Draw a red apple")
