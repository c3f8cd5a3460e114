"""Clips on disk: for each kind some for training and some that training never meets, 4.096 s at 16 kHz each.

A kind is two files: KIND.npy (n, LENGTH) int16, and KIND.jsonl with a line a clip. Whatever is drawn follows from the
kind's name and the clip's number, so two builds are alike. Held out are the last clips of a kind, drawn from seeds of
their own, and for recordings from other files.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nextgpt_core.pocket.sounds import captions, electronics, household, machines, nature, people  # noqa: F401 (register)
from nextgpt_core.pocket.sounds.instruments import draw_piece, render_pieces
from nextgpt_core.pocket.sounds.kinds import Kind, load_kinds
from nextgpt_core.pocket.sounds.packages import soundfont
from nextgpt_core.pocket.sounds.recordings import arrange, read_recordings, recording_files, recording_held_out
from nextgpt_core.pocket.sounds.waves import LENGTH, RATE, SYNTHESES, Array, Rng, band, room

TRAINED, HELD_OUT = 16, 4  # clips of a kind
_LEVEL, _PEAK = 0.14, 0.9  # root mean square of the loudest half second, and the largest sample


@dataclass(frozen=True)
class Clip:
    """`tempo` is slow, fast or '' and says something only of kinds that have one."""

    kind: str
    caption: str
    tempo: str
    held_out: bool


@dataclass(frozen=True)
class Clips:
    """All clips as one sequence; `waves[i]` is (LENGTH,) floats."""

    clips: tuple[Clip, ...]
    _parts: tuple[np.ndarray, ...]
    _places: tuple[tuple[int, int], ...]

    def wave(self, row: int) -> Array:
        part, place = self._places[row]
        return self._parts[part][place].astype(np.float32) / 32768

    def rows(self, held_out: bool, kind: str | None = None) -> list[int]:
        return [i for i, c in enumerate(self.clips) if c.held_out is held_out and kind in (None, c.kind)]


def build_clips(folder: Path, packages: Path, recordings: Path | None) -> Clips:
    """Renders every kind that is not there yet. Kinds whose recordings were not given are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in tqdm(load_kinds(), desc="sounds", unit="kind"):
        if not (folder / f"{kind.name}.jsonl").is_file():
            drawn = list(_draw(kind, packages, recordings))
            if drawn:
                _write(folder, kind, drawn)
    return open_clips(folder)


def open_clips(folder: Path) -> Clips:
    clips: list[Clip] = []
    parts, places = [], []
    for kind in load_kinds():
        lines = folder / f"{kind.name}.jsonl"
        if lines.is_file():
            found = [Clip(**json.loads(line)) for line in lines.read_text(encoding="utf-8").splitlines()]
            places += [(len(parts), i) for i in range(len(found))]
            parts.append(np.load(folder / f"{kind.name}.npy", mmap_mode="r"))
            clips += found
    if not clips:
        raise FileNotFoundError(f"{folder} holds no sounds. Build them with `python -m nextgpt_core data sounds`.")
    return Clips(tuple(clips), tuple(parts), tuple(places))


def seeded(*words: str | int) -> Rng:
    return np.random.default_rng(zlib.crc32("|".join(map(str, words)).encode()))


def level(wave: Array) -> Array:
    """The wave at the usual loudness: its loudest half second at a set level, its peaks within bounds."""
    wave = wave - wave.mean()
    power = np.square(wave)[: LENGTH // 8192 * 8192].reshape(-1, 8192).mean(1).max()
    wave = wave * (_LEVEL / (np.sqrt(power) + 1e-9))
    over = np.abs(wave).max() / _PEAK
    return np.tanh(wave / _PEAK) * _PEAK if over > 1 else wave


def with_manner(wave: Array, manner: str, rng: Rng) -> Array:
    """A levelled wave as heard far away, near, quiet or loud (see `captions.MANNERS`)."""
    if manner == "distant":
        return 0.22 * level(room(band(wave, 60, rng.uniform(1200, 2200)), rng, 1.5, 0.8))
    if manner == "loud":
        return np.tanh(3.2 * wave) * 0.95
    return wave * {"quiet": 0.12, "near": 1.5}[manner]


def mix(first: Array, second: Array, in_turn: bool) -> Array:
    """Two levelled waves at once, or the beginnings of both one after the other."""
    if not in_turn:
        return level(first + second)
    half, fade = LENGTH // 2, RATE // 20
    ramp = np.ones(half)
    ramp[-fade:] = np.linspace(1, 0, fade)
    return np.concatenate([first[:half] * ramp, second[:half] * ramp])


def varied(wave: Array, rng: Rng) -> Array:
    """The same sound a little faster or slower and higher or lower, and begun at another moment."""
    speed = 2 ** rng.uniform(-0.08, 0.08)
    places = np.arange(LENGTH) * speed
    return np.interp(places % (LENGTH - 1), np.arange(LENGTH), wave) * rng.uniform(0.85, 1.1)


def _draw(kind: Kind, packages: Path, recordings: Path | None) -> Iterator[tuple[Clip, Array]]:
    total = TRAINED + HELD_OUT
    held = [number >= TRAINED for number in range(total)]
    rngs = [seeded(kind.name, number) for number in range(total)]
    if kind.source == "synthesis":
        for rng, unseen in zip(rngs, held, strict=True):
            yield Clip(kind.name, captions.plain(kind, rng), "", unseen), SYNTHESES[kind.name](rng)
    elif kind.source == "recording":
        files = recording_files(kind, packages, recordings)
        sides = {side: [path for path in files if recording_held_out(path) is side] for side in (False, True)}
        waves = {side: read_recordings(paths or files) for side, paths in sides.items()}
        for rng, unseen in zip(rngs if files else (), held, strict=False):
            yield Clip(kind.name, captions.plain(kind, rng), "", unseen), arrange(waves[unseen], rng)
    else:
        pieces = [draw_piece(kind, rng) for rng in rngs]
        for piece, wave, rng, unseen in zip(
            pieces, render_pieces(pieces, soundfont(packages)), rngs, held, strict=True
        ):
            yield Clip(kind.name, captions.piece(kind, piece, rng), piece.tempo, unseen), wave


def _write(folder: Path, kind: Kind, drawn: Sequence[tuple[Clip, Array]]) -> None:
    waves = np.stack([_tidy(level(wave)) for _, wave in drawn])
    np.save(folder / f"{kind.name}.partial.npy", (waves * 32767).round().astype(np.int16))
    os.replace(folder / f"{kind.name}.partial.npy", folder / f"{kind.name}.npy")
    lines = "".join(json.dumps(asdict(clip)) + "\n" for clip, _ in drawn)
    (folder / f"{kind.name}.jsonl").write_text(lines, encoding="utf-8")


def _tidy(wave: Array) -> Array:
    """No clicks at the ends."""
    wave = wave.copy()
    fade = np.linspace(0, 1, RATE // 100)
    wave[: len(fade)] *= fade
    wave[-len(fade) :] *= fade[::-1]
    return wave
