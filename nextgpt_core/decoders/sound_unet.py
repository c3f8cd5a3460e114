"""The pocket audio decoder's UNet, and what is read of a caption first: which sound it speaks of, how, or which two.

A denoiser would have to learn every wording, and every pair of sounds. But what it was taught is known, so that what is
read is asked of it in always the same way. Two at once are their sum, and two in turn the beginnings of both: each is
made by itself, and `audio` puts them together. Nor need a small one invent the shape of a sound: it begins from an
example in noise, as retrieval-augmented AudioLDM has one in sight (Yuan et al., 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.decoders.layout import SHARPNESS

ALONE, TOGETHER, IN_TURN = range(3)  # one sound, two at once, two one after the other
KNOWN, EXAMPLES = 352, 3  # how many sounds can be known, and how many examples there are of each
MANNERS = 8  # ways to sound, the first of which is none that is said
LOW, HIGH = 5, 6  # of these the registers
_WIDTH = 1024


@dataclass(frozen=True)
class Sound:
    """Numbers of a known sound and of a manner."""

    known: int
    manner: int = 0


class SoundReader(nn.Module):
    """Conditions (b, width), a sentence's vector → how many sounds it speaks of, and which, the first said first.

    They are recalled among `known`, the conditions of sounds that the denoiser was taught, and so is, of one sound, its
    manner, which is added to its condition.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, _WIDTH), nn.GELU())
        self.way = nn.Linear(_WIDTH, 3)
        self.sounds = nn.Linear(_WIDTH, 2 * width)
        self.manner = nn.Linear(_WIDTH, MANNERS)
        self.register_buffer("known", torch.randn(KNOWN, width))
        self.register_buffer("manners", torch.randn(MANNERS, width))
        self.manners[0] = 0

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the way they are heard (b, 3), of which the two are (b, 2, KNOWN), of the manner (b, MANNERS)."""
        hidden = self.layers(F.normalize(condition, dim=-1) * condition.shape[-1] ** 0.5)
        sounds = F.normalize(self.sounds(hidden).unflatten(-1, (2, -1)), dim=-1)
        alike = SHARPNESS * sounds @ F.normalize(self.known.to(sounds), dim=-1).T
        return self.way(hidden), alike, self.manner(hidden)

    @torch.no_grad()
    def parts(self, condition: Tensor) -> tuple[list[Sound], bool]:
        """The sounds that one condition (1, width) speaks of, and whether they are heard in turn.

        Of two, the likeliest pair counts: which come is nearly always known, which of them first is not, and the
        likeliest twice would be neither.
        """
        ways, sounds, manners = self(condition.to(self.way.weight.dtype))
        sounds = sounds.masked_fill(~self.known.any(1), -torch.inf)  # places that nothing was put in
        way, (first, second) = ways[0].argmax(-1), sounds[0].float().log_softmax(-1)
        if way == ALONE:
            return [Sound(int((first + second).argmax()), int(manners[0].argmax()))], False
        pairs = (first[:, None] + second).fill_diagonal_(-torch.inf)
        return [Sound(known) for known in divmod(int(pairs.argmax()), KNOWN)], bool(way == IN_TURN)

    def disagreement(self, made: Tensor, meant: Tensor) -> Tensor:
        """How differently two batches of conditions (b, 1, width) are read, a mean; its gradient goes to `made`."""
        with torch.no_grad():
            targets = [logits.float().softmax(-1) for logits in self(meant[:, 0].to(self.way.weight.dtype))]
        said = [logits.float() for logits in self(made[:, 0].to(self.way.weight.dtype))]
        way, sounds, manner = (
            F.cross_entropy(logits.flatten(0, -2), target.flatten(0, -2))
            for logits, target in zip(said, targets, strict=True)
        )
        return way + sounds + manner

    @torch.no_grad()
    def agreement(self, made: Tensor, meant: Tensor) -> dict[str, float]:
        """In what shares two batches of conditions are read alike; of two sounds each counts by itself."""
        said, target = (
            [logits.argmax(-1) for logits in self(part[:, 0].to(self.way.weight.dtype))] for part in (made, meant)
        )
        alike = [(one == other).float().mean().item() for one, other in zip(said, target, strict=True)]
        return dict(zip(("way", "sound", "manner"), alike, strict=True))

    def asked(self, sound: Sound) -> Tensor:
        """The condition (1, width) under which the denoiser was taught a sound."""
        return (self.known[sound.known] + self.manners[sound.manner])[None]


class SoundMemory(nn.Module):
    """Examples of the known sounds, as latents (channels, frames, bands), and how manners differ from them.

    A sound's examples stand in the order of their pitch, so that registers are a choice among them.
    """

    def __init__(self, channels: int, frames: int, bands: int) -> None:
        super().__init__()
        self.shape = (channels, frames, bands)
        self.register_buffer("examples", torch.zeros(KNOWN * EXAMPLES, channels * frames * bands))
        self.register_buffer("shifts", torch.zeros(MANNERS, channels * bands))

    def knows(self, sound: Sound) -> bool:
        return bool(self.examples[sound.known * EXAMPLES].any())

    def recall(self, sound: Sound, which: int) -> Tensor:
        """(1, channels, frames, bands): number `which` of a sound, if it is not low or high, in its manner."""
        channels, _, bands = self.shape
        which = {LOW: 0, HIGH: EXAMPLES - 1}.get(sound.manner, which)
        shift = self.shifts[sound.manner].view(1, channels, 1, bands)
        return self.examples[sound.known * EXAMPLES + which].view(1, *self.shape) + shift

    @torch.no_grad()
    def remember(self, examples: Tensor, shifts: Tensor) -> None:
        """examples: (sounds, EXAMPLES, channels, frames, bands), low ones first; shifts: (manners, channels, bands)."""
        self.examples.zero_()[: len(examples) * EXAMPLES] = examples.flatten(2).flatten(0, 1)
        self.shifts.zero_()[: len(shifts)] = shifts.flatten(1)


class SoundUNet2DConditionModel(UNet2DConditionModel):
    """Configured as `UNet2DConditionModel`, with a condition as class label; it only carries reader and memory."""

    @wraps(UNet2DConditionModel.__init__)  # diffusers reads in the signature what a config may hold
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.reader = SoundReader(self.config.projection_class_embeddings_input_dim)
        self.memory = SoundMemory(self.config.in_channels, *self.config.sample_size)
