"""Weights in few bits: what is read back is what was rounded, and files are as small as they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nextgpt_core.storage import load_tensors, pack, quantize, save_tensors, unpack


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 4), (5, 3, 3, 3)])
def test_packed_steps_come_back(shape: tuple[int, ...]) -> None:
    steps = torch.randint(-31, 32, shape, dtype=torch.int8)
    packed = pack(steps)
    assert len(packed) == 3 * -(-steps.numel() // 4)
    assert torch.equal(unpack(packed, shape), steps)


@pytest.mark.parametrize("bits, largest", [(8, 127), (6, 31)])
def test_a_value_is_off_by_half_a_step_at_most(tmp_path: Path, bits: int, largest: int) -> None:
    tensors = {"w": torch.randn(7, 9, 2) * torch.logspace(-4, 2, 7).view(-1, 1, 1), "bias": torch.randn(7)}
    save_tensors(tensors, tmp_path / "w.safetensors", bits)
    read = load_tensors(tmp_path / "w.safetensors")
    step = tensors["w"].abs().amax((1, 2), keepdim=True) / largest
    error = (read["w"] - tensors["w"]).abs()
    # The largest value of a row may lie beyond the last step by as much as bfloat16 rounds a scale down.
    assert (error <= step * 0.51 + tensors["w"].abs() * 2**-8).all()
    assert torch.equal(read["bias"], tensors["bias"].half().float())
    assert read["w"].shape == (7, 9, 2)
    assert quantize(tensors["w"], bits)[0].abs().amax() == largest


def test_six_bits_take_three_quarters_of_eight(tmp_path: Path) -> None:
    sizes = {}
    for bits in (6, 8, 16):
        save_tensors({"w": torch.randn(512, 512)}, tmp_path / "w.safetensors", bits)
        sizes[bits] = (tmp_path / "w.safetensors").stat().st_size
    assert 0.74 < sizes[6] / sizes[8] < 0.76 and 0.49 < sizes[8] / sizes[16] < 0.51


def test_bits_follow_the_beginnings_of_names(tmp_path: Path) -> None:
    tensors = {name: torch.randn(8, 64) for name in ("in.w", "in.out.w", "head")}
    save_tensors(tensors, tmp_path / "w.safetensors", {"": 16, "in.": 6, "in.out.": 8})
    stored = load_file(tmp_path / "w.safetensors")
    assert {name: stored[name].dtype for name in tensors} == {
        "in.w": torch.uint8,
        "in.out.w": torch.int8,
        "head": torch.float16,
    }


@pytest.mark.parametrize("bits", [8, 6])
def test_zeros_take_no_room(tmp_path: Path, bits: int) -> None:
    tensors = {"w": torch.zeros(300, 7, 2), "b": torch.zeros(300), "v": torch.randn(3, 4)}
    save_tensors(tensors, tmp_path / "w.safetensors", bits)
    assert load_file(tmp_path / "w.safetensors")["w:shape"].tolist() == [300, 7, 2]
    assert (tmp_path / "w.safetensors").stat().st_size < 1500
    read = load_tensors(tmp_path / "w.safetensors")
    assert read.keys() == tensors.keys()
    assert torch.equal(read["w"], tensors["w"]) and torch.equal(read["b"], tensors["b"])


def test_other_numbers_of_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bits is 4"):
        save_tensors({}, tmp_path / "w.safetensors", 4)
