"""What synthesised sounds are made of: noise, tones, hits and rooms, as float arrays at 16 kHz.

Every function that draws takes a numpy `Generator`, so that a sound follows from its seed. Kinds register themselves
with `sound`, by the name that `kinds.tsv` gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

RATE = 16_000
LENGTH = 65_536  # samples of a clip: 4.096 s
SECONDS = LENGTH / RATE

Array = np.ndarray
Rng = np.random.Generator
Synthesis = Callable[[Rng], Array]
SYNTHESES: dict[str, Synthesis] = {}


def sound(name: str) -> Callable[[Synthesis], Synthesis]:
    """Registers a function (generator) → (LENGTH,) as the synthesis of a kind."""

    def register(function: Synthesis) -> Synthesis:
        SYNTHESES[name] = function
        return function

    return register


def clock(seconds: float = SECONDS) -> Array:
    """The time of each sample."""
    return np.arange(round(seconds * RATE)) / RATE


def silence() -> Array:
    return np.zeros(LENGTH)


def noise(rng: Rng, low: float = 20, high: float = 8000, slope: float = 0.0, seconds: float = SECONDS) -> Array:
    """Noise of root mean square one between `low` and `high` hertz, falling by `slope` · 3 dB an octave."""
    count = round(seconds * RATE)
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    shape = _passes(frequencies, low, high) * np.maximum(frequencies, 20) ** (-slope / 2)
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
    return wave / (np.sqrt(np.mean(wave**2)) + 1e-9)


def band(wave: Array, low: float = 0, high: float = 8000) -> Array:
    """What of a wave lies between two frequencies, with gentle flanks."""
    return np.fft.irfft(np.fft.rfft(wave) * _passes(np.fft.rfftfreq(len(wave), 1 / RATE), low, high), len(wave))


def formant(wave: Array, centres: Sequence[float], width: float = 0.15) -> Array:
    """A wave as heard through resonances at `centres` hertz, each `width` octaves or so wide."""
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(wave), 1 / RATE), 1))
    shape = sum(np.exp(-(((octaves - np.log2(centre)) / width) ** 2)) / (1 + i) for i, centre in enumerate(centres))
    return np.fft.irfft(np.fft.rfft(wave) * shape, len(wave))


def tone(frequency: float | Array, weights: Sequence[float] = (1.0,), seconds: float = SECONDS) -> Array:
    """A sum of harmonics of a steady or moving frequency; those above the band are left out."""
    frequency = np.broadcast_to(np.asarray(frequency, float), (round(seconds * RATE),))
    phase = np.cumsum(frequency) / RATE
    if len(weights) == 1:
        return weights[0] * np.sin(2 * np.pi * phase)
    heard = min(len(weights), max(1, int(7800 / frequency.max())))
    circle = 2 * np.pi * np.arange(4096) / 4096  # one period as a table: a harmonic more costs nothing
    period = sum(weight * np.sin(i * circle) for i, weight in enumerate(weights[:heard], 1) if weight)
    return period[(phase % 1 * 4096).astype(int)]


def saw(frequency: float | Array, seconds: float = SECONDS, partials: int = 24) -> Array:
    return tone(frequency, [1 / i for i in range(1, partials + 1)], seconds)


def square(frequency: float | Array, seconds: float = SECONDS, partials: int = 23) -> Array:
    return tone(frequency, [i % 2 / i for i in range(1, partials + 1)], seconds)


def swing(hertz: float, seconds: float = SECONDS) -> Array:
    """A sine of a steady frequency from −1 to 1, to move a pitch or a loudness with."""
    return np.sin(2 * np.pi * hertz * clock(seconds))


def pulses(hertz: Array, sharpness: int) -> Array:
    """Positive half waves of a moving frequency, the narrower the sharper: blades, teeth, a purr."""
    return np.maximum(0, np.sin(2 * np.pi * np.cumsum(hertz) / RATE)) ** sharpness


def wander(rng: Rng, rate: float, low: float, high: float, seconds: float = SECONDS) -> Array:
    """A curve that drifts at random between two values, with `rate` turning points a second."""
    knots = max(2, int(seconds * rate) + 3)
    points = rng.uniform(low, high, knots)
    place = clock(seconds) / seconds * (knots - 2)
    first = place.astype(int)
    share = (1 - np.cos(np.pi * (place - first))) / 2
    return points[first] * (1 - share) + points[first + 1] * share


def decay(seconds: float, tau: float, attack: float = 0.002) -> Array:
    """An envelope that rises over `attack` seconds and falls by 1/e every `tau`, to zero at its end."""
    t = clock(seconds)
    tail = np.minimum(1, (seconds - t) / min(0.02, seconds / 4))
    return np.minimum(1, t / attack) * np.exp(-t / tau) * tail


def swell(seconds: float, rise: float = 0.3, fall: float = 0.5) -> Array:
    """An envelope that rises over a share of its length and falls over another."""
    share = clock(seconds) / seconds
    return np.sin(np.pi / 2 * np.clip(np.minimum(share / rise, (1 - share) / fall), 0, 1)) ** 2


def modes(frequencies: Sequence[float], taus: Sequence[float], seconds: float, gains: Sequence[float] = ()) -> Array:
    """What rings when something is struck: decaying partials."""
    t = clock(seconds)
    gains = gains or [1 / (1 + 0.5 * i) for i in range(len(frequencies))]
    rung = [
        g * np.sin(2 * np.pi * f * t) * np.exp(-t / tau)
        for f, tau, g in zip(frequencies, taus, gains, strict=True)
        if f < 7800
    ]
    return np.sum(rung, axis=0) * np.minimum(1, t / 0.001) * np.minimum(1, (seconds - t) / 0.02)


def burst(rng: Rng, low: float, high: float, seconds: float, tau: float, attack: float = 0.002) -> Array:
    """A short noise that dies away: a click, a knock, a splash."""
    return noise(rng, low, high, seconds=seconds) * decay(seconds, tau, attack)


def add(out: Array, grain: Array, second: float, gain: float = 1.0) -> None:
    """Adds a grain to a clip in place; what would lie beyond the end is cut."""
    start = int(second * RATE)
    if 0 <= start < len(out):
        grain = grain[: len(out) - start]
        out[start : start + len(grain)] += gain * grain


def shower(out: Array, rng: Rng, times: Array, make: Callable[[], Array], low: float, high: float) -> None:
    """Adds a grain at each of many times, one of sixteen, with a gain between two values."""
    grains = [make() for _ in range(16)]
    for second, which, gain in zip(
        times, rng.integers(16, size=len(times)), rng.uniform(low, high, len(times)), strict=True
    ):
        add(out, grains[which], second, gain)


def regular(rng: Rng, period: float, jitter: float = 0.02, start: float | None = None) -> Array:
    """Times of a beat within a clip, each off by a share of the period."""
    first = rng.uniform(0.05, min(period, 0.5)) if start is None else start
    times = np.arange(first, SECONDS - 0.05, period)
    return np.clip(times + rng.normal(0, jitter * period, len(times)), 0, SECONDS)


def scattered(rng: Rng, rate: float) -> Array:
    """Times of events that know nothing of each other, `rate` a second."""
    return np.sort(rng.uniform(0, SECONDS, max(1, rng.poisson(rate * SECONDS))))


def lasting(rng: Rng, times: Array, shortest: float, longest: float) -> Iterator[tuple[float, float]]:
    """Each time, and how many seconds what begins there lasts, which is drawn when its turn has come."""
    for second in times:
        yield second, rng.uniform(shortest, longest)


def room(wave: Array, rng: Rng, seconds: float, wet: float = 0.3) -> Array:
    """A wave with the echo of a room of a reverberation time."""
    tail = noise(rng, 80, 5000, 0.6, seconds) * np.exp(-6.9 * clock(seconds) / seconds)
    count = len(wave) + len(tail)
    echo = np.fft.irfft(np.fft.rfft(wave, count) * np.fft.rfft(tail, count), count)[: len(wave)]
    return wave + wet * echo * (np.abs(wave).max() + 1e-9) / (np.abs(echo).max() + 1e-9)


def drive(wave: Array, amount: float) -> Array:
    """Soft overload."""
    return np.tanh(amount * wave / (np.abs(wave).max() + 1e-9))


def _passes(frequencies: Array, low: float, high: float) -> Array:
    rise = 1 / (1 + (low / np.maximum(frequencies, 1e-3)) ** 6) if low > 0 else 1.0
    return rise / (1 + (frequencies / high) ** 8)
