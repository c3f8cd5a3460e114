"""The whole way, with the real weights: from words, in the box or in a program, to media that play."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nextgpt_core import checkpoint, media
from nextgpt_core.config import ConfigError
from nextgpt_core.model import NextGPT
from nextgpt_core.weights import WeightsError
from tests.page import programs, test_readme_examples
from tests.page.conftest import IDLE, open_tab, send, serve


@pytest.fixture(scope="module")
def pocket() -> NextGPT:
    try:
        return checkpoint.load(checkpoint.POCKET, "cpu")
    except (checkpoint.CheckpointError, ConfigError, WeightsError) as error:
        pytest.skip(f"the pocket checkpoint cannot be loaded: {error}")


@pytest.fixture(scope="module")
def address(pocket: NextGPT, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    for page in serve(pocket, tmp_path_factory.mktemp("pocket")):
        yield page.address


def _send(tab, text: str, loaded: str) -> None:
    """Sends, and waits until the answer has an element that is `loaded`, and its end."""
    tab.set_default_timeout(120_000)
    send(tab, text)
    tab.wait_for_function(loaded)
    tab.wait_for_selector(IDLE)


def test_the_pocket_model_draws_a_red_apple(chromium, address):
    for tab in open_tab(chromium, address):
        _send(tab, "Draw a red apple", "document.querySelector('#chat .made img')?.naturalWidth > 0")
        assert "apple" in tab.locator("#chat .made img").get_attribute("alt").lower()


@pytest.mark.parametrize(
    "asked, element, least", [("Make a video of a rocket flying up", "video", 1.9), ("The sound of rain", "audio", 3.9)]
)
def test_the_pocket_models_clips_and_sounds_play(chromium, address, asked, element, least):
    made = f"document.querySelector('#chat .made {element}')"
    for tab in open_tab(chromium, address):
        _send(tab, asked, f"{made}?.readyState >= 1")
        assert tab.evaluate(f"{made}.duration") >= least
        tab.evaluate(f"{made}.muted = true, {made}.play()")
        tab.wait_for_function(f"{made}.currentTime > 0.5")
        assert tab.evaluate(f"{made}.error") is None
        if element == "video":
            assert tab.evaluate(f"[{made}.videoWidth, {made}.videoHeight]") == [256, 256]


def test_the_readmes_examples_run(pocket, tmp_path, monkeypatch):
    for page in programs.serve(pocket, tmp_path / "conversations", []):
        for name in ("gradio_client", "from openai", "ClientSession"):
            printed = test_readme_examples.run(page, name, tmp_path, monkeypatch)
            assert "a red apple" in printed, printed
            assert "Traceback" not in printed
        assert printed.startswith("['text', 'image']")
        assert media.probe(tmp_path / "apple.png") == "image"
