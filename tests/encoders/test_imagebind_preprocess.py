"""What ImageBind is shown: filter banks against Kaldi's, clips and crops against values worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nextgpt_core.encoders.imagebind_preprocess import (
    MEAN,
    STD,
    audio_clips,
    clip_starts,
    filter_bank,
    frame_pairs,
    image_pixels,
    video_views,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "kaldi_fbank.safetensors"


def test_filter_bank_is_kaldis():
    golden = load_file(GOLDEN)
    ours = filter_bank(golden["waveform"][0])
    assert ours.shape == (198, 128)
    # The reference adds up in float32, so the faintest bands, near e^-16, are uncertain in the third digit.
    torch.testing.assert_close(ours, golden["fbank"], atol=2e-3, rtol=0)
    loud = golden["fbank"] > -10
    assert loud.float().mean() > 0.9
    torch.testing.assert_close(ours[loud], golden["fbank"][loud], atol=5e-4, rtol=0)


def test_filter_bank_does_not_hear_a_constant():
    samples = load_file(GOLDEN)["waveform"][0]
    torch.testing.assert_close(filter_bank(samples + 0.25), filter_bank(samples), atol=0.02, rtol=0)


def test_clips_start_evenly_but_end_early():
    assert clip_starts(Fraction(10), 5) == [Fraction(text) for text in ("0", "1.6", "3.2", "4.8", "6.4")]
    assert clip_starts(Fraction(3, 2), 3) == [0, 0, 0]


@pytest.mark.parametrize(
    ("count", "rate", "pairs"),
    [
        (100, Fraction(10), [(0, 19), (16, 35), (32, 51), (48, 67), (64, 83)]),
        (8, Fraction(8), [(0, 7)] * 5),
        (1, Fraction(25), [(0, 0)] * 5),
        # 4.004 s: starts at multiples of 0.4008 s, so of 12.012 frames, rounded up; 2 s are 59.94 frames
        (120, Fraction(30000, 1001), [(0, 59), (13, 71), (25, 83), (37, 95), (49, 107)]),
    ],
)
def test_a_clip_shows_the_first_and_last_frame_of_its_two_seconds(count, rate, pairs):
    assert frame_pairs(count, rate) == pairs


def test_of_an_image_the_middle_is_seen():
    pixels = np.random.default_rng(0).integers(0, 255, (224, 449, 3), np.uint8)
    seen = image_pixels(Image.fromarray(pixels)) * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    expected = torch.from_numpy(pixels[:, 112:336]).permute(2, 0, 1) / 255
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize(("width", "height"), [(300, 900), (900, 300), (31, 1000), (100, 100)])
def test_images_of_any_shape_become_one_size(width, height):
    plain = image_pixels(Image.new("RGB", (width, height), (255, 0, 0)))
    assert plain.shape == (3, 224, 224)
    red = torch.tensor([(1 - MEAN[0]) / STD[0], -MEAN[1] / STD[1], -MEAN[2] / STD[2]])
    torch.testing.assert_close(plain, red.view(3, 1, 1).expand_as(plain))


@pytest.mark.parametrize("tall", [False, True])
def test_of_a_clip_both_ends_and_the_middle_are_seen(tall):
    frames = torch.randint(0, 255, (5, 2, 224, 325, 3), dtype=torch.uint8)  # clips, frames, h, w, channels
    views = video_views(frames.transpose(2, 3).contiguous() if tall else frames)
    assert views.shape == (15, 3, 2, 224, 224)
    views = views.transpose(3, 4) if tall else views
    scaled = views * torch.tensor(STD).view(3, 1, 1, 1) + torch.tensor(MEAN).view(3, 1, 1, 1)
    for clip in range(5):
        for crop, left in enumerate((0, 51, 101)):
            expected = frames[clip, :, :, left : left + 224].permute(3, 0, 1, 2) / 255
            torch.testing.assert_close(scaled[3 * clip + crop], expected)


def test_sounds_become_three_clips_with_silence_behind():
    samples = torch.randn(16_000 * 5)
    clips = audio_clips(samples)
    assert clips.shape == (3, 1, 128, 204)
    torch.testing.assert_close(clips[..., 198:], torch.full((3, 1, 128, 6), 4.268 / 9.138))
    second = filter_bank(samples[16_000 : 3 * 16_000])  # clips start at 0, 1 and 2 seconds
    torch.testing.assert_close(clips[1, 0, :, :198], (second.T + 4.268) / 9.138)


@pytest.mark.parametrize("length", [0, 100, 400, 16_000])
def test_short_sounds_are_padded(length):
    clips = audio_clips(torch.randn(length))
    frames = max(0, 1 + (length - 400) // 160)
    assert clips.shape == (3, 1, 128, 204)
    assert torch.equal(clips[0], clips[2])
    torch.testing.assert_close(clips[..., frames:], torch.full((3, 1, 128, 204 - frames), 4.268 / 9.138))
