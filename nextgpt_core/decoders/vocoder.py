"""The pocket decoders' vocoder: log-mel spectrograms to 16 kHz waveforms, by iteration; nothing in it is trained.

First a spectrum that has these mel bands: Richardson's (1972) and Lucy's (1974) multiplicative updates, without which
each overtone is smeared over its neighbours. Then phases, by Griffin and Lim's (1984) projections, after each of which
the spectrum that a waveform can really have is fitted to the bands once more. All work is at frame rate, so that it
costs next to nothing. It offers what diffusers' AudioLDM pipeline asks of a vocoder.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

RATE, HOP, WINDOW, BANDS = 16_000, 256, 1024, 64
_LOW, _HIGH = 40.0, 8000.0  # hertz
_FLOOR, _SPAN = 1e-6, 6.1  # magnitudes below are silence; natural logarithms from the middle to either end
_SILENCE = 1e-8  # what the vocoder makes of it
_LOUDEST = math.exp(2)
DECIBELS = _SPAN * 20 / math.log(10)  # that a difference of one in a spectrogram means


class SpectralVocoder(ModelMixin, ConfigMixin):
    """Spectrograms as `mel_spectrogram` gives them (b, frames, model_in_dim) → waveforms (b, frames · hop).

    `upsample_rates` multiply to the hop; the pipeline reads them, `sampling_rate` and `model_in_dim` from the config.
    `sharpenings` is how often the spectrum is fitted to the bands, `rounds` how often the phases are projected.
    """

    @register_to_config
    def __init__(
        self,
        model_in_dim: int = BANDS,
        sampling_rate: int = RATE,
        upsample_rates: tuple[int, ...] = (HOP,),
        window: int = WINDOW,
        sharpenings: int = 10,
        rounds: int = 12,
    ) -> None:
        super().__init__()
        filters = mel_filters(model_in_dim, window)
        lift = (filters / filters.sum(1, keepdim=True).clamp(min=1e-6)).T
        self.register_buffer("filters", filters, persistent=False)  # (bins, model_in_dim)
        self.register_buffer("lift", lift.contiguous(), persistent=False)

    def forward(self, spectrogram: Tensor) -> Tensor:
        bands, magnitude = _bands(spectrogram), self.magnitudes(spectrogram)
        # Any phases will do to begin with, but the same ones each time.
        angle = torch.rand(magnitude.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 * math.pi
        phase = torch.polar(torch.ones_like(angle), angle).to(magnitude.device).expand_as(magnitude)
        for _ in range(self.config.rounds):
            spectrum = self._stft(self.to_waveform(magnitude, phase))
            magnitude, phase = self._fitted(spectrum.abs() + _SILENCE, bands), _unit(spectrum)
        return self.to_waveform(magnitude, phase)

    def magnitudes(self, spectrogram: Tensor) -> Tensor:
        """(b, frames, bins), whose mel bands are those of the spectrogram as nearly as may be.

        Silence is really silent: the faintest noise in all bins drowns what a listener compares, in pauses and above a
        sound's highest tone.
        """
        bands = _bands(spectrogram)
        magnitude = bands @ self.lift + _SILENCE
        for _ in range(self.config.sharpenings):
            magnitude = self._fitted(magnitude, bands)
        return magnitude

    def to_waveform(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """(b, frames · hop). A frame too many at the end makes up for the centring."""
        hop = math.prod(self.config.upsample_rates)
        spectrum = magnitude * phase
        spectrum = torch.cat([spectrum, spectrum[:, -1:]], 1).transpose(1, 2)
        window = _window(self.config.window).to(spectrum.device)
        return torch.istft(spectrum, self.config.window, hop, window=window, length=(spectrum.shape[2] - 1) * hop)

    def _fitted(self, magnitude: Tensor, bands: Tensor) -> Tensor:
        """One multiplicative update towards magnitudes that have these bands."""
        fitted = magnitude * ((bands / (magnitude @ self.filters + _SILENCE)) @ self.lift)
        return fitted.clamp(_SILENCE, _LOUDEST)

    def _stft(self, waveform: Tensor) -> Tensor:
        return stft(waveform, self.config.window, math.prod(self.config.upsample_rates))[:, :-1]


def mel_spectrogram(waveform: Tensor) -> Tensor:
    """(b, n) in −1…1 at 16 kHz → (b, n / 256, 64): the log magnitude in mel bands, silence −1, the loudest about 1."""
    magnitude = stft(waveform, WINDOW, HOP)[:, :-1].abs() @ mel_filters(BANDS, WINDOW).to(waveform.device)
    return (magnitude.clamp(min=_FLOOR).log() - math.log(_FLOOR) - _SPAN) / _SPAN


def _bands(spectrogram: Tensor) -> Tensor:
    """What `mel_spectrogram` took the logarithm of, silence being nearly nothing."""
    return ((spectrogram.float() * _SPAN + math.log(_FLOOR) + _SPAN).exp() - _FLOOR).clamp(min=0) + _SILENCE


def stft(waveform: Tensor, window: int, hop: int) -> Tensor:
    """(b, n) → complex (b, n / hop + 1, window / 2 + 1), a sine of amplitude one having a magnitude of about a half."""
    spectrum = torch.stft(waveform, window, hop, window=_window(window).to(waveform.device), return_complex=True)
    return spectrum.transpose(1, 2)


@cache
def mel_filters(bands: int, window: int) -> Tensor:
    """(window / 2 + 1, bands): triangles, evenly spaced on HTK's mel scale, each summing to one."""
    bins = torch.linspace(0, RATE / 2, window // 2 + 1)
    mel = 2595 * torch.log10(1 + bins / 700)
    ends = [2595 * math.log10(1 + hertz / 700) for hertz in (_LOW, _HIGH)]
    edges = torch.linspace(*ends, bands + 2)
    rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    # Bands at the bottom are narrower than a bin: each has at least the bin that is nearest to it.
    nearest = (mel[:, None] - edges[1:-1]).abs().argmin(0)
    filters[nearest, torch.arange(bands)] = filters[nearest, torch.arange(bands)].clamp(min=0.3)
    return filters / filters.sum(0)


@cache
def _window(length: int) -> Tensor:
    """Hann's, scaled so that a spectrum's magnitudes do not depend on its length; `istft` divides by it again."""
    window = torch.hann_window(length)
    return window / window.sum()


def _unit(spectrum: Tensor) -> Tensor:
    return spectrum / spectrum.abs().clamp(min=1e-7)
