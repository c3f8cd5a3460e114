"""Stage `project`: states computed once are those of training, and nothing but projectors learns from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nextgpt_core import checkpoint
from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.language_model import LanguageModel
from nextgpt_core.storage import load_tensors
from nextgpt_core.training.loop import LoopConfig
from nextgpt_core.training.projection import read_runs, teacher, train_projectors, unseen
from nextgpt_core.training.stages import STAGES
from tests import tiny

CONVERSATIONS = [
    (
        Message("user", (Text(f"Make {modality} of {thing} please" + "!" * len(thing)),)),
        Message("assistant", (Text(f"Here is {thing}."), Media(modality, Path(), thing))),
    )
    for thing in (f"{colour} {name}" for colour in ("red", "blue", "old") for name in ("cat", "dog", "sea", "bell"))
    for modality in ("image", "audio", "video")
]


def test_states_are_those_that_training_projects(tiny_folder: Path, tmp_path: Path) -> None:
    model = tiny.load(tiny_folder, training=True).eval()
    runs = read_runs(model, CONVERSATIONS, tmp_path)
    assert set(runs) == {modality for modality in model.config.writes if teacher(model, modality)}
    with torch.no_grad():
        projected = model(CONVERSATIONS).projected
        for modality, found in runs.items():
            expected, captions = projected[modality]
            assert sorted(found.captions) == sorted(captions)
            for states, caption in zip(found.states, found.captions, strict=True):
                made = model.project(modality, states[None])[0]
                torch.testing.assert_close(made, expected[captions.index(caption)], atol=0.02, rtol=0.02)


def test_projectors_learn_and_nothing_else_and_what_was_read_is_not_read_again(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.load(tiny_folder, training=True)
    before = {name: value.detach().clone() for name, value in checkpoint.trained_tensors(model).items()}
    config = LoopConfig(40, warmup=2, log_every=5, bits=32)
    train_projectors(model, STAGES["project"], CONVERSATIONS, config, 8, tmp_path)
    stored = load_tensors(tmp_path / checkpoint.TRAINED)
    assert set(stored) == set(before)
    changed = {name for name, value in stored.items() if not torch.equal(value, before[name].to(value.dtype))}
    assert changed == {name for name in before if name.startswith("output_projectors.")}
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["image"] < 0.8 * lines[0]["image"]
    monkeypatch.setattr(LanguageModel, "forward", None)
    again = read_runs(model, CONVERSATIONS, tmp_path / "states")
    assert len(again["image"].captions) == 12


def test_a_caption_is_left_out_wherever_it_stands() -> None:
    captions = [f"thing {i % 100}" for i in range(300)]
    rows = unseen(captions)
    assert len(rows) == 15 and len({captions[i] for i in rows}) == 5
    assert not {captions[i] for i in rows} & {captions[i] for i in range(300) if i not in rows}
