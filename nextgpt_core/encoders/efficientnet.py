"""EfficientNet-Lite2, the pocket profile's eyes: pictures and clips become features and ImageNet class probabilities.

The network is written from the paper "EfficientNet" (Tan and Le, 2019) in its Lite form: no squeeze-and-excite, ReLU6
instead of swish, stem and head not scaled. Parameter names follow the published ImageNet weights, so that the file
loads as it is. Reading files is `media`'s business; turning rows into language-model tokens is the projector's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from nextgpt_core import media
from nextgpt_core.conversation import Media

SIZE = 260  # px, the resolution that Lite2 was trained at
FEATURES, CLASSES = 1280, 1000
GRID = 3  # cells a side in which the last stages but one are averaged: of drawings the layout tells most
_GRID_STAGES = (5, 4)
FRAMES = 8  # of a clip, evenly spaced
MOTION = FRAMES * 16  # see describe_motion
# The weights were trained with smoothed labels and are too modest: on the 900 sample photos this temperature has the
# least cross-entropy, and the mean of the highest probability (0.85) then equals the share of right answers.
TEMPERATURE = 0.6
_BATCH = 16  # pictures through the network at once: 0.5 GB at most

# kernel, stride, expansion, width out, repeats: EfficientNet-B0's stages scaled by width 1.1 and depth 1.2, the
# first and last stage not repeated more (Lite)
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
)
_STEM = 32


class EfficientNetLite2:
    """The frozen encoder of pictures (one row) and clips (two rows), of `dim` columns.

    A picture's row holds the pooled features, what two stages before them see in each of GRID × GRID cells, the class
    probabilities and no motion (zeros). A clip's first row holds the means over its frames and the motion statistics of
    `describe_motion`; its second row is the mean of the later half of the frames less that of the earlier half: what
    comes, less what goes. `class_columns` is where a projector finds the probabilities.
    """

    seen = FEATURES + GRID**2 * sum(_STAGES[stage][3] for stage in _GRID_STAGES)
    dim = seen + CLASSES + MOTION
    rows = {"image": 1, "video": 2}
    class_columns = slice(seen, seen + CLASSES)

    def __init__(self, weights: Path):
        self.weights = weights
        self.device = "cpu"

    @cached_property
    def network(self) -> Network:
        """Read at the first use: a conversation without pictures never waits for it."""
        network = Network()
        network.load_state_dict(torch.load(self.weights, weights_only=True, map_location="cpu"))
        network.eval().requires_grad_(False)
        return network.to(self.device, memory_format=torch.channels_last)  # a third faster

    def to(self, device: str) -> EfficientNetLite2:
        self.device = device
        if "network" in vars(self):
            self.network.to(device)
        return self

    def load(self, item: Media) -> Tensor:
        """(1, 3, 260, 260) uint8 of a picture, (8, 3, 260, 260) uint8 of a clip; raises media.MediaError."""
        if item.modality == "image":
            return pixels([media.read_image(item.path)])
        if item.modality == "video":
            frames, _ = media.read_video(item.path, frames=FRAMES)
            return pixels([Image.fromarray(frame) for frame in frames])
        raise ValueError(f"EfficientNetLite2 encodes images and videos, not {item.modality}.")

    def received(self, item: Media) -> tuple[np.ndarray, int]:
        return self.load(item).permute(0, 2, 3, 1).numpy(), 0

    @torch.no_grad()
    def encode(self, inputs: Sequence[Tensor]) -> Tensor:
        """(b, rows, dim) of b tensors that `load` returned, all pictures or all clips."""
        lengths = {len(frames) for frames in inputs}
        if lengths not in ({1}, {FRAMES}):
            raise ValueError(
                f"A batch holds pictures (1 frame) or clips ({FRAMES} frames); got {sorted(lengths)} frames."
            )
        seen = self.see(torch.cat(list(inputs)))
        rows = torch.cat([seen, self.probabilities(seen[:, :FEATURES])], dim=-1).unflatten(0, (len(inputs), -1))
        if rows.shape[1] == 1:
            return F.pad(rows, (0, MOTION))  # (b, 1, dim)
        motion = describe_motion(torch.stack(list(inputs)).to(self.device))
        mean = torch.cat([rows.mean(1), motion], dim=-1)
        change = rows[:, FRAMES // 2 :].mean(1) - rows[:, : FRAMES // 2].mean(1)
        return torch.stack([mean, F.pad(change, (0, MOTION))], dim=1)  # (b, 2, dim)

    @torch.no_grad()
    def features(self, images: Sequence[Image.Image] | Tensor) -> Tensor:
        """(b, 1280) pooled features of PIL images, or of uint8 pixels (b, 3, 260, 260)."""
        return self.see(images)[:, :FEATURES]

    @torch.no_grad()
    def see(self, images: Sequence[Image.Image] | Tensor) -> Tensor:
        """(b, seen): the pooled features and the cells, of PIL images or of uint8 pixels (b, 3, 260, 260)."""
        if not isinstance(images, Tensor):
            images = pixels(images)
        found = []
        for part in images.split(_BATCH):
            maps, stages = self.network.maps(self._normalize(part))
            cells = [F.adaptive_avg_pool2d(stages[stage], GRID).flatten(1) for stage in _GRID_STAGES]
            found.append(torch.cat([maps.mean((2, 3)), *cells], 1))
        return torch.cat(found)

    @torch.no_grad()
    def logits(self, images: Sequence[Image.Image] | Tensor) -> Tensor:
        """(b, 1000) ImageNet-1k logits, in the order of the class indices."""
        return self.network._fc(self.features(images))

    @torch.no_grad()
    def probabilities(self, features: Tensor) -> Tensor:
        """(b, 1000) of features (b, 1280)."""
        return (self.network._fc(features) / TEMPERATURE).softmax(-1)

    def _normalize(self, pixels: Tensor) -> Tensor:
        return ((pixels.to(self.device, torch.float32) - 127) / 128).contiguous(memory_format=torch.channels_last)


def pixels(images: Sequence[Image.Image]) -> Tensor:
    """(b, 3, 260, 260) uint8: the largest square in the middle of each image, bicubic."""
    arrays = []
    for image in images:
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        arrays.append(np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box)))
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def describe_motion(clips: Tensor) -> Tensor:
    """Where things go, which pooled features cannot tell: (b, 128) from uint8 clips (b, 8, 3, h, w).

    Sixteen numbers a frame. Of what stands out from the clip's median picture (a moving object, as a rule): how much
    of it there is, its centroid and its spread in x and y. Of the frame: brightness, contrast, detail, and how much
    changed since the frame before. Of the affine flow from the frame before, by least squares on the brightness
    gradients: shift in x and y, stretch in x and y, the two shears, and the residual that this flow leaves.
    """
    b, n = clips.shape[:2]
    small = F.adaptive_avg_pool2d(clips.flatten(0, 1).float() / 255, 32).unflatten(0, (b, n))  # (b, n, 3, 32, 32)
    axis = torch.linspace(-1, 1, 32, device=clips.device)
    away = (small - small.median(1, keepdim=True).values).abs().mean(2)  # (b, n, 32, 32)
    mass = away.mean((2, 3))
    weight = away / (away.sum((2, 3), keepdim=True) + 1e-2)
    along_x, along_y = weight.sum(2), weight.sum(3)  # (b, n, 32)
    x, y = along_x @ axis, along_y @ axis
    spread_x = ((axis - x[..., None]).square() * along_x).sum(-1).sqrt()
    spread_y = ((axis - y[..., None]).square() * along_y).sum(-1).sqrt()
    brightness = small.mean((2, 3, 4)) - 0.5
    change = F.pad((small[:, 1:] - small[:, :-1]).abs().mean((2, 3, 4)), (1, 0))
    contrast = small.std((3, 4)).mean(2)
    detail = small.diff(dim=3).abs().mean((2, 3, 4)) + small.diff(dim=4).abs().mean((2, 3, 4))
    stands_out = torch.stack(
        [4 * mass, x, y, spread_x, spread_y, brightness, contrast, 4 * detail, 4 * change], dim=-1
    )  # (b, n, 9)
    flow = F.pad(_affine_flow(small.mean(2)), (0, 0, 1, 0))  # (b, n, 7)
    return 4 * torch.cat([stands_out, flow], dim=-1).flatten(1)  # 4: as wide as the pooled features spread


def _affine_flow(gray: Tensor) -> Tensor:
    """(b, n - 1, 7) from gray (b, n, 32, 32): six affine parameters in units of the half side, and the residual."""
    gray = F.avg_pool2d(gray, 4)  # (b, n, 8, 8): a step across an eighth of the picture is one pixel here
    earlier, later = gray[:, :-1], gray[:, 1:]
    middle = (earlier + later) / 2
    dy, dx = torch.gradient(middle, dim=(2, 3))
    side = gray.shape[-1]
    axis = torch.linspace(-1, 1, side, device=gray.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    columns = torch.stack([dx, dy, dx * x, dy * y, dx * y, dy * x], dim=-1).flatten(2, 3)  # (b, n - 1, 64, 6)
    step = (earlier - later).flatten(2)[..., None]  # (b, n - 1, 64, 1)
    square = columns.mT @ columns + 1e-2 * torch.eye(6, device=gray.device)  # held near zero where nothing shows
    solution = torch.linalg.solve(square, columns.mT @ step)
    residual = (step - columns @ solution).abs().mean((2, 3))
    return torch.cat([solution[..., 0] * 2 / side, 4 * residual[..., None]], dim=-1)


class SameConv2d(nn.Conv2d):
    """TensorFlow's "same" padding: what a stride leaves uneven is padded on the right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        over = [max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:]]
        top, left = over[0] // 2, over[1] // 2
        if over[0] == 2 * top and over[1] == 2 * left:
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), groups=self.groups)
        x = F.pad(x, (left, over[1] - left, top, over[0] - top))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project back; the input is added where the shape allows."""

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = width_in * expansion
        self.residual = stride == 1 and width_in == width_out
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = SameConv2d(width_in, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv = SameConv2d(inner, width_out, 1, bias=False)
        self._bn2 = _norm(width_out)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class Network(nn.Module):
    """The bare network: `maps` (b, 1280, 9, 9) and its stages' from pixels (b, 3, 260, 260), `_fc` the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, _STEM, 3, 2, bias=False)
        self._bn0 = _norm(_STEM)
        blocks, width = [], _STEM
        for kernel, stride, expansion, width_out, repeats in _STAGES:
            for i in range(repeats):
                blocks.append(InvertedResidual(width, width_out, kernel, stride if i == 0 else 1, expansion))
                width = width_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(width, FEATURES, 1, bias=False)
        self._bn1 = _norm(FEATURES)
        self._fc = nn.Linear(FEATURES, CLASSES)

    def maps(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, blocks, stages = F.relu6(self._bn0(self._conv_stem(pixels))), iter(self._blocks), []
        for *_, repeats in _STAGES:
            for _ in range(repeats):
                x = next(blocks)(x)
            stages.append(x)
        return F.relu6(self._bn1(self._conv_head(x))), stages


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)
