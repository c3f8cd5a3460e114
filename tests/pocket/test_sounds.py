"""The sounds that the audio decoder learns from: what is drawn, how it is captioned, and what is held out."""

from __future__ import annotations

import struct
from itertools import islice

import numpy as np
import pytest

from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.sounds import captions, clips, instruments, rows
from nextgpt_core.pocket.sounds.kinds import Kind, load_kinds
from nextgpt_core.pocket.sounds.recordings import arrange
from nextgpt_core.pocket.sounds.waves import LENGTH, RATE, SYNTHESES, noise, saw, tone

KINDS = {kind.name: kind for kind in load_kinds()}


def pitch_of(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave))


def test_the_table_joins_the_catalog_and_the_syntheses():
    assert len(KINDS) == len(load_kinds()) >= 150
    concepts = {concept.name for concept in load_catalog()}
    assert {kind.concept for kind in KINDS.values()} - concepts <= {""}
    assert {name for name, kind in KINDS.items() if kind.source == "synthesis"} == set(SYNTHESES)
    for kind in KINDS.values():
        assert all(kind.phrases) and (not kind.has_tempo or all(0 <= number < 128 for number in kind.numbers))


@pytest.mark.parametrize("name", ["rain", "hand bell", "siren", "ticking clock", "laser", "car engine", "owl"])
def test_synthesis_follows_from_its_seed_and_varies(name):
    first, again, other = (clips.level(SYNTHESES[name](clips.seeded(name, seed))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (LENGTH,) and np.isfinite(first).all() and np.abs(first).max() <= 0.95
    assert np.abs(first - other).max() > 0.01
    assert np.sqrt(np.square(first).mean()) > 0.005


def test_tones_have_their_pitch_and_nothing_beyond_the_band():
    assert pitch_of(tone(440.0)) == pytest.approx(440, abs=0.3)
    spectrum = np.abs(np.fft.rfft(saw(1900.0)))
    hertz = np.fft.rfftfreq(LENGTH, 1 / RATE)
    harmonics = np.abs(hertz[:, None] - 1900 * np.arange(1, 5)).min(1) < 5
    assert spectrum[harmonics].max() > 50 * spectrum[~harmonics].max()
    low = np.abs(np.fft.rfft(noise(np.random.default_rng(0), 1000, 2000))) ** 2
    assert low[(hertz > 900) & (hertz < 2200)].sum() > 0.85 * low.sum()


def test_a_midi_file_says_what_the_piece_says():
    """Read back by hand: the notes' times, keys and channels."""
    notes = (instruments.Note(0.5, 0.25, 60, 100), instruments.Note(1.0, 0.5, 64, 90))
    played = instruments.Piece(73, notes, "melody", "", "")
    drum = instruments.Piece(None, (instruments.Note(0.0, 0.1, 38, 80),), "beat", "", "")
    data = instruments.midi([played, drum])
    kind, tracks, division = struct.unpack(">HHH", data[8:14])
    assert data[:4] == b"MThd" and (kind, tracks) == (0, 1)
    body = data[22:]
    assert struct.unpack(">I", data[18:22])[0] == len(body)
    struck, now, place = [], 0, 0
    while body[place : place + 1]:
        value = 0
        while True:
            byte = body[place]
            value, place = value << 7 | byte & 0x7F, place + 1
            if byte < 0x80:
                break
        now += value
        status = body[place]
        if status == 0xFF:
            break
        if status >> 4 == 9:
            struck.append((now / (2 * division), status & 15, body[place + 1]))
        place += 2 if status >> 4 == 0xC else 3
    assert struck == [(0.5, 0, 60), (1.0, 0, 64), (6.0, 9, 38)]


def test_fast_pieces_have_more_notes_than_slow_ones():
    counts: dict[str, list[int]] = {"slow": [], "": [], "fast": []}
    for seed in range(60):
        piece = instruments.draw_piece(KINDS["flute"], clips.seeded(seed))
        if piece.shape == "melody":
            counts[piece.tempo].append(len(piece.notes))
    assert max(counts["slow"]) < min(counts["fast"])
    assert np.mean(counts["slow"]) < np.mean(counts[""]) < np.mean(counts["fast"])


def test_captions_say_what_was_played():
    rng = np.random.default_rng(0)
    piece = instruments.Piece(0, (), "melody", "fast", "")
    said = {captions.piece(KINDS["piano"], piece, rng) for _ in range(40)}
    assert said == {"a piano", "a fast piano melody", "a piano playing a melody fast"}
    organ = {captions.piece(KINDS["organ"], instruments.Piece(16, (), "melody", "", ""), rng) for _ in range(40)}
    assert organ == {"an organ", "an organ melody", "an organ playing music"}
    assert captions.tempo_caption(KINDS["snare drum"], "slow") == "a slow snare drum rhythm"
    assert captions.both("rain", "a dog", True, rng) in {
        f"rain{link} a dog" for link in (", then", " and then", " followed by")
    }
    assert captions.with_manner("a dog", "distant") == "a dog in the distance"


def test_levels_and_manners():
    loud = clips.level(40 * noise(np.random.default_rng(0)))
    quiet = clips.level(0.001 * noise(np.random.default_rng(0)))
    np.testing.assert_allclose(loud, quiet, atol=1e-6)
    rng = np.random.default_rng(1)
    power = {manner: np.square(clips.with_manner(loud, manner, rng)).mean() for manner in captions.MANNERS}
    assert power["quiet"] < np.square(loud).mean() / 20 and power["distant"] < np.square(loud).mean() / 4
    assert np.square(loud).mean() < power["near"] < power["loud"]
    assert all(np.abs(clips.with_manner(loud, manner, rng)).max() <= 1.36 for manner in captions.MANNERS)


def test_one_after_the_other_keeps_their_order():
    first, second = tone(500.0), tone(3000.0)
    mixed = clips.mix(first, second, in_turn=True)
    assert pitch_of(mixed[: LENGTH // 2]) == pytest.approx(500, abs=2)
    assert pitch_of(mixed[LENGTH // 2 :]) == pytest.approx(3000, abs=2)


def test_recordings_are_arranged():
    rng = np.random.default_rng(0)
    long, short = tone(300.0, seconds=6.0), tone(300.0, seconds=1.0)
    assert np.abs(arrange([long], rng)).min(initial=1) >= 0 and arrange([long], rng).shape == (LENGTH,)
    again = arrange([short], rng)
    sounding = np.square(again).reshape(-1, 1024).mean(1) > 0.01
    assert 2 <= np.diff(sounding.astype(int), prepend=0).clip(min=0).sum() <= 4


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Four kinds of synthesis, built for real."""
    four = tuple(KINDS[name] for name in ("rain", "siren", "ticking clock", "morse code"))
    for module in (clips, rows):
        monkeypatch.setattr(module, "load_kinds", lambda: four)
    monkeypatch.setattr(clips, "TRAINED", 3)
    monkeypatch.setattr(clips, "HELD_OUT", 2)
    return clips.build_clips(tmp_path / "clips", tmp_path, None)


def test_clips_are_built_once_and_held_out_ones_are_apart(tiny, tmp_path):
    assert len(tiny.clips) == 20 and len(tiny.rows(held_out=True)) == 8
    row = tiny.rows(held_out=True, kind="siren")[0]
    assert tiny.clips[row].kind == "siren" and tiny.wave(row).shape == (LENGTH,)
    assert tiny.wave(row)[0] == 0 and tiny.wave(row)[-1] == 0
    before = (tmp_path / "clips" / "siren.npy").stat().st_mtime_ns
    again = clips.build_clips(tmp_path / "clips", tmp_path, None)
    assert (tmp_path / "clips" / "siren.npy").stat().st_mtime_ns == before and again.clips == tiny.clips


def test_kinds_without_their_recordings_are_left_out(tmp_path, monkeypatch):
    dog = Kind("dog", "animal", "recording", "recordings:dog", ("a dog",), "dog")
    monkeypatch.setattr(clips, "load_kinds", lambda: (dog,))
    with pytest.raises(FileNotFoundError, match="data sounds"):
        clips.build_clips(tmp_path, tmp_path, None)


def test_rows_are_of_clips_for_training_and_mixtures_of_pairs_that_may_be_taught(tiny):
    drawn = rows.draw_rows(tiny, 0, 300)
    assert drawn == rows.draw_rows(tiny, 0, 300) != rows.draw_rows(tiny, 1, 300)
    trained = tiny.rows(held_out=False)
    assert {row.shape for row in drawn} == {"single", "varied", "manner"}
    assert all(set(trained).issuperset(row.clips) for row in drawn)
    rng = clips.seeded("pairs")
    mixtures = [rows.draw_mixture(tiny, trained, rng) for _ in range(60)]
    for row in mixtures:
        kinds = [tiny.clips[clip].kind for clip in row.clips]
        assert set(trained).issuperset(row.clips)
        assert kinds[0] != kinds[1] and not rows.pair_held_out(*kinds)
    for shape in ("single", "varied", "manner", "mixture"):
        row = next(row for row in (*drawn, *mixtures) if row.shape == shape)
        np.testing.assert_array_equal(row.wave(tiny), row.wave(tiny))
    assert rows.pair_held_out("rain", "dog") == rows.pair_held_out("dog", "rain")
    pairs = [rows.pair_held_out(a, b) for a in list(KINDS)[:60] for b in list(KINDS)[:60] if a < b]
    assert 0.06 < np.mean(pairs) < 0.14


def test_captions_of_sounds_are_of_all_kinds_and_of_no_pair_that_is_held_out(monkeypatch):
    some = list(islice(rows.captions_of_sounds(3), 4000))
    assert some == list(islice(rows.captions_of_sounds(3), 4000)) != list(islice(rows.captions_of_sounds(4), 4000))
    for kind in load_kinds():
        assert any(phrase in caption for phrase in kind.phrases for caption in some), kind.name
    assert any(caption.startswith("a slow ") for caption in some) and any("followed by" in caption for caption in some)
    monkeypatch.setattr(rows, "pair_held_out", lambda *_: True)
    monkeypatch.setattr(captions, "both", lambda *_: pytest.fail("a pair"))
    assert len(list(islice(rows.captions_of_sounds(3), 1000))) == 1000
