"""Weather, water, fire and the animals that can be synthesised."""

from __future__ import annotations

import numpy as np

from nextgpt_core.pocket.sounds.waves import (
    SECONDS,
    Array,
    Rng,
    add,
    band,
    burst,
    clock,
    decay,
    formant,
    lasting,
    noise,
    pulses,
    regular,
    room,
    saw,
    scattered,
    shower,
    silence,
    sound,
    swell,
    swing,
    tone,
    wander,
)


@sound("rain")
def rain(rng: Rng) -> Array:
    out = 0.12 * noise(rng, 900, 7500, rng.uniform(-0.2, 0.3)) * wander(rng, 1, 0.8, 1.1)
    times = scattered(rng, rng.uniform(90, 200))
    shower(out, rng, times, lambda: burst(rng, rng.uniform(1200, 4000), 7800, 0.02, 0.004), 0.03, 0.25)
    return out


@sound("heavy rain")
def heavy_rain(rng: Rng) -> Array:
    out = 0.5 * noise(rng, 250, 7800, rng.uniform(0.2, 0.6)) * wander(rng, 1, 0.85, 1.1)
    times = scattered(rng, 250)
    shower(out, rng, times, lambda: burst(rng, rng.uniform(500, 2500), 7000, 0.02, 0.005), 0.05, 0.3)
    return out


@sound("wind")
def wind(rng: Rng) -> Array:
    gusts = wander(rng, rng.uniform(0.6, 1.2), 0.25, 1.0)
    low = band(noise(rng, 60, rng.uniform(400, 900), 1.0), 40, 1200)
    return low * gusts + 0.1 * noise(rng, 300, 2000, 1) * gusts**2


@sound("howling wind")
def howling_wind(rng: Rng) -> Array:
    pitch = wander(rng, 1.0, 380, 900) * rng.uniform(0.8, 1.2)
    whistle = tone(pitch * (1 + 0.02 * noise(rng, 1, 25)), (1, 0.15)) * wander(rng, 1.2, 0.05, 1) ** 2
    return whistle + 0.35 * noise(rng, 80, 900, 1) * wander(rng, 1, 0.3, 1)


@sound("ocean waves")
def ocean_waves(rng: Rng) -> Array:
    out = 0.12 * noise(rng, 80, 3000, 1.2)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(1.7, 2.6), 0.1, rng.uniform(-0.3, 0.5)), 2.2, 3.2):
        wave = noise(rng, 150, 6500, 0.8, seconds) * swell(seconds, rng.uniform(0.25, 0.45), 0.55)
        add(out, wave, max(0, second), rng.uniform(0.7, 1))
    return out


@sound("thunder")
def thunder(rng: Rng) -> Array:
    out = 0.02 * noise(rng, 30, 300, 1)
    start = rng.uniform(0.05, 0.7)
    add(out, burst(rng, 100, rng.uniform(1500, 5000), 0.6, 0.12, 0.01), start, rng.uniform(0.3, 1))
    for _ in range(rng.integers(4, 9)):
        seconds = rng.uniform(0.8, 2)
        rumble = noise(rng, 25, rng.uniform(120, 320), 1, seconds) * swell(seconds, 0.15, 0.8)
        add(out, rumble, start + rng.uniform(0, 1.8), rng.uniform(0.3, 1))
    return out


@sound("thunderstorm")
def thunderstorm(rng: Rng) -> Array:
    return thunder(rng) + rng.uniform(0.15, 0.35) * heavy_rain(rng)


@sound("stream")
def stream(rng: Rng) -> Array:
    out = 0.12 * noise(rng, 300, 5000, 0.7) * wander(rng, 3, 0.7, 1)
    times = scattered(rng, rng.uniform(45, 90))
    shower(out, rng, times, lambda: _bubble(rng, rng.uniform(350, 1600), rng.uniform(0.03, 0.09)), 0.1, 0.5)
    return out


@sound("waterfall")
def waterfall(rng: Rng) -> Array:
    return noise(rng, 60, 5500, rng.uniform(0.7, 1.0)) * wander(rng, 4, 0.92, 1.05)


@sound("dripping water")
def dripping(rng: Rng) -> Array:
    out = silence()
    pitch = rng.uniform(700, 1500)
    for second in regular(rng, rng.uniform(0.35, 0.9), 0.12):
        add(out, _bubble(rng, pitch * rng.uniform(0.85, 1.2), rng.uniform(0.05, 0.12)), second, rng.uniform(0.5, 1))
    return room(out, rng, rng.uniform(0.4, 1.4), 0.25)


@sound("bubbles")
def bubbles(rng: Rng) -> Array:
    out = silence()
    for second in scattered(rng, rng.uniform(8, 18)):
        add(out, _bubble(rng, rng.uniform(180, 600), rng.uniform(0.06, 0.16)), second, rng.uniform(0.3, 1))
    return out


@sound("boiling water")
def boiling(rng: Rng) -> Array:
    out = 0.15 * noise(rng, 100, 2500, 0.8)
    times = scattered(rng, 110)
    shower(out, rng, times, lambda: _bubble(rng, rng.uniform(120, 500), rng.uniform(0.02, 0.06)), 0.2, 0.8)
    return out


@sound("splash")
def splash(rng: Rng) -> Array:
    out = 0.01 * noise(rng, 200, 2000, 1)
    for second in regular(rng, rng.uniform(1.4, 2.2), 0.1, rng.uniform(0.1, 0.4)):
        add(out, burst(rng, 200, 6500, 1.1, 0.22, 0.02), second, 1)
        for _ in range(14):
            add(out, _bubble(rng, rng.uniform(300, 1500), 0.06), second + rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.5))
    return out


@sound("fire")
def fire(rng: Rng) -> Array:
    out = 0.1 * noise(rng, 40, 700, 0.9) * wander(rng, 5, 0.5, 1)
    for second in scattered(rng, rng.uniform(14, 30)):
        crack = burst(rng, rng.uniform(800, 2500), 7500, 0.03, rng.uniform(0.002, 0.007), 0.0005)
        add(out, crack, second, rng.uniform(0.1, 1) ** 2)
    return out


@sound("crickets")
def crickets(rng: Rng) -> Array:
    pitch, out = rng.uniform(3800, 5200), 0.01 * noise(rng, 200, 4000, 1)
    chirps, gap = int(rng.integers(3, 6)), rng.uniform(0.02, 0.03)
    for second in regular(rng, rng.uniform(0.35, 0.7), 0.03):
        for i in range(chirps):
            add(out, tone(pitch, seconds=0.016) * swell(0.016), second + i * gap, 0.6 + 0.1 * i)
    return out


@sound("bees")
def bees(rng: Rng) -> Array:
    out = silence()
    for _ in range(rng.integers(1, 4)):
        out += saw(wander(rng, 4, 170, 260), partials=18) * wander(rng, 2, 0.15, 1)
    return band(out, 150, 3500)


@sound("mosquito")
def mosquito(rng: Rng) -> Array:
    pitch = rng.uniform(480, 650) * wander(rng, 3, 0.93, 1.08)
    return tone(pitch, (1, 0.5, 0.35, 0.2, 0.1)) * wander(rng, 1.5, 0.1, 1) + 0.005 * noise(rng)


@sound("owl")
def owl(rng: Rng) -> Array:
    out, pitch = 0.004 * noise(rng, 100, 2000, 1), rng.uniform(310, 420)
    start = rng.uniform(0.1, 0.5)
    for offset, seconds in ((0, 0.25), (0.5, 0.16), (0.75, 0.16), (1.1, 0.6)):
        hoot = tone(pitch * (1 + 0.05 * swell(seconds)), (1, 0.12, 0.05), seconds) * swell(seconds)
        add(out, hoot, start + offset)
        add(out, hoot, start + offset + 2.1)
    return room(out, rng, 1.0, 0.2)


@sound("cuckoo")
def cuckoo(rng: Rng) -> Array:
    out, pitch = 0.004 * noise(rng, 300, 5000, 1), rng.uniform(560, 720)
    for second in regular(rng, rng.uniform(1.1, 1.5), 0.02):
        add(out, tone(pitch, (1, 0.1), 0.18) * swell(0.18), second)
        add(out, tone(pitch * 0.8, (1, 0.1), 0.28) * swell(0.28), second + 0.28)
    return room(out, rng, 0.8, 0.15)


@sound("duck")
def duck(rng: Rng) -> Array:
    out, pitch = 0.003 * noise(rng), rng.uniform(170, 260)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(0.32, 0.6), 0.08), 0.16, 0.26):
        glide = pitch * (1.15 - 0.3 * clock(seconds) / seconds)
        add(out, formant(saw(glide, seconds), (1300, 2400, 700), 0.25) * swell(seconds, 0.15, 0.4), second)
    return out


@sound("crow")
def crow(rng: Rng) -> Array:
    out, pitch = 0.003 * noise(rng), rng.uniform(380, 520)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(0.6, 0.95), 0.06), 0.3, 0.45):
        caw = saw(pitch * (1 + 0.15 * swell(seconds)) * (1 + 0.08 * noise(rng, 20, 150, seconds=seconds)), seconds)
        caw = formant(caw + 0.5 * noise(rng, 500, 5000, seconds=seconds), (1500, 1100, 2600), 0.3)
        add(out, caw * swell(seconds), second)
    return out


@sound("wolf")
def wolf(rng: Rng) -> Array:
    share = clock() / SECONDS
    pitch = rng.uniform(330, 450) * (0.75 + 0.5 * np.minimum(1, share * 4)) * (1 - 0.35 * np.maximum(0, share - 0.6))
    howl = tone(pitch * (1 + 0.006 * swing(5)), (1, 0.4, 0.12, 0.05)) * swell(SECONDS, 0.15, 0.4)
    return room(howl, rng, 1.6, 0.35) + 0.003 * noise(rng)


@sound("snake")
def snake(rng: Rng) -> Array:
    out = silence()
    for second, seconds in lasting(rng, regular(rng, rng.uniform(1.1, 1.7), 0.05), 0.7, 1.1):
        add(out, noise(rng, 3200, 7800, -0.3, seconds) * swell(seconds, 0.2, 0.5), second)
    return out


@sound("pig")
def pig(rng: Rng) -> Array:
    out = 0.003 * noise(rng)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(0.4, 0.8), 0.15), 0.18, 0.35):
        rattle = saw(rng.uniform(55, 90) * (1 + 0.1 * noise(rng, 5, 60, seconds=seconds)), seconds, 60)
        snort = rattle + 0.8 * noise(rng, 200, 3000, 0.5, seconds)
        add(out, formant(snort, (500, 1100, 2300), 0.35) * swell(seconds, 0.2, 0.5), second, rng.uniform(0.6, 1))
    return out


@sound("purring cat")
def purring(rng: Rng) -> Array:
    rattle = pulses(wander(rng, 1, 23, 28), 6)
    breath = 0.55 + 0.45 * np.sin(2 * np.pi * clock() / rng.uniform(1.3, 2) + rng.uniform(0, 6))
    return noise(rng, 60, 700, 0.8) * rattle * breath


@sound("woodpecker")
def woodpecker(rng: Rng) -> Array:
    out = 0.003 * noise(rng, 300, 5000)
    knock = burst(rng, 700, rng.uniform(1800, 3000), 0.05, 0.012)
    for second in regular(rng, rng.uniform(1.1, 1.6), 0.05):
        for i in range(int(rng.integers(9, 15))):
            add(out, knock, second + i * rng.uniform(0.048, 0.054), 1 - 0.03 * i)
    return room(out, rng, 0.7, 0.2)


@sound("galloping horse")
def galloping(rng: Rng) -> Array:
    out, period = 0.003 * noise(rng), rng.uniform(0.42, 0.6)
    for second in regular(rng, period, 0.01):
        for offset in (0, 0.22, 0.42):
            hoof = burst(rng, 250, rng.uniform(900, 1600), 0.07, 0.018)
            add(out, hoof, second + offset * period, rng.uniform(0.7, 1))
    return out


def _bubble(rng: Rng, pitch: float, seconds: float) -> Array:
    """A bubble's sine, rising a little as it nears the surface."""
    rise = 1 + rng.uniform(0.1, 0.5) * clock(seconds) / seconds
    return tone(pitch * rise, seconds=seconds) * decay(seconds, seconds / 4, 0.003)
