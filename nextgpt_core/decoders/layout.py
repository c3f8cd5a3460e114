"""What a caption says is where: a layout, read from the caption's vectors, and painted as latents.

A layout is a background and a few things in front of it, each with its content, colour, place and size. The same
brush paints all things at all places, cell by cell, from a small map of what the thing looks like. So what is learned
of one thing at one place holds for all things there, and combinations that training never showed are as good as others.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

THINGS = 3  # at most, in front of a background
BACKGROUNDS, STYLES, MOTIONS, COLOURS = 48, 6, 96, 12  # how many there may be; a thing's first colour is its own
_MAP, _FEATURES = 8, 24  # cells a side of a thing's map, and their width
_SAMPLES = 4  # places a side in a latent's cell at which the brush looks at the map
_LOOK, _BRUSH, _READER = 1792, 512, 384  # widths of the layers
PLACES = 32  # in which things of pictures may stand
CONCEPTS, SHARPNESS = 1152, 20.0  # how many contents can be known, and how strongly the nearest of them is preferred
AT_REST = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.5, 0.5, 0.0])  # a pose (see `LayoutPainter`)


@dataclass(frozen=True)
class Layout:
    """Of b pictures: shares that add up to one, contents of unit root mean square, places, and yes (1) or no (0)."""

    background: Tensor  # (b, BACKGROUNDS)
    style: Tensor  # (b, STYLES), the first of which is the usual one
    shape: Tensor  # (b, THINGS, STYLES): whose shapes the things have
    motion: Tensor  # (b, MOTIONS), the first of which is none that is said
    present: Tensor  # (b, THINGS)
    content: Tensor  # (b, THINGS, width)
    colour: Tensor  # (b, THINGS, COLOURS)
    facing: Tensor  # (b, THINGS): whether it looks to the left
    place: Tensor  # (b, THINGS, 3): x, y of the middle and the side, as shares of the picture's side

    def to(self, target: torch.device | torch.dtype) -> Layout:
        return Layout(*(getattr(self, field.name).to(target) for field in fields(self)))


class LayoutReader(nn.Module):
    """Conditions (b, length, width), the sentence's vector first, then words or zeros → layouts, as logits or as such.

    One query asks for the background and the style, the others for a thing each, in the order in which they are said.
    Contents are recalled among those that are known, `concepts`, by what is most like what is read, so that an unsure
    reading makes a sure picture. What was never shown in the style that is asked for, by `drawn`, has its shapes of the
    usual one, in which everything was. What does not move stands in the nearest of the `places` that training had: a
    little beside it is nowhere.
    """

    def __init__(self, width: int, length: int = 24) -> None:
        super().__init__()
        self.words = nn.Linear(width, _READER)
        self.positions = nn.Parameter(torch.randn(length, _READER) * 0.1)
        self.queries = nn.Parameter(torch.randn(1 + THINGS, _READER) * 0.1)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(_READER, 6, 2 * _READER, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(_READER)
        self.scene = nn.Linear(_READER, BACKGROUNDS + STYLES + MOTIONS)
        self.thing = nn.Linear(_READER, 1 + COLOURS + 1 + 3)
        self.content = nn.Linear(_READER, width)
        self.register_buffer("concepts", torch.randn(CONCEPTS, width))
        self.register_buffer("places", torch.rand(PLACES * 3))  # flat ones keep 16 bits on disk
        self.register_buffer("drawn", torch.ones(CONCEPTS, STYLES))  # 1 where training had the concept in the style

    def likeness(self, content: Tensor) -> Tensor:
        """Logits (…, CONCEPTS) of which known content is meant by a read one (…, width)."""
        return SHARPNESS * F.normalize(content, dim=-1) @ F.normalize(self.concepts.to(content), dim=-1).T

    def forward(self, condition: Tensor, raw: bool = False) -> Layout:
        """Where `raw`, what shares are made of: logits, and contents of any length."""
        length = condition.shape[1]
        absent = condition.abs().amax(-1) == 0  # (b, length)
        absent[:, 0] = False  # a condition of zeros is one, too
        memory = self.words(condition) + self.positions[:length]
        found = self.queries.expand(len(condition), -1, -1)
        for layer in self.layers:
            found = layer(found, memory, memory_key_padding_mask=absent)
        found = self.norm(found)
        background, style, motion = self.scene(found[:, 0]).split([BACKGROUNDS, STYLES, MOTIONS], -1)
        things = found[:, 1:]
        present, colour, facing, place = self.thing(things).split([1, COLOURS, 1, 3], -1)
        content, facing, place = self.content(things), facing[..., 0], place.sigmoid()
        if raw:
            shape = style[:, None].expand(-1, THINGS, -1)
            return Layout(background, style, shape, motion, present[..., 0], content, colour, facing, place)
        known = _likeliest(self.likeness(content))
        content = known @ self.concepts
        content = content / content.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-3)
        background, style, motion = (_likeliest(part) for part in (background, style, motion))
        own = style[:, None] * (known @ self.drawn)
        shape = own + (1 - own.sum(-1, keepdim=True)) * torch.eye(STYLES)[0].to(own)
        present, colour, facing = (present[..., 0] > 0).to(own), _likeliest(colour), (facing > 0).to(own)
        place = torch.where(motion[:, :1, None] > 0, self._nearest_place(place), place)
        return Layout(background, style, shape, motion, present, content, colour, facing, place)

    def _nearest_place(self, place: Tensor) -> Tensor:
        """(b, THINGS, 3) of `places`."""
        places = self.places.view(PLACES, 3)
        return places[(place[:, :, None] - places).abs().sum(-1).argmin(-1)].to(place)


class LayoutPainter(nn.Module):
    """Layouts → mean latents (b, channels, size, size), and what the brush knew of each cell (b, …, size, size)."""

    def __init__(self, width: int, channels: int, size: int) -> None:
        super().__init__()
        self.channels, self.size, self.known = channels, size, _BRUSH
        self.look = nn.Sequential(
            nn.Linear(width + STYLES, _LOOK),
            nn.GELU(),
            nn.Linear(_LOOK, _LOOK),
            nn.GELU(),
            nn.Linear(_LOOK, _FEATURES * _MAP * _MAP),
            nn.Unflatten(1, (_FEATURES, _MAP, _MAP)),
        )
        self.ground = nn.Linear(BACKGROUNDS, channels * size * size, bias=False)
        seen = (_FEATURES + 1) * _SAMPLES**2 + channels + STYLES + COLOURS + 1
        self.brush = nn.Sequential(nn.Linear(seen, _BRUSH), nn.GELU(), nn.Linear(_BRUSH, _BRUSH), nn.GELU())
        self.stroke = nn.Linear(_BRUSH, channels)

    def forward(self, layout: Layout, poses: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Poses (b, frames, 10) make clips of layouts, (b · frames, …); without them each is one picture at rest.

        They are what a motion adds to the things' places, x, y, and the logarithm of the side; cosine and sine of the
        angle, clockwise; opacity; −1 where things that look to the left head to the right, else 1; and the camera's
        window on all that, its middle x, y and the logarithm of its side.
        """
        count, things = layout.present.shape
        poses = AT_REST.to(layout.place.device).expand(count, 1, -1) if poses is None else poses.float()
        frames, poses = poses.shape[1], poses.flatten(0, 1)
        window, zoom = poses[:, 7:9], poses[:, 9:].exp()
        canvas = self.ground(layout.background).view(-1, self.channels, self.size, self.size)
        canvas = _through(canvas.repeat_interleave(frames, 0), window, zoom).permute(0, 2, 3, 1)
        known = canvas.new_zeros(len(canvas), self.size, self.size, _BRUSH)
        for thing in range(things):
            shown = layout.present[:, thing].repeat_interleave(frames) * poses[:, 5]
            (rows,) = (shown > 0.02).nonzero(as_tuple=True)
            if not len(rows):
                continue
            clips = rows // frames
            used, which = clips.unique(return_inverse=True)
            look = self.look(torch.cat([layout.content[used, thing], layout.shape[used, thing]], -1))[which]
            mirrored = 1 + layout.facing[clips, thing, None] * (poses[rows, 6:7] - 1)
            place = layout.place[clips, thing].float()
            middle = (place[:, :2] + poses[rows, :2] - window[rows]) / zoom[rows] + 0.5
            side = (place[:, 2:] * poses[rows, 2:3].exp() / zoom[rows]).clamp(min=0.02)
            samples, near = self._samples(look, middle, side, poses[rows, 3:5], mirrored)
            said = torch.cat([layout.style[clips], layout.colour[clips, thing], side.log()], -1)
            said = said.to(samples.dtype)[:, None, None].expand(-1, self.size, self.size, -1)
            hidden = self.brush(torch.cat([samples, canvas[rows].to(samples.dtype), said], -1))
            share = (near * shown[rows].view(-1, 1, 1))[..., None]
            canvas = canvas.index_add(0, rows, (self.stroke(hidden) * share).to(canvas.dtype))
            known = known.index_add(0, rows, (hidden * share).to(known.dtype))
        return canvas.permute(0, 3, 1, 2), known.permute(0, 3, 1, 2)

    def _samples(
        self, look: Tensor, middle: Tensor, side: Tensor, turn: Tensor, mirrored: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the map (b, features, …) holds behind each cell, (b, size, size, samples · (features + 1)).

        And, (b, size, size), which cells are at most one off from the thing: 1, and falling to 0 over the next.
        `turn` is (b, 2), cosine and sine, the others (b, 1) but for the middle, (b, 2).
        """

        def within(count: int) -> Tensor:  # points of the picture as the thing has them, (b, count, count, 2) in −1 … 1
            line = (torch.arange(count, device=look.device, dtype=torch.float32) + 0.5) / count
            across, down = ((line - middle[:, i : i + 1]) / side * 2 for i in (0, 1))
            across, down = across[:, None, :], down[:, :, None]
            cosine, sine = turn[:, :1, None], turn[:, 1:, None]
            along = (across * cosine + down * sine) * mirrored[..., None]
            return torch.stack([along, down * cosine - across * sine], -1)

        solid = F.pad(look, (0, 0, 0, 0, 0, 1), value=1.0)  # one more feature: whether one is within the thing at all
        seen = F.grid_sample(solid.float(), within(self.size * _SAMPLES), align_corners=False)
        seen = seen.unflatten(-1, (self.size, _SAMPLES)).unflatten(2, (self.size, _SAMPLES))
        seen = seen.permute(0, 2, 4, 3, 5, 1).flatten(3)
        off = (within(self.size).abs().amax(-1) - 1) * side[..., None] / 2 * self.size  # cells
        return seen.to(look.dtype), (2.0 - off).clamp(0, 1)


def _likeliest(logits: Tensor) -> Tensor:
    """Shares that are all of the likeliest: half red and half blue is neither."""
    return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits)


def _through(ground: Tensor, window: Tensor, side: Tensor) -> Tensor:
    """Backgrounds (b, channels, h, w) through windows of middles (b, 2) and sides (b, 1); whole ones stay."""
    moved = ((window - 0.5).abs().amax(1) + (side[:, 0] - 1).abs()) > 1e-4
    if not moved.any():
        return ground
    scale, shift = torch.eye(2, device=ground.device) * side[moved, None], window[moved, :, None] * 2 - 1
    grid = F.affine_grid(torch.cat([scale, shift], 2), list(ground[moved].shape), align_corners=False)
    seen = F.grid_sample(ground[moved].float(), grid, padding_mode="border", align_corners=False)
    return ground.index_put((moved.nonzero()[:, 0],), seen.to(ground.dtype))
