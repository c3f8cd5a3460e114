"""Makes Vicuna out of LLaMA and the published differences, which is the only way in which Vicuna v0 was released.

One tensor is in memory at a time. The delta's row for padding has no counterpart in LLaMA and is taken as it is.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from nextgpt_core.weight_folder import WeightFolder

_PART_BYTES = 4 * 2**30
_BESIDE = ("config.json", "generation_config.json", "tokenizer.model", "tokenizer_config.json")


def apply_delta(base: Path, delta: Path, out: Path) -> None:
    """Writes `base` + `delta`, both Hugging Face folders, in float16 to `out`; raises ValueError where they differ."""
    ours, theirs = WeightFolder(base), WeightFolder(delta)
    names = [name for name in theirs if not name.endswith("rotary_emb.inv_freq")]  # computed nowadays, not stored
    if missing := [name for name in names if name not in ours]:
        raise ValueError(f"{base} lacks {missing[0]}, so it is not the LLaMA that {delta} is a difference to.")
    out.mkdir(parents=True, exist_ok=True)
    parts: list[list[str]] = []
    part: dict[str, Tensor] = {}
    for name in names:
        part[name] = _sum(name, ours[name], theirs[name])
        if sum(tensor.nbytes for tensor in part.values()) >= _PART_BYTES or name == names[-1]:
            save_file(part, out / f"part-{len(parts)}.safetensors", metadata={"format": "pt"})
            parts.append(list(part))
            part = {}
    weight_map = {}
    for number, held in enumerate(parts):
        file = f"model-{number + 1:05}-of-{len(parts):05}.safetensors"
        (out / f"part-{number}.safetensors").rename(out / file)
        weight_map |= dict.fromkeys(held, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    for file in _BESIDE:
        if (delta / file).is_file():
            shutil.copy(delta / file, out / file)


def _sum(name: str, ours: Tensor, theirs: Tensor) -> Tensor:
    if ours.ndim != theirs.ndim or ours.shape[1:] != theirs.shape[1:] or len(ours) > len(theirs):
        raise ValueError(f"{name} is {tuple(ours.shape)} in the base and {tuple(theirs.shape)} in the delta.")
    total = theirs.float()
    total[: len(ours)] += ours.float()
    return total.to(torch.float16)
