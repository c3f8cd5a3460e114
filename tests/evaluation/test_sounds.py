"""The judges of sounds, each on something whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nextgpt_core.evaluation.sounds import SLOW_FAST, KindJudge, _kinds, fundamental, onsets_per_second
from nextgpt_core.pocket.sounds.instruments import TEMPOS
from nextgpt_core.pocket.sounds.waves import SECONDS, add, burst, decay, silence, tone


def clustered(kinds: int = 12, clips: int = 4, spread: float = 0.2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(kinds, 1, 512, generator=generator)
    return centres + spread * torch.randn(kinds, clips, 512, generator=generator) + 5


def test_kinds_far_apart_are_told_apart_and_noise_is_not():
    held_out = clustered()
    judge = KindJudge(held_out)
    figures = _kinds(judge.scores(held_out[:, 0]), judge.real_scores())
    assert figures == {"count": 12, "top1": 1.0, "top5": 1.0, "ceiling_top1": 1.0, "ceiling_top5": 1.0}
    noise = torch.randn(12, 512, generator=torch.Generator().manual_seed(1))
    assert _kinds(judge.scores(noise), judge.real_scores())["top1"] < 0.4


def test_a_clip_is_never_judged_by_itself():
    """With clips that have nothing in common, a centroid that held the clip would recognise it every time."""
    held_out = torch.randn(40, 2, 512, generator=torch.Generator().manual_seed(0))
    judge = KindJudge(held_out)
    assert _kinds(judge.real_scores(), judge.real_scores())["top1"] < 0.2


def test_both_sounds_are_found_in_parts_of_their_own_and_where_one_drowns_the_other():
    held_out = clustered()
    judge = KindJudge(held_out)
    in_turn = torch.stack([held_out[3, 0], held_out[7, 0], held_out[3, 0] + held_out[7, 0] - 5])
    at_once = (0.8 * held_out[3, 0] + 0.2 * held_out[7, 0])[None]
    for parts in (in_turn, at_once):
        for found in judge.unravelled(parts, 5):
            assert set(found[:2]) == {3, 7} and len(set(found)) == 5
    assert all(7 not in found for found in judge.unravelled(held_out[3, :1], 2))


@pytest.mark.parametrize("rate", [1.0, 1.5, 2.5, 5.5, 7.0])
def test_onsets_are_counted(rate):
    rng, out = np.random.default_rng(0), silence()
    for second in np.arange(0.1, SECONDS - 0.1, 1 / rate):
        add(
            out,
            0.4 * tone(440.0, (1, 0.5, 0.3), 0.3) * decay(0.3, 0.06) + 0.05 * burst(rng, 500, 5000, 0.3, 0.01),
            second,
        )
    assert onsets_per_second(out.astype(np.float32)) == pytest.approx(rate, rel=0.2)
    assert TEMPOS["slow"][1] < SLOW_FAST < TEMPOS["fast"][0]


@pytest.mark.parametrize("hertz", [82.0, 220.0, 880.0])
def test_the_fundamental_is_heard_below_its_overtones_and_none_in_noise(hertz):
    wave = 0.2 * tone(hertz, (0.6, 1, 0.8, 0.4), SECONDS)
    assert fundamental(wave.astype(np.float32)) == pytest.approx(hertz, rel=0.02)
    assert fundamental(0.1 * np.random.default_rng(0).standard_normal(len(wave))) == 0
