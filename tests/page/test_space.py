"""What a Space needs: a front matter that holds, ZeroGPU's way of calling, and a page that asks no other server."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nextgpt_core.conversation import ChatOptions, Message, Text, TextDelta, TurnDone
from nextgpt_core.media import MediaError
from nextgpt_core.page import space
from tests.page.conftest import Served, ask
from tests.page.scripted import ScriptedModel

ROOT = Path(__file__).parents[2]
HELLO = [Message("user", (Text("hello"),))]


class ZeroGpu:
    """Calls as ZeroGPU does: arguments and items go through pickle, and an error comes back as its name."""

    def __init__(self) -> None:
        self.seconds: list[int] = []
        self.running = 0

    def __call__(self, duration: Callable[..., int]) -> Callable[[Callable], Callable]:
        def decorate(work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
            def called(*arguments: Any) -> Iterator[Any]:
                self.seconds.append(duration(*arguments))
                self.running += 1
                items = work(*pickle.loads(pickle.dumps(arguments)))
                try:
                    for item in items:
                        yield pickle.loads(pickle.dumps(item))
                except Exception as error:
                    raise RuntimeError(type(error).__name__) from None
                finally:
                    items.close()
                    self.running -= 1

            return called

        return decorate


@pytest.fixture
def gpu() -> ZeroGpu:
    return ZeroGpu()


def test_turns_are_the_same_through_zero_gpu(gpu, tmp_path):
    options = ChatOptions(seed=1, out_dir=tmp_path)
    messages = [Message("user", (Text("a picture"),))]
    direct, lent = (
        [event for event in model.chat(messages, options) if isinstance(event, TextDelta | TurnDone)]
        for model in (ScriptedModel(), space.OnZeroGpu(ScriptedModel(), gpu))
    )
    assert lent[:-1] == direct[:-1]
    assert [part.caption for part in lent[-1].message.media] == ["A picture of a picture"]


def test_words_for_people_survive_zero_gpu(gpu):
    class Refusing(ScriptedModel):
        def chat(self, messages, options):
            yield TextDelta("Well")
            raise MediaError("photo.png is text.")

    events = space.OnZeroGpu(Refusing(), gpu).chat(HELLO, ChatOptions())
    assert next(events) == TextDelta("Well")
    with pytest.raises(MediaError, match=r"photo\.png is text\."):
        next(events)


def test_a_closed_turn_ends_on_zero_gpu_too(gpu):
    model = ScriptedModel()
    events = space.OnZeroGpu(model, gpu).chat(HELLO, ChatOptions())
    next(events)
    assert (gpu.running, model.running) == (1, 1)
    events.close()
    assert (gpu.running, model.running) == (0, 0)


def test_a_turn_asks_for_as_long_as_its_media_may_take(gpu):
    model = space.OnZeroGpu(ScriptedModel(), gpu)
    never = {"image": "never", "video": "never", "audio": "never"}
    for options in (
        ChatOptions(wanted=never),
        ChatOptions(wanted={**never, "image": "auto"}, decoding={"image": {"steps": 20}}),
        ChatOptions(decoding={"video": {"steps": 10_000}}),
    ):
        list(model.chat(HELLO, options))
    assert gpu.seconds == [30, 50, 120]


def test_elsewhere_nothing_is_asked_for(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert space.zero_gpu() is None


def test_the_front_matter_holds():
    card = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert card["sdk"] == "gradio"
    assert card["sdk_version"] == re.search(r"^gradio==(\S+)", requirements, re.MULTILINE)[1]
    assert (ROOT / card["app_file"]).is_file()
    least, below = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups()
    assert int(least) <= int(card["python_version"].split(".")[1]) < int(below)
    assert len(card["short_description"]) <= 60  # the hub takes no longer one
    assert card["license"] == "apache-2.0"


def test_the_page_asks_no_other_server_for_anything(chromium, served: Served):
    asked: list[str] = []
    context = chromium.new_context()
    tab = context.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(served.address)
    tab.wait_for_selector("#box textarea")
    ask(tab, "a picture a clip and a sound")
    context.close()
    assert len(asked) > 5
    elsewhere = [url for url in asked if not url.startswith((served.address, "data:", "blob:"))]
    assert elsewhere == []
