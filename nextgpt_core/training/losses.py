"""The alignment loss: how far a projected signal run is from the decoder's own condition of its caption."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

CONTRAST, NORM, TEMPERATURE = 0.3, 0.3, 0.05


def alignment_loss(projected: Tensor, target: Tensor, captions: Sequence[str]) -> Tensor:
    """projected, target: (b, length, width); captions: what each target was made from.

    The paper's term, the Euclidean norm of the difference, collapses to the mean target when it stands alone, so the
    direction of every vector and a contrast over the batch stand beside it. Zero vectors (padding) have no direction;
    equal captions are not each other's negatives. The norm is divided by √width, so that it does not grow with it.
    """
    present = target.square().sum(-1) > 0  # (b, length)
    cosine = F.cosine_similarity(projected, target, dim=-1)
    direction = ((1 - cosine) * present).sum() / present.sum().clamp_min(1)
    norm = (projected - target).norm(dim=-1).mean() / target.shape[-1] ** 0.5
    similar = F.normalize(projected.flatten(1), dim=-1) @ F.normalize(target.flatten(1), dim=-1).T / TEMPERATURE
    same = torch.tensor([[a == b for b in captions] for a in captions], device=similar.device)
    own = torch.eye(len(captions), dtype=torch.bool, device=similar.device)
    similar = similar.masked_fill(same & ~own, -torch.inf)
    index = torch.arange(len(captions), device=similar.device)
    contrast = (F.cross_entropy(similar, index) + F.cross_entropy(similar.T, index)) / 2
    return direction + CONTRAST * contrast + NORM * norm
