"""A model's weights as Hugging Face folders hold them, tensor by tensor: whole or in parts, safetensors or pickles.

For those who need a few tensors of a large model, or all of them one after another, without building the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

_NAMES = ("model.safetensors", "pytorch_model.bin")


class WeightFolder(Mapping[str, Tensor]):
    """Names to tensors, each read when it is asked for. Raises FileNotFoundError where a folder holds no weights."""

    def __init__(self, folder: Path) -> None:
        self._files = _files_by_key(Path(folder))

    def __getitem__(self, key: str) -> Tensor:
        file = self._files[key]
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as tensors:
                return tensors.get_tensor(key)
        return _unpickle(file)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _files_by_key(folder: Path) -> dict[str, Path]:
    for name in _NAMES:
        if (folder / f"{name}.index.json").is_file():
            index = json.loads((folder / f"{name}.index.json").read_text(encoding="utf-8"))
            return {key: folder / file for key, file in index["weight_map"].items()}
        if (folder / name).is_file():
            return dict.fromkeys(_keys(folder / name), folder / name)
    raise FileNotFoundError(f"{folder} holds no weights: expected {' or '.join(_NAMES)}, or their parts with an index.")


def _keys(file: Path) -> list[str]:
    if file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as tensors:
            return list(tensors.keys())
    return list(_unpickle(file))


@lru_cache(maxsize=2)
def _unpickle(file: Path) -> dict[str, Tensor]:
    return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
