"""What each stage trains, exactly, and that training resumed is training unbroken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from nextgpt_core import checkpoint
from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.model import NextGPT
from nextgpt_core.training.data import Blend, DataError, length, read_conversations, write_conversations
from nextgpt_core.training.loop import LoopConfig, train
from nextgpt_core.training.losses import alignment_loss
from nextgpt_core.training.stages import STAGES, set_trainable
from tests import tiny

LORA, SIGNALS = "language_model.base.model.layers", "language_model.signal_"
INPUT, OUTPUT = "input_projectors", "output_projectors"
TRAINED = {
    "encode": (INPUT,),
    "decode": (LORA, SIGNALS, OUTPUT),
    "instruct": (LORA, SIGNALS, INPUT, OUTPUT),
}


@pytest.fixture
def conversations(tmp_path: Path) -> list[tuple[Message, ...]]:
    path = tmp_path / "red.png"
    Image.new("RGB", (8, 8), "red").save(path)
    shown = (
        Message("user", (Media("image", path), Text("What is it?"))),
        Message("assistant", (Text("Red."),)),
    )
    asked = [
        (
            Message("user", (Text(f"Make {modality} of {thing}"),)),
            Message("assistant", (Text(f"Here is {thing}."), Media(modality, Path(), thing))),
        )
        for thing in ("a cat", "a dog", "rain")
        for modality in ("image", "video", "audio")
    ]
    return [shown, *asked]


def parameters(model: NextGPT) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("stage", TRAINED)  # stage project has a loop, and a test, of its own: test_projection
def test_a_stage_trains_its_groups_and_nothing_else(
    tiny_folder: Path, tmp_path: Path, conversations: list, stage: str
) -> None:
    model = tiny.load(tiny_folder, training=True)
    before = parameters(model)
    source = [c for c in conversations if c[0].media] if stage == "encode" else conversations
    train(model, STAGES[stage], Blend([source], [1.0], 6), LoopConfig(10, warmup=1), tmp_path / "out")
    changed = {name for name, value in parameters(model).items() if not torch.equal(value, before[name])}
    expected = {n for n in checkpoint.trained_tensors(model) if n.startswith(TRAINED[stage])}
    assert {name for name, value in model.named_parameters() if value.requires_grad} == expected
    assert changed == expected


def test_loss_falls(tiny_folder: Path, tmp_path: Path, conversations: list) -> None:
    model = tiny.load(tiny_folder, training=True)
    blend = Blend([conversations[1:]], [1.0], 9)
    train(model, STAGES["decode"], blend, LoopConfig(40, warmup=2, log_every=5), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["caption"] < 0.7 * lines[0]["caption"]


def test_killed_and_resumed_equals_unbroken(tiny_folder: Path, tmp_path: Path, conversations: list) -> None:
    config = LoopConfig(8, warmup=2, save_minutes=0)  # saves after every step

    class Killed(Exception):
        pass

    class Blended(Blend):
        def batches(self, start: int = 0):
            for number, batch in enumerate(super().batches(start), start):
                if number == 5:
                    raise Killed
                yield batch

    whole = tiny.load(tiny_folder, training=True)
    torch.manual_seed(3)
    train(whole, STAGES["instruct"], Blend([conversations], [1.0], 4), config, tmp_path / "whole")
    broken = tiny.load(tiny_folder, training=True)
    torch.manual_seed(3)
    with pytest.raises(Killed):
        train(broken, STAGES["instruct"], Blended([conversations], [1.0], 4), config, tmp_path / "broken")
    resumed = tiny.load(tiny_folder, training=True)
    train(resumed, STAGES["instruct"], Blend([conversations], [1.0], 4), config, tmp_path / "broken")
    expected = checkpoint.trained_tensors(whole)
    for name, value in checkpoint.trained_tensors(resumed).items():
        assert torch.equal(value, expected[name]), name


def test_groups_have_their_own_rates(tiny_folder: Path) -> None:
    model = tiny.load(tiny_folder, training=True)
    stage = replace(STAGES["instruct"], trains={"lora": 1.0, "input": 2.0})
    groups = {group["name"]: group for group in set_trainable(model, stage)}
    assert {name: group["lr"] for name, group in groups.items()} == {"lora": 1.0, "input": 2.0}


def test_alignment_is_least_where_projection_equals_target() -> None:
    torch.manual_seed(0)
    target = torch.randn(4, 3, 8)
    target[:, 2] = 0  # padding
    captions = ["a", "b", "c", "d"]
    exact = alignment_loss(target, target, captions)
    assert exact < 0.1
    assert alignment_loss(target.roll(1, 0), target, captions) > 1
    assert alignment_loss(target.mean(0, keepdim=True).expand_as(target), target, captions) > exact + 0.3


def test_equal_captions_are_not_each_others_negatives() -> None:
    torch.manual_seed(0)
    target = torch.randn(2, 1, 8)[[0, 0, 1]]
    same = alignment_loss(target, target, ["a", "a", "b"])
    told_apart = alignment_loss(target, target, ["a", "also a", "b"])
    assert same < told_apart


def test_conversations_survive_the_file(tmp_path: Path, conversations: list) -> None:
    path = tmp_path / "data.jsonl"
    assert write_conversations(conversations, path) == len(conversations)
    assert read_conversations(path) == conversations


def test_long_conversations_are_left_out(tmp_path: Path, conversations: list) -> None:
    path = tmp_path / "data.jsonl"
    write_conversations(conversations, path)
    some = read_conversations(path, 90)
    assert some == [c for c in conversations if length(c) <= 90] and 0 < len(some) < len(conversations)
    with pytest.raises(DataError, match="no conversation of at most 5 characters"):
        read_conversations(path, 5)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"messages": []}\n{"messages": [{"role": "robot", "content": []}]}\n')
    with pytest.raises(DataError, match=r"line 2: .*'robot' is neither user nor assistant"):
        read_conversations(path)


def test_batches_from_the_middle_equal_the_tail_of_all() -> None:
    conversations = [(Message("user", (Text("x" * n),)),) for n in range(50)]
    blend = Blend([conversations, conversations[:5]], [1.0, 2.0], 4, seed=1)
    everything = [batch for batch, _ in zip(blend.batches(), range(30), strict=False)]
    tail = [batch for batch, _ in zip(blend.batches(13), range(17), strict=False)]
    assert everything[13:] == tail
