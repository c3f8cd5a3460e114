"""Training the sketch: what is read from captions, what is painted of layouts, and how far off both together are.

The denoiser must meet sketches as they will be for captions that nobody has drawn. So the painter learns from other
rows than the denoiser, and the reader from conditions that are as rough as the denoiser's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from nextgpt_core.decoders.layout import AT_REST, SHARPNESS, Layout, LayoutPainter, LayoutReader
from nextgpt_core.decoders.sketch_unet import Sketch
from nextgpt_core.pocket.denoiser_task import disturb
from nextgpt_core.pocket.layouts import Labels, poses
from nextgpt_core.pocket.shards import Shards

Draw = Callable[[nn.Module, Path], None]  # paints a sample sheet
_SMOOTHING = 0.02  # of labels: "a red apple" is now and then an apple that nobody has recoloured
_PLACE = 10.0  # how much an error in a place counts, in shares of the picture


@dataclass(frozen=True)
class Drawn:
    """Shards of pictures or of clips, and what is known of their rows."""

    shards: Shards
    labels: Labels


def draw_frames(clips: Drawn, rows: Tensor) -> tuple[Tensor, Tensor]:
    """A frame of each clip, any one of those that are kept: latents (b, channels, h, w) and poses (b, 1, 10)."""
    kept = [clips.labels.frames[row] for row in rows.tolist()]
    picked = torch.tensor([int(torch.randint(len(frames), ())) for frames in kept])
    numbers = [frames[i] for frames, i in zip(kept, picked.tolist(), strict=True)]
    motions = [clips.labels.motions[row] for row in rows.tolist()]
    now = [poses(motion)[number] for motion, number in zip(motions, numbers, strict=True)]
    return clips.shards.read_latents(rows, picked), torch.stack(now)[:, None]


class ReaderTask:
    """A `training.Task` over captions: of pictures and clips, in which `contents` (concepts, width) are to be found."""

    def __init__(self, network: LayoutReader, captions: Drawn, contents: Tensor, draw: Draw) -> None:
        self.network, self.rows = network, len(captions.shards)
        self._captions, self._contents, self._draw = captions, contents, draw

    def loss(self, network: LayoutReader, rows: Tensor, device: torch.device) -> Tensor:
        condition = disturb(self._captions.shards.read_conditions(rows).to(device))
        with sdpa_kernel(SDPBackend.MATH):  # fused attention's gradient is several times slower on a CPU
            said = network(condition, raw=True).to(torch.float32)
        return sum(layout_losses(said, self._captions.labels, rows, self._contents).values())

    def draw_samples(self, network: nn.Module, path: Path) -> None:
        self._draw(network, path)

    def export(self, network: nn.Module, folder: Path) -> None:
        """Nothing, here and below: a sketch is stored as a part of its UNet."""


def layout_losses(said: Layout, labels: Labels, rows: Tensor, contents: Tensor) -> dict[str, Tensor]:
    """What a reader's logits lack, by the parts of a layout; `contents` count twice: which one, and how near."""
    device, there = said.present.device, labels.present[rows] > 0
    known = {name: getattr(labels, name)[rows].to(device) for name in ("background", "style", "motion", "present")}
    things = {name: getattr(labels, name)[rows][there].to(device) for name in ("colour", "facing", "place", "concept")}
    there, contents = there.to(device), contents.to(device)
    found = said.content[there]
    similar = SHARPNESS * F.normalize(found, dim=-1) @ F.normalize(contents, dim=-1).T
    return {
        "background": F.cross_entropy(said.background, known["background"], label_smoothing=_SMOOTHING),
        "style": F.cross_entropy(said.style, known["style"], label_smoothing=_SMOOTHING),
        "motion": F.cross_entropy(said.motion, known["motion"], label_smoothing=_SMOOTHING),
        "present": F.binary_cross_entropy_with_logits(said.present, known["present"]),
        "colour": F.cross_entropy(said.colour[there], things["colour"], label_smoothing=_SMOOTHING),
        "facing": F.binary_cross_entropy_with_logits(said.facing[there], things["facing"]),
        "place": _PLACE * (said.place[there] - things["place"]).abs().mean(),
        "concept": F.cross_entropy(similar, things["concept"]),
        "content": (found - contents[things["concept"]]).square().mean(),
    }


class _LatentsTask:
    """A `training.Task` over `rows` of pictures, if any, and from there on, of clips, one frame each.

    A row may stand several times. `weights` (channels,) says how much an error in each latent channel counts.
    """

    def __init__(
        self, network: nn.Module, pictures: Drawn | None, clips: Drawn | None, rows: Tensor, weights: Tensor, draw: Draw
    ) -> None:
        self.network, self.rows = network, len(rows)
        self._pictures, self._clips, self._rows, self._draw = pictures, clips, rows, draw
        self._weights = (weights / weights.mean()).view(1, -1, 1, 1)

    def draw_samples(self, network: nn.Module, path: Path) -> None:
        self._draw(network, path)

    def export(self, network: nn.Module, folder: Path) -> None:
        """Nothing, as above."""

    def _parts(self, rows: Tensor) -> list[tuple[Drawn, Tensor, Tensor, Tensor]]:
        """The pictures and the clips in a batch: which, their rows, their latents and their poses (b, 1, 10)."""
        rows, first = self._rows[rows], len(self._pictures.shards) if self._pictures else 0
        still, moving = rows[rows < first], rows[rows >= first] - first
        parts = []
        if len(still):
            resting = AT_REST.expand(len(still), 1, -1)
            parts.append((self._pictures, still, self._pictures.shards.read_latents(still), resting))
        if len(moving):
            parts.append((self._clips, moving, *draw_frames(self._clips, moving)))
        return parts


class PainterTask(_LatentsTask):
    """Latents from what is known of pictures and clips, by no words but the names' `contents` (concepts, width)."""

    def __init__(
        self,
        network: LayoutPainter,
        pictures: Drawn | None,
        clips: Drawn | None,
        rows: Tensor,
        weights: Tensor,
        draw: Draw,
        contents: Tensor,
    ) -> None:
        super().__init__(network, pictures, clips, rows, weights, draw)
        self._contents = contents

    def loss(self, network: nn.Module, rows: Tensor, device: torch.device) -> Tensor:
        total = torch.zeros((), device=device)
        for drawn, found, latents, now in self._parts(rows):
            layout = drawn.labels.layout(found, self._contents).to(device)
            mean, _ = network(layout, now.to(device))
            error = (mean.float() - latents.to(device)).square() * self._weights.to(device)
            total = total + error.mean() * len(found) / len(rows)
        return total


class SketchErrorTask(_LatentsTask):
    """The errors of a sketch that stays, from conditions: by rows it has not learned from, as likelihood has it."""

    def __init__(
        self, network: Sketch, pictures: Drawn, clips: Drawn | None, rows: Tensor, weights: Tensor, draw: Draw
    ) -> None:
        super().__init__(network, pictures, clips, rows, weights, draw)
        network.requires_grad_(False)
        for layer in (network.thing_error, network.ground_error):
            layer.requires_grad_(True)

    def loss(self, network: Sketch, rows: Tensor, device: torch.device) -> Tensor:
        total = torch.zeros((), device=device)
        for drawn, found, latents, now in self._parts(rows):
            layout = network.reader(disturb(drawn.shards.read_conditions(found).to(device)))
            mean, error = (part.float() for part in network.paint(layout, now.to(device)))
            likelihood = 0.5 * ((latents.to(device) - mean) / error).square() + error.log()
            total = total + likelihood.mean() * len(found) / len(rows)
        return total
