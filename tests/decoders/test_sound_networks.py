"""The mel spectrogram, the vocoder and the autoencoder of the pocket audio decoder, each against something known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nextgpt_core.decoders.audio import LastSteps, presentable
from nextgpt_core.decoders.mel_autoencoder import MelAutoencoder
from nextgpt_core.decoders.vocoder import BANDS, HOP, RATE, WINDOW, SpectralVocoder, mel_filters, mel_spectrogram, stft
from nextgpt_core.pocket.denoiser_task import new_scheduler


def sine(hertz: float, seconds: float = 1.024) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)[None]


def test_spectrograms_show_pitch_loudness_and_silence():
    low, high = (mel_spectrogram(0.5 * sine(hertz))[0] for hertz in (300, 3000))
    assert low.shape == (64, BANDS)
    assert (low[10:-10].argmax(1) < high[10:-10].argmax(1)).all()
    assert mel_spectrogram(torch.zeros(1, 4 * HOP)).eq(-1).all()
    louder = mel_spectrogram(sine(300))[0]
    step = (louder - low)[10:-10, low[20].argmax()]
    torch.testing.assert_close(step, torch.full_like(step, np.log(2) / 6.1), atol=1e-3, rtol=0)
    assert louder.max() < 1.3


def test_magnitudes_do_not_depend_on_the_window():
    peaks = [float(stft(sine(1000), window, window // 4).abs()[0, 8:-8].max()) for window in (512, 1024, 2048)]
    assert peaks == pytest.approx([0.5] * 3, abs=0.01)


def test_filters_cover_the_band_without_gaps():
    filters = mel_filters(BANDS, WINDOW)
    torch.testing.assert_close(filters.sum(0), torch.ones(BANDS))
    hertz = torch.linspace(0, RATE / 2, len(filters))
    assert (filters[(hertz > 60) & (hertz < 7900)].sum(1) > 0).all()


def test_a_spectrum_becomes_its_waveform_again():
    vocoder = SpectralVocoder()
    wave = 0.3 * sine(700) + 0.1 * torch.randn(1, 16384, generator=torch.Generator().manual_seed(0))
    spectrum = stft(wave, WINDOW, HOP)[:, :-1]
    made = vocoder.to_waveform(spectrum.abs(), spectrum / spectrum.abs())
    assert made.shape == wave.shape
    torch.testing.assert_close(made[:, : -2 * HOP], wave[:, : -2 * HOP], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_sound_is_sung_in_tune():
    given = mel_spectrogram(0.5 * sine(1000))
    made = SpectralVocoder()(given)
    spectrum = np.abs(np.fft.rfft(made[0].numpy()))
    assert spectrum.argmax() * RATE / made.shape[1] == pytest.approx(1000, abs=40)
    assert (mel_spectrogram(made) - given)[0, 5:-5].abs().mean() < 0.25
    assert torch.equal(SpectralVocoder()(given), made)


@torch.no_grad()
def test_spectra_are_sharpened_until_their_bands_are_those_that_were_given():
    """Overtones come apart that share bands, and what was given is found again by the filters that made it."""
    given = mel_spectrogram(sum(0.2 * sine(hertz) for hertz in (400, 500, 620, 2000, 2500)))
    filters = mel_filters(BANDS, WINDOW)
    blurred, sharp = (SpectralVocoder(sharpenings=count).magnitudes(given)[0, 10:-10] for count in (0, 30))
    bands = ((given * 6.1 + np.log(1e-6) + 6.1).exp() - 1e-6).clamp(min=0)[0, 10:-10]
    distance = [float((part @ filters - bands).abs().sum() / bands.sum()) for part in (blurred, sharp)]
    assert distance[1] < 0.05 < 0.3 < distance[0]


@torch.no_grad()
def test_silence_is_silent_beside_a_tone() -> None:
    """Noise in a pause, however faint, is what a listener's logarithms make the most of."""
    time = torch.arange(64 * HOP) / RATE
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * time) * (time < 0.5)
    made = SpectralVocoder()(mel_spectrogram(tone[None]))[0]
    assert made[: RATE // 2].abs().max() > 0.3
    assert made[3 * RATE // 4 :].abs().max() < 1e-4


def test_the_way_in_and_back_is_exact_when_latents_suffice():
    """Spectrograms of four known patches have four principal components."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(4, 16, 16, generator=generator)
    weights = torch.randn(20, 4, 4, 4, generator=generator)  # (n, component, rows, columns)
    spectrograms = torch.einsum("nkij,kab->niajb", weights, patches).reshape(20, 1, 64, 64)
    network = MelAutoencoder(4).eval()
    network.start_from_patches(spectrograms)
    with torch.no_grad():
        latents = network.encode(spectrograms).latent
        torch.testing.assert_close(network(spectrograms), spectrograms, atol=2e-3, rtol=0)
    assert latents.shape == (20, 4, 4, 4)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(4), atol=0.02, rtol=0)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)


def test_what_is_presented_neither_clips_nor_clicks():
    loud = presentable(np.full(2000, 1.7, np.float32))
    assert np.abs(loud).max() == pytest.approx(0.95) and abs(loud[0]) < 0.02 and abs(loud[-1]) < 0.02
    quiet = np.full(2000, 0.1, np.float32)
    np.testing.assert_array_equal(presentable(quiet)[200:-200], quiet[200:-200])


def test_only_the_last_steps_of_a_schedule_are_walked():
    whole = new_scheduler()
    last = LastSteps.from_config(whole.config)
    for strength, steps, all_steps in ((1.0, 6, 6), (0.4, 6, 15)):
        last.strength = strength
        last.set_timesteps(steps)
        whole.set_timesteps(all_steps)
        assert torch.equal(last.timesteps, whole.timesteps[-steps:])
        sample, velocity = torch.randn(2, 1, 4, 4)
        for time in last.timesteps:
            made, expected = (scheduler.step(velocity, time, sample).prev_sample for scheduler in (last, whole))
            torch.testing.assert_close(made, expected)


@torch.no_grad()
def test_what_is_faint_is_heard_and_not_taken_for_silence():
    """A tail 90 dB below the loudest is what a listener's logarithms hear after a note."""
    faint = 1e-4 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    shown = mel_spectrogram(faint)
    assert shown.mean() > -0.9
    made = SpectralVocoder()(shown)
    assert float(made[:, WINDOW:-WINDOW].std()) == pytest.approx(1e-4, rel=0.3)
