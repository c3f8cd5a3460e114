"""Weights on disk: safetensors in half precision, or 8 bits with a scale per output channel.

Weights in git are dear. A matrix `w` of two or more dimensions stored in 8 bits becomes two entries: `w` (int8, its
own shape) and `w:scale` (float32, one per first-axis row); everything else is stored in float16. Reading gives
float32 back either way, so callers never see the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

_SCALE = ":scale"


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, bits: int = 16, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes `tensors` with `bits` 32, 16 or 8 each; with 8, one-dimensional tensors are kept in 16."""
    if bits not in (8, 16, 32):
        raise ValueError(f"bits is {bits}; weights are stored in 8, 16 or 32.")
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu", torch.float32)
        if bits == 8 and tensor.ndim >= 2:
            stored[name], stored[name + _SCALE] = quantize(tensor)
        else:
            stored[name] = (tensor if bits == 32 else tensor.half()).contiguous()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, path, metadata=dict(metadata or {}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads what `save_tensors` wrote (or any safetensors file) as float32; integer tensors stay as they are."""
    tensors: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        for name in sorted(names):
            if name.endswith(_SCALE):
                continue
            tensor = file.get_tensor(name)
            if name + _SCALE in names:
                tensor = dequantize(tensor, file.get_tensor(name + _SCALE))
            tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors


def load_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def quantize(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric 8 bits: (int8 of the same shape, float32 scale (rows,)); the largest value of each row becomes 127."""
    scale = tensor.abs().flatten(1).amax(1).clamp_min(1e-12) / 127
    steps = tensor / scale.view(-1, *[1] * (tensor.ndim - 1))
    return steps.round().clamp(-127, 127).to(torch.int8).contiguous(), scale.float().contiguous()


def dequantize(steps: Tensor, scale: Tensor) -> Tensor:
    return steps.float() * scale.view(-1, *[1] * (steps.ndim - 1))
