"""A medium made again: the words as they stand give the condition that the first making had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextgpt_core import media
from nextgpt_core.conversation import ChatOptions, Media, MediaFailed, MediaReady, Message, Text, TurnDone
from nextgpt_core.model import NextGPT
from tests import tiny


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> NextGPT:
    return tiny.load(tiny_folder)


def pixels(item: Media) -> np.ndarray:
    frames = media.read_video(item.path, 4)[0] if item.modality == "video" else np.asarray(media.read_image(item.path))
    return frames.astype(int)


def test_with_the_first_makings_seed_the_same_comes_out(model, tmp_path):
    asked = Message("user", (Text("Draw a cat"),))
    wanted = {"image": "always", "video": "always", "audio": "never"}
    events = list(model.chat([asked], ChatOptions(seed=1, wanted=wanted, out_dir=tmp_path)))
    first = [event for event in events if isinstance(event, MediaReady)]
    assert len(first) == 2
    assert isinstance(events[-1], TurnDone)
    for index, made in enumerate(first):
        again = list(model.remake([asked, events[-1].message], index, ChatOptions(seed=1, out_dir=tmp_path)))[-1]
        assert isinstance(again, MediaReady)
        assert (again.index, again.provenance.seed) == (index, made.provenance.seed)
        assert again.provenance.caption == made.provenance.caption
        assert again.media.path != made.media.path
        assert np.abs(pixels(again.media) - pixels(made.media)).max() <= 1  # float32 sums in another order
        other = list(model.remake([asked, events[-1].message], index, ChatOptions(seed=2, out_dir=tmp_path)))[-1]
        assert np.abs(pixels(other.media) - pixels(made.media)).max() > 1


def test_one_that_failed_has_its_place_among_the_others(model, tmp_path):
    asked = Message("user", (Text("Draw a cat"),))
    failed = Message("assistant", (Text("A cat."), Media("image", Path(), "A cat.")))
    broken = {"image": {"steps": 2, "no such": 1.0}}
    events = list(model.remake([asked, failed], 0, ChatOptions(out_dir=tmp_path, decoding=broken)))
    assert isinstance(events[-1], MediaFailed)
    events = list(model.remake([asked, failed], 0, ChatOptions(out_dir=tmp_path)))
    assert isinstance(events[-1], MediaReady)
    assert events[-1].provenance.caption == "A cat."


def test_what_an_encoder_got_can_be_looked_at(model, tmp_path):
    Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / "a.png")
    sample, rate = model.received(Media("image", tmp_path / "a.png"))
    assert (sample.shape, rate) == ((1, 1, 1, 3), 0)
    assert sample[0, 0, 0].tolist() == [10, 20, 30]
