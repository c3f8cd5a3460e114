"""Training the sound reader, from words alone: of which taught sounds a caption speaks, and how they are heard.

What the denoiser is asked for when a caption means some clip is decided here too. Pairs of kinds that are held out
never stand together here either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.decoders.sound_unet import ALONE, IN_TURN, TOGETHER, SoundReader
from nextgpt_core.pocket.denoiser_task import disturb
from nextgpt_core.pocket.sounds import captions
from nextgpt_core.pocket.sounds.clips import Clip, Clips, seeded
from nextgpt_core.pocket.sounds.kinds import Kind, load_kinds
from nextgpt_core.pocket.sounds.rows import pair_held_out

_PAIRS = 0.6  # share of captions that speak of two sounds
_TEMPO = 0.3  # of the sounds in those that have one
_MANNER = 0.2  # of the others
MANNER_NAMES = ("", *captions.MANNERS, "low", "high")  # by number in `sound_unet`; the last two are registers


@dataclass(frozen=True)
class Said:
    """What a caption speaks of: a way of `sound_unet`, two numbers among `taught`, alike where it is one, a manner."""

    caption: str
    way: int
    sounds: tuple[int, int]
    manner: int = 0


def taught(kinds: Sequence[Kind]) -> list[str]:
    """Captions of all that the denoiser was taught alone: the kinds' plainest phrases, and slow and fast music."""
    return [kind.phrases[0] for kind in kinds] + [
        captions.tempo_caption(kind, tempo) for kind in kinds if kind.has_tempo for tempo in ("slow", "fast")
    ]


def manner_of(caption: str, manner: str) -> int:
    """The number of a manner, or where there is none of the register that our own caption of a piece names."""
    said = manner or next((word for word in ("low", "high") if f" {word} " in caption), "")
    return MANNER_NAMES.index(said)


def sound_of(clip: Clip, number: Mapping[str, int]) -> int:
    """The number among `taught` of what is heard in a clip, whether or not its caption says how fast it is."""
    kind = next(kind for kind in load_kinds() if kind.name == clip.kind)
    return number[captions.tempo_caption(kind, clip.tempo) if kind.has_tempo and clip.tempo else kind.phrases[0]]


def draw_said(clips: Clips, count: int) -> list[Said]:
    """Captions as rows have them (`rows`), and pairs in more words than those."""
    rng, present = seeded("said"), {clip.kind for clip in clips.clips}
    kinds = [kind for kind in load_kinds() if kind.name in present]
    number = {caption: i for i, caption in enumerate(taught(kinds))}
    by_name, trained = {kind.name: kind for kind in kinds}, clips.rows(held_out=False)

    def named(kind: Kind) -> tuple[str, int]:
        if kind.has_tempo and rng.random() < _TEMPO:
            caption = captions.tempo_caption(kind, str(rng.choice(("slow", "fast"))))
            return caption, number[caption]
        return captions.plain(kind, rng), number[kind.phrases[0]]

    def pair() -> Said:
        while True:
            first, second = (kinds[int(i)] for i in rng.integers(len(kinds), size=2))
            if first is not second and not pair_held_out(first.name, second.name):
                break
        (one, sound), (other, behind) = named(first), named(second)
        in_turn = bool(rng.random() < 0.5)
        return Said(captions.both(one, other, in_turn, rng), IN_TURN if in_turn else TOGETHER, (sound, behind))

    def single() -> Said:
        clip = clips.clips[int(rng.choice(trained))]
        kind, caption = by_name[clip.kind], clip.caption
        says_tempo = kind.has_tempo and clip.tempo and clip.tempo in caption  # "a piano" may be either
        sound = number[captions.tempo_caption(kind, clip.tempo) if says_tempo else kind.phrases[0]]
        manner = str(rng.choice(list(captions.MANNERS))) if rng.random() < _MANNER else ""
        heard = manner_of(caption, manner)
        return Said(captions.with_manner(caption, manner) if manner else caption, ALONE, (sound, sound), heard)

    return [pair() if rng.random() < _PAIRS else single() for _ in range(count)]


class SoundReaderTask:
    """A `training.Task` over captions and their conditions (n, 1, width)."""

    def __init__(self, network: SoundReader, said: Sequence[Said], conditions: Tensor) -> None:
        self.network, self.rows = network, len(said)
        self._conditions = conditions
        self._ways = torch.tensor([one.way for one in said])
        self._sounds = torch.tensor([one.sounds for one in said])
        self._manners = torch.tensor([one.manner for one in said])

    def loss(self, network: SoundReader, rows: Tensor, device: torch.device) -> Tensor:
        ways, sounds, manners = network(disturb(self._conditions[rows].to(device))[:, 0])
        way, meant, manner = (part[rows].to(device) for part in (self._ways, self._sounds, self._manners))
        loss = F.cross_entropy(ways, way) + F.cross_entropy(sounds.flatten(0, 1), meant.flatten())
        return loss + F.cross_entropy(manners, manner)

    @torch.no_grad()
    def accuracy(self, network: SoundReader, rows: Tensor) -> tuple[float, float]:
        """The shares of captions whose way, and of which both sounds, are read as they were meant."""
        ways, sounds, _ = (logits.argmax(-1) for logits in network(self._conditions[rows, 0]))
        right = (ways == self._ways[rows], (sounds == self._sounds[rows]).all(1))
        return tuple(float(np.mean(part.numpy())) for part in right)

    def draw_samples(self, network: nn.Module, path: Path) -> None:
        """Nothing: there is nothing to be seen."""

    def export(self, network: nn.Module, folder: Path) -> None:
        """Nothing: a reader is stored as a part of its UNet."""
