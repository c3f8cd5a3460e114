"""Judges of pictures: which object a picture shows, and what can be decided about a scene by code alone.

A judge knows nothing of the decoder. Each is also put to real renders of the same captions: what it says of those is
its ceiling, printed beside every figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nextgpt_core.encoders.efficientnet import EfficientNetLite2
from nextgpt_core.pocket.colours import HUES, dominant_colour, to_hsv

_CONTRAST = 26  # 8-bit steps in any channel that tell an object from a plain background
_LEAST_WIDTH = 10  # columns that make an object
_GAP = 3  # empty columns between two objects


class ObjectJudge:
    """Nearest centroid over EfficientNet-Lite2 features, less their mean, by cosine.

    `centroids` (concepts, 1280) come from real renders of other styles than the one that is judged.
    """

    def __init__(self, centroids: Tensor) -> None:
        self._mean = centroids.mean(0)
        self._centroids = torch.nn.functional.normalize(centroids - self._mean, dim=-1)

    def ranks(self, features: Tensor, concepts: Sequence[int]) -> list[int]:
        """The rank of each picture's own concept, 0 being the nearest; features (b, 1280)."""
        scores = torch.nn.functional.normalize(features - self._mean, dim=-1) @ self._centroids.T
        own = scores[torch.arange(len(scores)), torch.tensor(concepts)]
        return (scores > own[:, None]).sum(1).tolist()


def picture_features(encoder: EfficientNetLite2, pictures: Sequence[np.ndarray]) -> Tensor:
    """(b, 1280) of pictures (h, w, 3) uint8."""
    return encoder.features([Image.fromarray(picture) for picture in pictures])


def share_within(ranks: Sequence[int], limit: int) -> float:
    return sum(rank < limit for rank in ranks) / len(ranks)


def object_mask(picture: np.ndarray) -> np.ndarray:
    """(h, w) bool: what differs from the plain background, which is the border's median colour."""
    border = np.concatenate([picture[:4].reshape(-1, 3), picture[-4:].reshape(-1, 3), picture[:, :4].reshape(-1, 3)])
    return np.abs(picture.astype(int) - np.median(border, axis=0)).max(-1) > _CONTRAST


def judge_colour(picture: np.ndarray) -> str | None:
    """The object's colour word, or None where there is no object."""
    mask = object_mask(picture)
    return dominant_colour(picture, mask) if mask.mean() > 0.01 else None


def judge_count(picture: np.ndarray) -> int:
    """How many objects stand side by side on a plain background: runs of columns that are not empty."""
    columns = object_mask(picture).sum(0) >= 4
    runs, width, empty = 0, 0, _GAP
    for filled in [*columns.tolist(), *[False] * _GAP]:
        if filled:
            width, empty = width + 1, 0
            continue
        empty += 1
        if empty == _GAP:
            runs += width >= _LEAST_WIDTH
            width = 0
    return runs


def judge_side(picture: np.ndarray, first: str, second: str) -> str | None:
    """Where the object of the first hue stands relative to the second's: "left of" or "right of"; None if one lacks."""
    middles = []
    for colour in (first, second):
        columns = np.nonzero(_of_hue(picture, colour))[1]
        if len(columns) < 0.002 * picture.shape[0] * picture.shape[1]:
            return None
        middles.append(columns.mean())
    return "left of" if middles[0] < middles[1] else "right of"


class BackgroundJudge:
    """Nearest mean of a picture's rim, shrunk to 16×16, among real backgrounds of every place and time."""

    def __init__(self, backgrounds: dict[tuple[str, str], Sequence[np.ndarray]]) -> None:
        self._names = [place for place, _ in backgrounds]
        self._means = np.stack([np.mean([_rim(p) for p in pictures], axis=0) for pictures in backgrounds.values()])

    def __call__(self, picture: np.ndarray) -> str:
        return self._names[int(((self._means - _rim(picture)) ** 2).sum((1, 2)).argmin())]


def spread(features: Tensor) -> float:
    """Mean cosine distance between different rows."""
    normed = torch.nn.functional.normalize(features, dim=-1)
    similar = normed @ normed.T
    count = len(features)
    return float(1 - (similar.sum() - similar.trace()) / (count * (count - 1)))


def nearest_distance(pictures: Sequence[np.ndarray], training: Sequence[np.ndarray]) -> list[float]:
    """For each picture, the root mean square difference (0…1) to the nearest training picture, both at 32×32."""
    small = [np.stack([_shrink(p, 32).ravel() for p in group]) for group in (pictures, training)]
    made, known = (torch.from_numpy(group) for group in small)
    return (torch.cdist(made, known).amin(1) / made.shape[1] ** 0.5).tolist()


def _of_hue(picture: np.ndarray, colour: str) -> np.ndarray:
    hue, saturation, value = to_hsv(picture.astype(np.float32) / 255)
    distances = np.stack([np.abs((hue - centre + 0.5) % 1 - 0.5) for centre in HUES.values()])
    return (distances.argmin(0) == list(HUES).index(colour)) & (saturation > 0.35) & (value > 0.25)


def _rim(picture: np.ndarray) -> np.ndarray:
    """(cells, 3) in 0…1: the outer cells of the picture at 16×16, where objects seldom are."""
    small = _shrink(picture, 16)
    edge = np.ones((16, 16), bool)
    edge[3:, 3:-3] = False
    return small[edge]


def _shrink(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX), np.float32) / 255
