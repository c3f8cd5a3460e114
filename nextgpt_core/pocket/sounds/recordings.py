"""Recordings of real things, arranged into clips: a call now and then, or strokes in rhythm.

Collections are folders of files: `recordings` is one with labels.jsonl (file, label), which the user names;
`sonic-pi` is Debian's package of samples. A tenth of the recordings, by a hash of their names, is never trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nextgpt_core import media
from nextgpt_core.pocket.sounds.kinds import Kind
from nextgpt_core.pocket.sounds.packages import SAMPLES, fetch_debian
from nextgpt_core.pocket.sounds.waves import LENGTH, RATE, SECONDS, Array, Rng, add, regular, silence


def recording_files(kind: Kind, packages: Path, recordings: Path | None) -> list[Path]:
    """The files of a kind, in order; none where the collection was not given."""
    collection, _, prefix = kind.detail.partition(":")
    if collection == "sonic-pi":
        return sorted(fetch_debian(SAMPLES, packages).rglob(f"{prefix}*.flac"))
    if recordings is None:
        return []
    lines = map(json.loads, (recordings / "labels.jsonl").read_text(encoding="utf-8").splitlines())
    return [recordings / line["file"] for line in lines if line["label"] == prefix]


def recording_held_out(path: Path) -> bool:
    """Packages' samples are strokes of one instrument, of which only new rhythms are asked for, so none is held out."""
    share = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:8], "big") / 2**64
    return path.suffix != ".flac" and share < 0.1


def read_recordings(files: Sequence[Path]) -> list[Array]:
    """Each file as a mono wave at 16 kHz, without the silence around it, its loudest sample at one."""
    waves = []
    for path in files:
        wave = media.read_audio(path, RATE)
        loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
        if len(loud) > RATE // 50:
            wave = wave[max(0, loud[0] - 200) : loud[-1] + 800].astype(float)
            waves.append(wave / np.abs(wave).max())
    return waves


def arrange(waves: Sequence[Array], rng: Rng) -> Array:
    """(LENGTH,): a stretch of a long recording; a short one again and again, or strokes of several in rhythm."""
    chosen = waves[rng.integers(len(waves))]
    if len(chosen) >= 0.8 * LENGTH:
        start = int(rng.integers(0, max(1, len(chosen) - LENGTH)))
        stretch = chosen[start : start + LENGTH]
        return np.pad(stretch, (0, LENGTH - len(stretch)))
    out = silence()
    if np.mean([len(wave) for wave in waves]) < 0.6 * RATE:  # strokes
        for second in regular(rng, rng.uniform(0.14, 0.4), 0.03):
            add(out, waves[rng.integers(len(waves))], second, rng.uniform(0.5, 1))
        return out
    second, seconds = rng.uniform(0, 0.3), len(chosen) / RATE
    while second < SECONDS - min(0.5, seconds / 2):
        add(out, chosen, second, rng.uniform(0.8, 1))
        second += seconds + rng.uniform(0.05, 0.7)
    return out
