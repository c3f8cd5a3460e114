"""Latents and conditions on disk, so that training a denoiser is nothing but the denoiser.

A shard is a folder of four arrays, half precision and memory-mapped: `latents.npy` (n, channels, h, w),
`sentences.npy` (n, width), `tokens.npy` (all token vectors one after another) and `starts.npy` (n + 1), beside
`scenes.jsonl`, a line an example.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_PARTIAL = ".partial"  # of a shard that is being written


class Shards:
    """All shards under a folder as one sequence. `length` is how many vectors a condition has."""

    def __init__(self, folder: Path, length: int) -> None:
        whole = (path.parent for path in sorted(folder.glob("*/sentences.npy")) if path.parent.suffix != _PARTIAL)
        self._parts = [_Shard(path) for path in whole]
        if not self._parts:
            raise FileNotFoundError(f"{folder} holds no shards. Build them with `python -m nextgpt_core data images`.")
        self._starts = np.cumsum([0, *(len(part.sentences) for part in self._parts)])
        self.length, self.width = length, self._parts[0].sentences.shape[1]

    def scenes(self) -> Iterator[str]:
        """The line of JSON of every row."""
        for part in self._parts:
            yield from part.scenes.read_text(encoding="utf-8").splitlines()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(b,) row numbers → latents (b, channels, h, w), conditions (b, length, width), both float32."""
        return self.read_latents(rows), self.read_conditions(rows)

    def read_latents(self, rows: Tensor, frames: Tensor | None = None) -> Tensor:
        """(b, channels, h, w); of clips (b, channels, frames, h, w), or one frame of each, (b,) numbers."""
        found = []
        for i, row in enumerate(rows.tolist()):
            part, row = self._find(row)
            found.append(part.latents[row] if frames is None else part.latents[row, :, int(frames[i])])
        return torch.from_numpy(np.stack(found).astype(np.float32))

    def read_conditions(self, rows: Tensor) -> Tensor:
        """(b, length, width)."""
        conditions = np.zeros((len(rows), self.length, self.width), np.float32)
        for i, row in enumerate(rows.tolist()):
            part, row = self._find(row)
            conditions[i, 0] = part.sentences[row]
            words = part.tokens[part.starts[row] : part.starts[row + 1]][: self.length - 1]
            conditions[i, 1 : 1 + len(words)] = words
        return torch.from_numpy(conditions)

    def _find(self, row: int) -> tuple[_Shard, int]:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._parts[number], row - int(self._starts[number])


def write_shard(folder: Path, latents: np.ndarray | None, conditions: Tensor, lines: Sequence[str]) -> None:
    """Writes a shard whole or not at all. `conditions` (n, length, width) end in zeros, which are not stored.

    Without latents it is for what learns from words alone.
    """
    partial = folder.with_suffix(_PARTIAL)
    partial.mkdir(parents=True, exist_ok=True)
    present = conditions[:, 1:].abs().amax(-1) > 0  # (n, length − 1)
    if latents is not None:
        np.save(partial / "latents.npy", latents.astype(np.float16))
    np.save(partial / "sentences.npy", conditions[:, 0].numpy().astype(np.float16))
    np.save(partial / "tokens.npy", conditions[:, 1:][present].numpy().astype(np.float16))
    np.save(partial / "starts.npy", np.cumsum([0, *present.sum(1).tolist()]))
    (partial / "scenes.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.rename(folder)


class _Shard:
    def __init__(self, folder: Path) -> None:
        self.sentences, self.tokens = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("sentences", "tokens")
        )
        latents = folder / "latents.npy"
        self.latents = np.load(latents, mmap_mode="r") if latents.is_file() else None
        self.starts = np.load(folder / "starts.npy")
        self.scenes = folder / "scenes.jsonl"
