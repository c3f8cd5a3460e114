"""Weights on disk: safetensors in half precision, or 8 or 6 bits with a scale per output channel.

Weights in git are dear. A matrix `w` of two or more dimensions stored in 8 bits becomes two entries: `w` (int8, its
own shape) and `w:scale` (float32, one per first-axis row). In 6 bits it becomes three: `w` (uint8, four values in
three bytes), `w:scale` (bfloat16) and `w:shape`. Of a matrix of zeros `w:shape` is enough. Everything else is stored in
float16, but for integers, which stay what they are, in 32 bits. Reading gives float32 back for all others, so callers
never see the difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

SCALE = ":scale"  # ends the name of the entry beside a tensor in few bits
SHAPE = ":shape"  # of the one beside a tensor whose values are packed, or all zero


Bits = int | Mapping[str, int]  # of a weight: one number, or numbers by how names begin, "" for all others


def save_tensors(tensors: Mapping[str, Tensor], path: Path, bits: Bits = 16) -> None:
    """Writes `tensors` with `bits` 32, 16, 8 or 6 each; with 8 and 6, one-dimensional tensors are kept in 16.

    Integers are stored as such.
    """
    by_name = {"": bits} if isinstance(bits, int) else bits
    if unknown := set(by_name.values()) - {6, 8, 16, 32}:
        raise ValueError(f"bits is {unknown.pop()}; weights are stored in 6, 8, 16 or 32.")
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            stored[name] = tensor.detach().to("cpu", torch.int32).contiguous()
            continue
        tensor = tensor.detach().to("cpu", torch.float32)
        its_bits = by_name[max((start for start in by_name if name.startswith(start)), key=len)]
        if its_bits <= 8 and tensor.ndim >= 2 and not tensor.any():
            stored[name + SHAPE] = torch.tensor(tensor.shape, dtype=torch.int32)
        elif its_bits == 6 and tensor.ndim >= 2:
            steps, stored[name + SCALE] = quantize(tensor, 6)
            stored[name], stored[name + SHAPE] = pack(steps), torch.tensor(tensor.shape, dtype=torch.int32)
        elif its_bits == 8 and tensor.ndim >= 2:
            stored[name], stored[name + SCALE] = quantize(tensor)
        else:
            stored[name] = (tensor if its_bits == 32 else tensor.half()).contiguous()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads what `save_tensors` wrote (or any safetensors file) as float32; integer tensors stay as they are."""
    tensors: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        for name in sorted({name.removesuffix(SCALE).removesuffix(SHAPE) for name in names}):
            if name not in names:
                tensors[name] = torch.zeros(file.get_tensor(name + SHAPE).tolist())
                continue
            tensor = file.get_tensor(name)
            if name + SHAPE in names:
                tensor = unpack(tensor, file.get_tensor(name + SHAPE).tolist())
            if name + SCALE in names:
                tensor = dequantize(tensor, file.get_tensor(name + SCALE))
            tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors


def quantize(tensor: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """Symmetric: (int8 of the same shape, scale (rows,)), where the largest value of each row gets the largest step.

    With 8 bits steps go to ±127 and scales are float32; with 6, to ±31 and bfloat16.
    """
    largest = 2 ** (bits - 1) - 1
    scale = tensor.abs().flatten(1).amax(1).clamp_min(1e-12) / largest
    scale = scale if bits == 8 else scale.bfloat16()
    steps = tensor / scale.float().view(-1, *[1] * (tensor.ndim - 1))
    return steps.round().clamp(-largest, largest).to(torch.int8).contiguous(), scale.contiguous()


def dequantize(steps: Tensor, scale: Tensor) -> Tensor:
    return steps.float() * scale.float().view(-1, *[1] * (steps.ndim - 1))


def pack(steps: Tensor) -> Tensor:
    """int8 of any shape within ±31 → uint8 (3 · ⌈n / 4⌉,): of each four values three bytes, low bits first."""
    values = (steps.flatten() + 32).int()
    values = torch.nn.functional.pad(values, (0, -len(values) % 4)).view(-1, 4)
    word = values[:, 0] | values[:, 1] << 6 | values[:, 2] << 12 | values[:, 3] << 18
    return torch.stack([word >> shift & 255 for shift in (0, 8, 16)], 1).to(torch.uint8).flatten()


def unpack(packed: Tensor, shape: Sequence[int]) -> Tensor:
    """What `pack` was given, int8 of `shape`."""
    parts = packed.view(-1, 3).int()
    word = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
    values = torch.stack([word >> shift & 63 for shift in (0, 6, 12, 18)], 1).flatten() - 32
    return values[: math.prod(shape)].to(torch.int8).view(tuple(shape))
