"""Instruments and drums: small pieces of music drawn at random, played by fluidsynth through a General MIDI soundfont.

A piece is a list of notes and words for what it is; all pieces of a kind are rendered in one go, each in a slot of its
own, and cut apart again.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nextgpt_core.pocket.sounds.kinds import Kind
from nextgpt_core.pocket.sounds.waves import LENGTH, RATE, SECONDS, Array, Rng

TEMPOS = {"slow": (1.0, 1.5), "": (2.2, 3.2), "fast": (5.5, 7.5)}  # notes a second
_SLOT = 6.0  # seconds from one piece to the next, so that what still rings has died away
_TICKS = 960  # a second
_DRUM_CHANNEL = 9
_CENTRES = {"bass": 38, "flutes": 76, "mallets": 74, "drums": 45, "brass": 57, "strings": 60, "guitar": 57}
_OWN_CENTRES = {
    "glockenspiel": 88, "piccolo": 86, "tuba": 38, "trombone": 50, "cello": 48, "bassoon": 46, "marimba": 60,
    "violin": 74, "trumpet": 68, "harmonica": 70, "bagpipes": 68, "string orchestra": 58, "banjo": 62,
}  # fmt: skip
_CHORDS = ("piano", "organ", "guitar", "synthesizer")
_KICKS = ((0, 4), (0, 3, 4), (0, 4, 7), (0, 2, 5))  # eighths of a bar
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))


@dataclass(frozen=True)
class Note:
    second: float
    length: float
    key: int
    velocity: int


@dataclass(frozen=True)
class Piece:
    """`tempo` is a key of TEMPOS; `shape` is melody, chords, note or beat; `register` is low, high or ''."""

    program: int | None  # None for drums
    notes: tuple[Note, ...]
    shape: str
    tempo: str
    register: str


def draw_piece(kind: Kind, rng: Rng) -> Piece:
    """A random piece for an instrument or a drum."""
    tempo = str(rng.choice(("slow", "", "fast"), p=(0.3, 0.4, 0.3)))
    pace = rng.uniform(*TEMPOS[tempo])
    if kind.source == "drum":
        return Piece(None, _beat(kind, rng, pace), "beat", tempo, "")
    program = int(rng.choice(kind.numbers))
    register = str(rng.choice(("low", "", "high"), p=(0.15, 0.7, 0.15)))
    centre = _OWN_CENTRES.get(kind.name, _CENTRES.get(kind.family, 62)) + {"low": -10, "": 0, "high": 10}[register]
    shape = str(rng.choice(("melody", "chords", "note"), p=(0.72, 0.16, 0.12)))
    if shape == "chords" and kind.family not in _CHORDS:
        shape = "melody"
    if shape == "note":
        tempo, pace = "", rng.uniform(0.4, 0.7)
    key, scale = centre + int(rng.integers(-4, 5)), _SCALES[rng.integers(len(_SCALES))]
    notes, step, second = [], int(rng.integers(-2, 3)), rng.uniform(0.02, 0.15)
    while second < SECONDS - 0.1:
        length = float(rng.choice((1, 1, 1, 2, 0.5))) / pace if shape == "melody" else 1 / pace
        step = int(np.clip(step + rng.integers(-2, 3), -7, 7))
        for voice in (0, 2, 4) if shape == "chords" else (0,):
            octave, degree = divmod(step + voice, len(scale))
            notes.append(Note(second, length * 0.92, key + 12 * octave + scale[degree], int(rng.integers(75, 115))))
        second += length
    return Piece(program, tuple(notes), shape, tempo, register)


def render_pieces(pieces: Sequence[Piece], soundfont: Path) -> Array:
    """(n, LENGTH) floats in -1…1. Raises RuntimeError where fluidsynth is missing or fails."""
    if shutil.which("fluidsynth") is None:
        raise RuntimeError("fluidsynth was not found; it plays the instruments. Try: apt-get install fluidsynth")
    with tempfile.TemporaryDirectory() as folder:
        score, out = Path(folder) / "pieces.mid", Path(folder) / "pieces.wav"
        score.write_bytes(midi(pieces))
        command = ["fluidsynth", "-q", "-n", "-i", "-g", "0.6", "-r", str(RATE), "-o", "synth.dynamic-sample-loading=1"]
        done = subprocess.run([*command, "-F", str(out), str(soundfont), str(score)], capture_output=True, text=True)
        if done.returncode or not out.is_file():
            raise RuntimeError(f"fluidsynth could not play: {done.stderr.strip()[-500:]}")
        with wave.open(str(out)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    mono = samples.mean(1) / 32768
    mono = np.pad(mono, (0, max(0, round(len(pieces) * _SLOT * RATE) - len(mono))))
    return np.stack([mono[round(i * _SLOT * RATE) :][:LENGTH] for i in range(len(pieces))])


def midi(pieces: Sequence[Piece]) -> bytes:
    """A MIDI file of one track that plays the pieces one after another, a slot each."""
    events: list[tuple[float, bytes]] = []
    for i, piece in enumerate(pieces):
        start = i * _SLOT
        channel = _DRUM_CHANNEL if piece.program is None else 0
        if piece.program is not None:
            events.append((start, bytes((0xC0, piece.program))))
        for note in piece.notes:
            key = min(127, max(0, note.key))
            events.append((start + note.second, bytes((0x90 | channel, key, note.velocity))))
            end = min(start + note.second + note.length, start + _SLOT - 0.3)
            events.append((end, bytes((0x80 | channel, key, 0))))
        events.append((start + _SLOT - 0.1, bytes((0xB0 | channel, 120, 0))))  # all sound off
    events.sort(key=lambda event: event[0])
    track, now = bytearray(), 0
    for second, message in [*events, (len(pieces) * _SLOT, b"\xff\x2f\x00")]:
        tick = round(second * _TICKS)
        track += _variable_length(tick - now) + message
        now = tick
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, _TICKS // 2)  # at 120 beats a minute, the default
    return header + struct.pack(">4sI", b"MTrk", len(track)) + bytes(track)


def _beat(kind: Kind, rng: Rng, pace: float) -> tuple[Note, ...]:
    """One drum's rhythm, or a whole kit's."""
    notes = []
    if kind.name == "drum kit":
        bass, snare, hat, open_hat, cymbal = kind.numbers
        kicks = _KICKS[rng.choice(len(_KICKS))]
        for i, second in enumerate(np.arange(0.05, SECONDS - 0.05, 1 / pace / 1.3)):
            struck = [open_hat if i % 8 == 7 and rng.random() < 0.4 else hat]
            struck += [bass] * (i % 8 in kicks) + [snare] * (i % 4 == 2) + [cymbal] * (i == 0)
            notes += [Note(float(second), 0.1, drum, int(rng.integers(80, 120))) for drum in struck]
        return tuple(notes)
    rest = rng.uniform(0, 0.35)
    for i, second in enumerate(np.arange(rng.uniform(0.02, 0.2), SECONDS - 0.05, 1 / pace)):
        if i and rng.random() < rest:
            continue
        notes.append(Note(float(second), 0.15, int(rng.choice(kind.numbers)), int(rng.integers(70, 122))))
    return tuple(notes)


def _variable_length(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    return bytes(reversed(parts))
