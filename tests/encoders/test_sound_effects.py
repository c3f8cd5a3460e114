"""aiSFX: the spectrogram against a second way of computing it, blocks, rows, and bells that sound like bells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.encoders import build_encoder
from nextgpt_core.encoders.sound_effects import BLOCK, HOP, RATE, WIDTH, WINDOW, Network, SoundEffects, resample
from tests.encoders.pocket_weights import EXAMPLES, pocket_encoder
from tests.media_files import moving_bar, tone, write_container


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> SoundEffects:
    """Random weights in the published file's form: a pair, whose second part lists training sets by numpy's numbers."""
    torch.manual_seed(0)
    network = Network()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    state = {f"embedding_net.{name}": value for name, value in network.state_dict().items()}
    state["fc.0.0.weight"] = torch.zeros(256, 512)
    path = tmp_path_factory.mktemp("weights") / "checkpoint.pth"
    torch.save((state, {"prosfx": (np.int64(0), 78)}), path)
    return build_encoder("sound-effects", path)


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32))


def test_weights_are_read_without_trusting_them(encoder):
    assert sum(p.numel() for p in encoder.network.parameters()) == 4_686_144
    assert not any(p.requires_grad for p in encoder.network.parameters())


def test_the_spectrogram_is_essentias(encoder):
    """Frame by frame and band by band, as Essentia's MelBands documents: htkMel, warping, unit_sum, power."""
    sound = noise(0.3).numpy() + 0.5 * np.sin(np.arange(round(0.3 * RATE)) * 0.1).astype(np.float32)
    got = encoder.spectrogram(torch.from_numpy(sound)).numpy()
    assert got.shape == (-(-len(sound) // HOP) + 1, 96)
    padded = np.concatenate([np.zeros(WINDOW // 2), sound, np.zeros(WINDOW)])
    hertz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    edges = 700 * np.expm1(np.linspace(0, 1127 * np.log1p(RATE / 2 / 700), 98) / 1127)
    for frame in (0, 5, len(got) - 2):
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
        power = np.abs(np.fft.rfft(padded[frame * HOP : frame * HOP + WINDOW] * window)) ** 2
        for band in (0, 1, 30, 95):
            low, centre, high = edges[band : band + 3]
            weights = np.zeros(len(hertz))
            for i, f in enumerate(hertz):
                if low <= f < centre:
                    weights[i] = np.log((700 + f) / (700 + low)) / np.log((700 + centre) / (700 + low))
                elif centre <= f < high:
                    weights[i] = np.log((700 + high) / (700 + f)) / np.log((700 + high) / (700 + centre))
            expected = np.log10(1 + 1e4 * (weights @ power) / weights.sum()) / 9.457798957824707
            assert got[frame, band] == pytest.approx(expected, abs=1e-5)
    assert encoder.spectrogram(torch.zeros(5000)).count_nonzero() == 0


@pytest.mark.parametrize(("frames", "blocks"), [(1, 1), (60, 1), (100, 1), (149, 1), (150, 2), (200, 3), (249, 3)])
def test_blocks_overlap_by_half_and_short_sounds_end_in_silence(encoder, frames, blocks):
    sound = noise((frames - 1) * HOP / RATE)
    spectrogram, got = encoder.spectrogram(sound), encoder.blocks(sound)
    assert len(spectrogram) == frames and got.shape == (blocks, BLOCK, 96)
    assert torch.equal(got[0, : min(frames, BLOCK)], spectrogram[:BLOCK])
    assert torch.equal(got[-1], spectrogram[(blocks - 1) * 50 :][:BLOCK]) or frames < BLOCK
    assert got[0, frames:].count_nonzero() == 0


def test_rows_are_mean_and_maximum_whatever_the_batch(encoder):
    sounds = [encoder.blocks(noise(seconds, seed)) for seed, seconds in enumerate((0.2, 4.0))]
    rows = encoder.encode(sounds)
    assert rows.shape == (2, encoder.rows["audio"], WIDTH) == (2, 2, encoder.dim)
    assert not rows.is_inference()
    with torch.no_grad():
        each = encoder.network(sounds[1])
    assert torch.allclose(rows[1, 0], each.mean(0), atol=1e-4)
    assert torch.allclose(rows[1, 1], each.amax(0), atol=1e-4)
    assert torch.allclose(encoder.encode(sounds[:1])[0], rows[0], atol=1e-4)


def test_a_files_sound_and_a_videos(encoder, tmp_path):
    clip = write_container(tmp_path / "clip.mp4", moving_bar(8), tone(1.0, RATE), format="mp4", rate=RATE)
    media.write_audio(tone(1.0, RATE), RATE, tmp_path / "tone.wav", {})
    of_video = encoder.load(Media("video", clip))
    of_sound = encoder.load(Media("audio", tmp_path / "tone.wav"))
    assert of_video.shape == of_sound.shape == (1, BLOCK, 96)
    assert (of_video - of_sound)[0, 4:40].abs().mean() < 0.03  # AAC is lossy


def test_embedding_a_waveform_of_another_rate(encoder):
    sound = tone(3.0, 16_000)
    rows = encoder.embed(tone(3.0, RATE), RATE)
    assert rows.shape == (WIDTH,)
    assert torch.allclose(encoder.embed(sound, 16_000), rows, atol=0.05 * rows.abs().max())


def test_resampling_keeps_what_both_rates_hold():
    low, high = tone(1.0, 16_000, 1000.0), tone(1.0, 48_000, 1000.0)
    assert np.abs(resample(torch.from_numpy(low), 48_000).numpy() - high).max() < 1e-4
    assert np.abs(resample(torch.from_numpy(high), 16_000).numpy() - low).max() < 1e-4
    above = tone(1.0, 48_000, 12_000.0)  # more than a rate of 16 kHz can hold
    assert resample(torch.from_numpy(above), 16_000).abs().max() < 1e-3


def test_real_weights_hear_bells():
    encoder = pocket_encoder("sound-effects")
    bells = media.read_audio(EXAMPLES / "bells.wav", RATE)
    half = len(bells) // 2
    first, second = encoder.embed(bells[:half], RATE), encoder.embed(bells[half:], RATE)
    rain = encoder.embed(noise(2.0), RATE)
    alike = nn.functional.cosine_similarity
    assert alike(first, second, dim=0) > alike(first, rain, dim=0) + 0.1
