"""How good the audio decoder is: captions straight into it, no language model, and ears that did not train it.

The judge of what is heard is aiSFX, by the nearest of all kinds' centroids; these come from clips that training never
met. Tempo is measured by counting onsets. Every figure's ceiling is the same judge on real clips.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from nextgpt_core.decoders.audio import AudioDecoder, presentable
from nextgpt_core.decoders.vocoder import DECIBELS, RATE, mel_spectrogram
from nextgpt_core.encoders.sound_effects import SoundEffects
from nextgpt_core.pocket.sounds import spectrograms
from nextgpt_core.pocket.sounds.captions import register_caption, tempo_caption
from nextgpt_core.pocket.sounds.clips import Clips, open_clips, seeded
from nextgpt_core.pocket.sounds.kinds import Kind, load_kinds
from nextgpt_core.pocket.sounds.rows import Row, draw_mixture

SLOW_FAST = 2.85  # onsets a second: between 1.25 and 6.5, the middles of what training calls slow and fast
_SHOWN = 24  # kinds on a sheet of spectrograms
_FRAME, _VOICED, _SEMITONE = 2048, 0.6, 2 ** (1 / 12)  # samples; least autocorrelation of a frame with a pitch
_ATTACK = -0.245  # in a spectrogram: 1e-4 of full scale, below which nothing begins that one would count
_AUDIBLE = 0.05  # in a spectrogram: about 50 dB below the loudest


class KindJudge:
    """Nearest centroid over aiSFX embeddings, less their mean, by cosine. `held_out` (kinds, clips, 512) are real.

    Each clip takes its turn as the one that is judged, by centroids of the others; what was generated is judged by
    each of these sets of centroids too, so that both meet the same judge.
    """

    def __init__(self, held_out: Tensor) -> None:
        count = held_out.shape[1]
        self._real = held_out
        self._without = [(held_out.sum(1) - held_out[:, i]) / (count - 1) for i in range(count)]  # each (kinds, 512)

    def real_scores(self) -> list[Tensor]:
        """(kinds, kinds) for each turn: row k is how near clip k of that turn is to all kinds."""
        return [_cosines(self._real[:, i], centroids) for i, centroids in enumerate(self._without)]

    def scores(self, embeddings: Tensor) -> list[Tensor]:
        """(n, kinds) for each turn, of embeddings (n, 512)."""
        return [_cosines(embeddings, centroids) for centroids in self._without]

    def unravelled(self, parts: Tensor, most: int) -> list[list[int]]:
        """For each turn the `most` likeliest kinds in a mixture, of which parts (p, 512) were heard.

        First the nearest of any part; then by turns the nearest to what that one leaves of the parts and what else is
        near them. That is orthogonal matching pursuit: of two kinds at once, one as a rule drowns the other.
        """
        found = []
        for centroids in self._without:
            kinds, heard = (normalize(part - centroids.mean(0), dim=-1) for part in (centroids, parts))
            near = (heard @ kinds.T).amax(0)
            axis = kinds[near.argmax()]
            left, others = (part - (part @ axis)[:, None] * axis for part in (heard, kinds))
            beside = (normalize(left, dim=-1) @ normalize(others, dim=-1).T).amax(0)
            beside[near.argmax()] = -torch.inf
            by_turns = torch.stack([near.argsort(descending=True), beside.argsort(descending=True)], 1).flatten()
            found.append(list(dict.fromkeys(by_turns.tolist()))[:most])
        return found


@dataclass(frozen=True)
class Hearing:
    """The judge's encoder, with what it heard of the held-out clips."""

    encoder: SoundEffects
    clips: Clips
    kinds: tuple[Kind, ...]
    held_out: Tensor  # (kinds, clips, 512)

    def embed(self, waves: Sequence[np.ndarray]) -> Tensor:
        """(n, 512)."""
        return torch.stack([self.encoder.embed(wave, RATE) for wave in tqdm(waves, desc="listening", leave=False)])

    def embed_parts(self, waves: Sequence[np.ndarray]) -> Tensor:
        """(n, 3, 512): the whole sound and its halves."""
        half = len(waves[0]) // 2
        return torch.stack([self.embed(waves), *(self.embed([w[part] for w in waves]) for part in _halves(half))], 1)


def open_hearing(encoder: SoundEffects, folder: Path) -> Hearing:
    """Reads the clips that `data sounds` built; their embeddings are kept beside them."""
    clips = open_clips(folder / "clips")
    present = {clip.kind for clip in clips.clips}
    kinds = tuple(kind for kind in load_kinds() if kind.name in present)
    rows = [clips.rows(held_out=True, kind=kind.name) for kind in kinds]
    path = folder / "held_out.npy"
    hearing = Hearing(encoder, clips, kinds, torch.empty(0))
    if not path.is_file() or np.load(path, mmap_mode="r").shape[:2] != (len(kinds), len(rows[0])):
        heard = hearing.embed([clips.wave(row) for group in rows for row in group])
        np.save(path, heard.unflatten(0, (len(kinds), -1)).numpy())
    return Hearing(encoder, clips, kinds, torch.from_numpy(np.load(path)))


def evaluate_audio(
    decoder: AudioDecoder,
    encoder: SoundEffects,
    folder: Path,
    cases: int = 60,
    tempo_kinds: int = 40,
    sheet: Path | None = None,
) -> dict[str, Any]:
    """One object of figures, shares from 0 to 1; `folder` is what `data sounds` built.

    `sheet` is a picture file to be drawn: spectrograms of held-out sounds, below each what was made of its words.
    """
    hearing = open_hearing(encoder, folder)
    judge = KindJudge(hearing.held_out)

    def play(captions: Sequence[str], seed: int) -> list[np.ndarray]:
        return [
            presentable(decoder.generate(decoder.embed_text([caption]), seed=seed + i))
            for i, caption in enumerate(tqdm(captions, desc="sounds", leave=False))
        ]

    condition = decoder.embed_text(["rain"])
    decoder.generate(condition)  # the first run warms up
    began = time.monotonic()
    decoder.generate(condition)
    seconds = time.monotonic() - began
    made = play([kind.phrases[0] for kind in hearing.kinds], 1000)
    if sheet is not None:
        _draw_sheet(hearing, made, sheet)
    weights = sum(path.stat().st_size for path in decoder.folder.rglob("*.safetensors"))
    scores = judge.scores(hearing.embed(made))
    return {
        "kinds": _kinds(scores, judge.real_scores()),
        "instruments": {
            **_families(hearing.kinds, scores, judge.real_scores()),
            **_tempo(hearing, play, tempo_kinds),
            "register": _register(hearing.kinds, play),
        },
        "mixtures": _mixtures(hearing, judge, play, cases),
        "seconds_per_sound": round(seconds, 2),
        "weights_mb": round(weights / 1e6, 1),
        "vocoder_db": round(vocoder_distance(decoder, hearing), 2),
        "loudest_sample": round(float(max(np.abs(wave).max() for wave in made)), 3),
        "silent": sum(float(np.square(wave).mean()) < 1e-6 for wave in made),
    }


def onsets_per_second(wave: np.ndarray) -> float:
    """How often a sound begins anew: peaks in the rise of its spectrogram, over the time they span."""
    spectrogram = mel_spectrogram(torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None])[0]
    rise = spectrogram.clamp(min=_ATTACK).diff(dim=0).clamp(min=0).mean(1)  # (frames - 1,)
    around = torch.nn.functional.max_pool1d(rise[None], 9, 1, 4)[0]
    usual = torch.nn.functional.avg_pool1d(rise[None], 31, 1, 15, count_include_pad=False)[0]
    peaks = (rise == around) & (rise > 1.6 * usual) & (rise > 0.25 * rise.max())
    return float(peaks.sum()) / (len(wave) / RATE)


def vocoder_distance(decoder: AudioDecoder, hearing: Hearing, count: int = 40) -> float:
    """How far held-out spectrograms are from those of what the vocoder makes of them, in dB, where they are audible."""
    rows = hearing.clips.rows(held_out=True)
    rows = rows[:: max(1, len(rows) // count)][:count]
    given = mel_spectrogram(torch.from_numpy(np.stack([hearing.clips.wave(row) for row in rows])))
    with torch.no_grad():
        made = mel_spectrogram(decoder.pipeline.vocoder(given))
    return float((made - given)[given > _AUDIBLE].abs().mean()) * DECIBELS


def _draw_sheet(hearing: Hearing, made: Sequence[np.ndarray], path: Path) -> None:
    """One kind of so and so many, in their order, so that none is picked."""
    shown = range(0, len(hearing.kinds), -(-len(hearing.kinds) // _SHOWN))
    rows = [hearing.clips.rows(held_out=True, kind=hearing.kinds[i].name)[0] for i in shown]
    real, ours = (
        mel_spectrogram(torch.from_numpy(np.stack(waves).astype(np.float32)))
        for waves in ([hearing.clips.wave(row) for row in rows], [made[i] for i in shown])
    )
    spectrograms.sheet([list(real), list(ours)], [hearing.kinds[i].phrases[0] for i in shown], path, columns=4)


def _kinds(made: list[Tensor], real: list[Tensor]) -> dict[str, float]:
    own = torch.arange(made[0].shape[1])
    figures: dict[str, float] = {"count": len(own)}
    for prefix, group in (("", made), ("ceiling_", real)):
        ranks = torch.stack([(scores > scores[own, own, None]).sum(1) for scores in group])
        figures |= {f"{prefix}top{k}": round(float((ranks < k).float().mean()), 3) for k in (1, 5)}
    return figures


def _families(kinds: Sequence[Kind], made: list[Tensor], real: list[Tensor]) -> dict[str, float]:
    """Among the instruments alone: whether the nearest belongs to the family that was asked for."""
    rows = torch.tensor([i for i, kind in enumerate(kinds) if kind.source == "instrument"])
    families = [kinds[i].family for i in rows]

    def share(group: list[Tensor]) -> float:
        hits = [
            families[int(nearest)] == families[i]
            for scores in group
            for i, nearest in enumerate(scores[rows][:, rows].argmax(1))
        ]
        return round(float(np.mean(hits)), 3)

    return {"family": share(made), "ceiling_family": share(real)}


def _tempo(hearing: Hearing, play: Any, count: int) -> dict[str, float]:
    """Slow and fast asked of as many kinds; right where the onsets are on the right side of SLOW_FAST."""
    kinds = [kind for kind in hearing.kinds if kind.has_tempo]
    kinds = kinds[:: max(1, len(kinds) // count)][:count]
    made = {tempo: play([tempo_caption(kind, tempo) for kind in kinds], 3000) for tempo in ("slow", "fast")}
    clips = hearing.clips
    real = {
        tempo: [clips.wave(row) for row in clips.rows(held_out=True) if clips.clips[row].tempo == tempo]
        for tempo in made
    }

    def share(waves: dict[str, list[np.ndarray]]) -> float:
        right = [
            (onsets_per_second(w) > SLOW_FAST) == (tempo == "fast") for tempo, group in waves.items() for w in group
        ]
        return round(float(np.mean(right)), 3)

    return {"tempo": share(made), "ceiling_tempo": share(real)}


def fundamental(wave: np.ndarray) -> float:
    """Hertz, the median over frames that have one, by autocorrelation; 0 where none has."""
    window = np.hanning(_FRAME)
    found = []
    for first in range(0, len(wave) - _FRAME, _FRAME // 2):
        alike, usual = (
            np.fft.irfft(np.abs(np.fft.rfft(part, 2 * _FRAME)) ** 2)[:_FRAME]
            for part in (wave[first : first + _FRAME] * window, window)
        )
        if alike[0] > 1e-3:
            alike = alike / alike[0] / (usual / usual[0] + 1e-3)
            lags = np.arange(RATE // 2000, RATE // 50)
            peaks = lags[(alike[lags] > alike[lags - 1]) & (alike[lags] >= alike[lags + 1]) & (alike[lags] > _VOICED)]
            if len(peaks):  # of its multiples, which are like it, the shortest is the period
                found.append(RATE / peaks[alike[peaks] > 0.9 * alike[peaks].max()][0])
    return float(np.median(found)) if found else 0.0


def _register(kinds: Sequence[Kind], play: Any) -> float:
    """Low and high asked of every instrument: in what share high is a semitone higher, or more."""
    instruments = [kind for kind in kinds if kind.source == "instrument"]
    low, high = (play([register_caption(kind, register) for kind in instruments], 7000) for register in ("low", "high"))
    right = [fundamental(above) > _SEMITONE * fundamental(below) for below, above in zip(low, high, strict=True)]
    return round(float(np.mean(right)), 3)


def _mixtures(hearing: Hearing, judge: KindJudge, play: Any, count: int) -> dict[str, float]:
    """Two kinds in a pair that training left out: both among the five likeliest of the whole and its halves."""
    rng = seeded("mixtures")
    unseen = hearing.clips.rows(held_out=True)
    rows: list[Row] = [draw_mixture(hearing.clips, unseen, rng, held_out=True) for _ in range(count)]
    names = [kind.name for kind in hearing.kinds]
    pairs = [[names.index(hearing.clips.clips[clip].kind) for clip in row.clips] for row in rows]
    figures = {}
    for prefix, waves in (
        ("", play([row.caption for row in rows], 5000)),
        ("ceiling_", [row.wave(hearing.clips).astype(np.float32) for row in rows]),
    ):
        heard = hearing.embed_parts(waves)
        hits = [set(pair) <= set(five) for i, pair in enumerate(pairs) for five in judge.unravelled(heard[i], 5)]
        figures[f"{prefix}both_in_top5"] = round(float(np.mean(hits)), 3)
    return figures


def _cosines(embeddings: Tensor, centroids: Tensor) -> Tensor:
    mean = centroids.mean(0)
    return normalize(embeddings - mean, dim=-1) @ normalize(centroids - mean, dim=-1).T


def _halves(half: int) -> tuple[slice, slice]:
    return slice(0, half), slice(half, 2 * half)
