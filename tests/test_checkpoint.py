from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nextgpt_core import checkpoint
from nextgpt_core.config import ConfigError, load_config
from nextgpt_core.storage import load_tensors, save_tensors
from tests import tiny


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy", ignore=shutil.ignore_patterns("decoders")))


def test_saved_and_loaded_is_equal(tiny_folder: Path, folder: Path) -> None:
    model = tiny.load(tiny_folder, training=True)
    checkpoint.save(model, folder, bits=32)
    before, after = checkpoint.trained_tensors(model), checkpoint.trained_tensors(tiny.load(folder, training=True))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert load_config(folder) == model.config


def test_a_saved_checkpoint_brings_its_decoders(tiny_folder: Path, tmp_path: Path) -> None:
    def listed(folder: Path) -> list[Path]:
        return sorted(path.relative_to(folder) for path in (folder / "decoders").rglob("*"))

    model, saved = tiny.load(tiny_folder, training=True), tmp_path / "saved"
    checkpoint.save(model, saved)
    assert listed(saved) and listed(saved) == listed(tiny_folder)
    kept = saved / next(path for path in listed(saved) if path.suffix == ".json")
    kept.write_text("{}")
    checkpoint.save(model, saved)
    assert kept.read_text() == "{}"


@pytest.mark.parametrize("bits, tolerance", [(16, 1e-3), (8, 0.02), (6, 0.03)])
def test_fewer_bits_lose_little(tiny_folder: Path, folder: Path, bits: int, tolerance: float) -> None:
    model = tiny.load(tiny_folder, training=True)
    checkpoint.save(model, folder, bits=bits)
    for name, value in load_tensors(folder / checkpoint.TRAINED).items():
        original = checkpoint.trained_tensors(model)[name].detach()
        assert (value - original).abs().max() <= tolerance * original.abs().max()


NAME = "output_projectors.audio.output.weight"


def _missing(tensors: dict[str, Tensor]) -> None:
    del tensors[NAME]


def _extra(tensors: dict[str, Tensor]) -> None:
    tensors["surprise"] = torch.zeros(1)


def _misshapen(tensors: dict[str, Tensor]) -> None:
    tensors[NAME] = torch.zeros(2, 3)


@pytest.mark.parametrize(
    "spoil, complaint",
    [
        (_missing, f"{NAME} is missing"),
        (_extra, "surprise is not expected"),
        (_misshapen, f"{NAME} is .2, 3., expected"),
    ],
)
def test_a_wrong_key_is_named(folder: Path, spoil: Callable[[dict[str, Tensor]], None], complaint: str) -> None:
    tensors = load_tensors(folder / checkpoint.TRAINED)
    spoil(tensors)
    save_tensors(tensors, folder / checkpoint.TRAINED)
    with pytest.raises(checkpoint.CheckpointError, match=complaint):
        tiny.load(folder)


def test_a_folder_without_weights_says_what_to_do(folder: Path) -> None:
    (folder / checkpoint.TRAINED).unlink()
    with pytest.raises(checkpoint.CheckpointError, match="Train it first"):
        tiny.load(folder)


@pytest.mark.parametrize(
    "path, value, complaint",
    [
        (("name",), None, "lacks the key 'name'"),
        (("language_model", "temperature"), 0.5, "unknown key 'temperature'"),
        (("language_model", "context"), "long", "context is 'long', expected a whole number"),
        (("signals", "smell"), {"name": "S", "count": 1}, "expected one of 'image', 'video', 'audio'"),
        (("output_projectors", "image", "prompt_shape"), [1, 2, 3], "has 3 items, expected 2"),
    ],
)
def test_a_wrong_config_names_the_place(folder: Path, path: tuple[str, ...], value: object, complaint: str) -> None:
    values = json.loads((folder / "config.json").read_text())
    place = values
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=complaint):
        load_config(folder)


def test_the_shipped_configs_are_read() -> None:
    for profile in sorted(checkpoint.POCKET.parent.glob("*/config.json")):
        assert load_config(profile.parent).name == profile.parent.name
