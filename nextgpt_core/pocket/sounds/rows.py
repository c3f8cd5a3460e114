"""What the denoiser learns from: rows made of clips, each as it is, varied, or changed in manner; and pairs of them.

A row says by itself how its wave is made, so that a shard is known by its lines of JSON. Pairs are for those who judge
and who read: the denoiser makes one sound at a time. Pairs of kinds that are held out never stand together in training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from nextgpt_core.pocket.sounds import captions
from nextgpt_core.pocket.sounds.clips import Clips, mix, seeded, varied, with_manner
from nextgpt_core.pocket.sounds.kinds import Kind, load_kinds
from nextgpt_core.pocket.sounds.waves import Array

_SHARES = {"single": 0.45, "varied": 0.4, "manner": 0.15}


@dataclass(frozen=True)
class Row:
    """`clips` are row numbers of `Clips`, two for a mixture; `manner` is a key of captions.MANNERS or ''."""

    shape: str
    caption: str
    clips: tuple[int, ...]
    manner: str = ""
    in_turn: bool = False

    def wave(self, clips: Clips) -> Array:
        """(LENGTH,); what is random about it follows from the row itself."""
        rng = seeded(self.to_json())
        waves = [clips.wave(row) for row in self.clips]
        if self.shape == "mixture":
            return mix(waves[0], waves[1], self.in_turn)
        if self.shape == "manner":
            return with_manner(waves[0], self.manner, rng)
        return varied(waves[0], rng) if self.shape == "varied" else waves[0]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def pair_held_out(first: str, second: str) -> bool:
    """A tenth of pairs of kinds, in either order."""
    digest = hashlib.sha256("|".join(sorted((first, second))).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < 0.1


def draw_rows(clips: Clips, number: int, count: int) -> list[Row]:
    """The rows of shard `number`. Over the shards all clips for training get their turn alone."""
    rng = seeded("rows", number)
    trained = clips.rows(held_out=False)
    order = np.random.default_rng(0).permutation(trained)
    rows: list[Row] = []
    shapes = rng.choice(list(_SHARES), size=count, p=list(_SHARES.values()))
    for i, shape in enumerate(shapes):
        rows.append(_draw_single(clips, int(order[(number * count + i) % len(order)]), str(shape), rng))
    return rows


def captions_of_sounds(seed: int) -> Iterator[str]:
    """Endless captions of what the audio decoder knows: kinds in all their phrases, tempi, manners, and pairs."""
    rng, kinds = seeded("captions", seed), load_kinds()

    def one(kind: Kind) -> str:
        if kind.has_tempo and rng.random() < 0.5:
            return captions.tempo_caption(kind, str(rng.choice(("slow", "fast"))))
        return captions.plain(kind, rng)

    while True:
        first, second = (kinds[int(i)] for i in rng.integers(len(kinds), size=2))
        way = rng.random()
        if way < 0.6:
            yield one(first)
        elif way < 0.7:
            yield captions.with_manner(one(first), str(rng.choice(list(captions.MANNERS))))
        elif first is not second and not pair_held_out(first.name, second.name):
            yield captions.both(one(first), one(second), bool(rng.random() < 0.5), rng)


def draw_mixture(clips: Clips, rows: list[int], rng: np.random.Generator, held_out: bool = False) -> Row:
    """Two different kinds, at once or one after the other, of a pair that is (not) held out."""
    phrases = {kind.name: kind.phrases for kind in load_kinds()}
    while True:
        first, second = (int(row) for row in rng.choice(rows, 2))
        kinds = [clips.clips[row].kind for row in (first, second)]
        if kinds[0] != kinds[1] and pair_held_out(*kinds) is held_out:
            break
    in_turn = bool(rng.random() < 0.5)
    words = [phrases[kind][0] for kind in kinds]
    return Row("mixture", captions.both(*words, in_turn, rng), (first, second), in_turn=in_turn)


def _draw_single(clips: Clips, row: int, shape: str, rng: np.random.Generator) -> Row:
    caption = clips.clips[row].caption
    if shape != "manner":
        return Row(shape, caption, (row,))
    manner = str(rng.choice(list(captions.MANNERS)))
    return Row(shape, captions.with_manner(caption, manner), (row,), manner)
