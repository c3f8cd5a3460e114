"""The whole way, with the real weights: from the words in the box to a picture that the browser has loaded."""

from __future__ import annotations

import pytest

from nextgpt_core import checkpoint
from nextgpt_core.config import ConfigError
from nextgpt_core.weights import WeightsError
from tests.page.conftest import IDLE, open_tab, send, serve


def test_the_pocket_model_draws_a_red_apple(chromium, tmp_path):
    try:
        model = checkpoint.load(checkpoint.POCKET, "cpu")
    except (checkpoint.CheckpointError, ConfigError, WeightsError) as error:
        pytest.skip(f"the pocket checkpoint cannot be loaded: {error}")
    if "image" not in model.config.decoders:
        pytest.skip("the pocket checkpoint has no image decoder")
    for pocket in serve(model, tmp_path):
        for tab in open_tab(chromium, pocket.address):
            tab.set_default_timeout(120_000)
            send(tab, "Draw a red apple")
            tab.wait_for_function("document.querySelector('#chat .made img')?.naturalWidth > 0")
            tab.wait_for_selector(IDLE)
            assert "apple" in tab.locator("#chat .made img").get_attribute("alt").lower()
