"""The log can be read by those it is for, and the terms of a stage are what its data and weights say."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.training.commands import adapted
from nextgpt_core.training.data import DataError
from nextgpt_core.training.log import EventFile, TrainingLog, _masked_crc
from nextgpt_core.training.stages import STAGES
from nextgpt_core.training.terms import Terms, target_pixels
from tests import tiny


def test_event_files_are_framed_and_summed_as_tensorboard_reads_them(tmp_path: Path) -> None:
    assert _masked_crc(b"123456789") == struct.pack("<I", ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) % 2**32)
    EventFile(tmp_path).write(300, {"loss/text": 0.5})
    data = next(tmp_path.iterdir()).read_bytes()
    events = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert data[8:12] == _masked_crc(data[:8])
        events.append(data[12 : 12 + length])
        assert data[12 + length : 16 + length] == _masked_crc(events[-1])
        data = data[16 + length :]
    assert b"brain.Event:2" in events[0]
    assert b"\x10\xac\x02" in events[1], "step 300"
    assert b"loss/text\x15" + struct.pack("<f", 0.5) in events[1]


def test_a_log_that_goes_on_forgets_what_was_not_saved(tmp_path: Path, capsys) -> None:
    log = TrainingLog(tmp_path, 6, 2, 0)
    for step in (1, 2, 3, 4):
        log.step(step, {"text": float(step)}, 0.5, 8)
    log = TrainingLog(tmp_path, 6, 2, 2)
    for step in (3, 4, 5, 6):
        log.step(step, {"text": 0.0}, 0.5, 8)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["text"]) for line in lines] == [(2, 1.5), (4, 0.0), (6, 0.0)]
    assert "left" in capsys.readouterr().out


def test_rates_and_losses_are_adapted() -> None:
    stage = adapted(STAGES["instruct"], 2.0, ["input=0", "lora=0.5"], 0.1)
    assert stage.trains == {"lora": 4e-4, "signals": 2e-3, "output": 1e-3}
    assert stage.losses == {"text": 1.0, "caption": 1.0, "denoise": 0.1}
    assert adapted(STAGES["instruct"], 1.0, [], 0.0) == STAGES["instruct"]
    assert STAGES["instruct"].trains["input"] <= STAGES["instruct"].trains["lora"] / 5
    with pytest.raises(ValueError, match="does not train lora; it trains input"):
        adapted(STAGES["encode"], 1.0, ["lora=1"], 0.0)


def test_denoising_reaches_the_projection_of_runs_that_have_a_file(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 20), "red").save(path)
    model = tiny.load(tiny_folder, training=True)
    terms_of = Terms(model, adapted(STAGES["decode"], 1.0, [], 1.0), Accelerator(cpu=True))

    def denoise(file: Path) -> torch.Tensor:
        batch = [
            (Message("user", (Text("a"),)), Message("assistant", (Text("b"), Media("image", target, caption))))
            for target, caption in ((Path(), "a"), (file, "b"))
        ]
        torch.manual_seed(0)
        return terms_of(model(batch), batch)["denoise"]

    assert denoise(Path()) == 0
    loss = denoise(path)
    loss.backward()
    gradients = [p.grad for p in model.output_projectors["image"].parameters() if p.grad is not None]
    assert loss > 0
    assert any(g.abs().sum() > 0 for g in gradients)
    assert all(p.grad is None for p in model.output_projectors["video"].parameters())


def test_targets_come_in_the_decoders_size(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :10] = 255
    Image.fromarray(pixels).save(path)
    target = target_pixels(Media("image", path), {"width": 8, "height": 4})
    assert target.shape == (3, 4, 8)
    assert target[:, :, 0].mean() > 0.9 > -0.9 > target[:, :, -1].mean()
    with pytest.raises(DataError, match="takes pictures and clips, not sounds"):
        target_pixels(Media("audio", path), {})
