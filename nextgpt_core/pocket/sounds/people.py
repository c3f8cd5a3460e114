"""What people do that can be heard."""

from __future__ import annotations

import numpy as np

from nextgpt_core.pocket.sounds.waves import (
    SECONDS,
    Array,
    Rng,
    add,
    burst,
    clock,
    decay,
    formant,
    lasting,
    noise,
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


@sound("heartbeat")
def heartbeat(rng: Rng) -> Array:
    out, period = silence(), rng.uniform(0.65, 1.05)
    for second in regular(rng, period, 0.01):
        add(out, tone(rng.uniform(48, 60), (1, 0.4), 0.16) * decay(0.16, 0.05, 0.015), second)
        add(out, tone(rng.uniform(60, 75), (1, 0.4), 0.13) * decay(0.13, 0.04, 0.01), second + 0.3 * period**0.5, 0.7)
    return out


@sound("footsteps")
def footsteps(rng: Rng) -> Array:
    out, hard = 0.003 * noise(rng, 100, 3000), rng.uniform(0.3, 1)
    for i, second in enumerate(regular(rng, rng.uniform(0.45, 0.7), 0.03)):
        add(out, burst(rng, 60, 400, 0.12, 0.03), second, 1)
        add(out, burst(rng, 900, 4500, 0.05, 0.008), second, hard * (0.9 if i % 2 else 0.7))
        add(out, burst(rng, 500, 3000, 0.08, 0.02), second + 0.09, 0.3 * hard)
    return room(out, rng, 0.4, 0.15)


@sound("footsteps on gravel")
def gravel(rng: Rng) -> Array:
    out = 0.002 * noise(rng)
    for second in regular(rng, rng.uniform(0.45, 0.7), 0.04):
        times = second + np.abs(rng.normal(0, 0.09, 45))
        shower(out, rng, times, lambda: burst(rng, rng.uniform(1000, 3000), 7500, 0.015, 0.004), 0.1, 0.8)
    return out


@sound("applause")
def applause(rng: Rng) -> Array:
    out = 0.15 * noise(rng, 600, 5000, 0.3)
    times = scattered(rng, rng.uniform(120, 260))
    low, high = rng.uniform(600, 1400), rng.uniform(2500, 5000)
    shower(out, rng, times, lambda: burst(rng, low, high * rng.uniform(0.7, 1.2), 0.04, 0.008), 0.2, 1)
    return out * swell(SECONDS, 0.1, 0.2)


@sound("crowd cheering")
def cheering(rng: Rng) -> Array:
    out = 0.3 * formant(noise(rng, 300, 4000), (700, 1200, 2500), 0.5)
    for _ in range(40):
        seconds = rng.uniform(0.5, 1.6)
        voice = saw(rng.uniform(180, 520) * wander(rng, 3, 0.9, 1.15, seconds), seconds, 14)
        voice = formant(voice, (rng.uniform(600, 900), 1300, 2600), 0.3) * swell(seconds)
        add(out, voice, rng.uniform(0, SECONDS - 0.4), 0.25)
    return out


@sound("laughter")
def laughter(rng: Rng) -> Array:
    out, pitch = 0.002 * noise(rng), rng.uniform(150, 330)
    for i, second in enumerate(regular(rng, rng.uniform(0.17, 0.24), 0.04, 0.1)):
        if i % 9 > 6:
            continue
        glide = pitch * (1.25 - 0.04 * (i % 9)) * (1.1 - 0.2 * clock(0.13) / 0.13)
        voice = saw(glide, 0.13) + 0.4 * noise(rng, 400, 5000, seconds=0.13)
        add(out, formant(voice, (800, 1250, 2700), 0.25) * swell(0.13, 0.3, 0.5), second)
    return out


@sound("crying baby")
def baby(rng: Rng) -> Array:
    out, pitch = 0.002 * noise(rng), rng.uniform(400, 520)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(1.0, 1.4), 0.05, 0.1), 0.7, 1.0):
        glide = pitch * (0.85 + 0.3 * swell(seconds, 0.2, 0.6)) * (1 + 0.02 * noise(rng, 8, 40, seconds=seconds))
        add(out, formant(saw(glide, seconds), (1100, 1600, 3300), 0.3) * swell(seconds, 0.1, 0.3), second)
    return out


@sound("snoring")
def snoring(rng: Rng) -> Array:
    out = 0.002 * noise(rng)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(1.7, 2.2), 0.03, rng.uniform(0.05, 0.3)), 0.9, 1.2):
        rasp = saw(rng.uniform(38, 60) * wander(rng, 8, 0.9, 1.1, seconds), seconds, 80)
        rasp = rasp + 0.6 * noise(rng, 100, 2000, 0.6, seconds)
        add(out, formant(rasp, (280, 650, 1600), 0.4) * swell(seconds), second)
    return out


@sound("sneeze")
def sneeze(rng: Rng) -> Array:
    out = 0.001 * noise(rng)
    for second in regular(rng, rng.uniform(1.7, 2.4), 0.05, rng.uniform(0.1, 0.5)):
        add(out, formant(saw(wander(rng, 4, 180, 300, 0.4), 0.4), (700, 1200), 0.3) * swell(0.4, 0.8, 0.1), second, 0.5)
        add(out, burst(rng, 900, 7500, 0.5, 0.12, 0.02), second + 0.45)
    return out


@sound("human whistle")
def human_whistle(rng: Rng) -> Array:
    out, base, second = 0.01 * noise(rng, 1000, 6000), rng.uniform(900, 1400), 0.1
    while second < SECONDS - 0.3:
        seconds = rng.uniform(0.2, 0.5)
        pitch = base * 2 ** (rng.choice((0, 2, 4, 5, 7, 9, 12)) / 12)
        glide = pitch * (1 + 0.006 * swing(6, seconds))
        blow = tone(glide, (1, 0.03), seconds) + 0.05 * noise(rng, 800, 4000, seconds=seconds)
        add(out, blow * swell(seconds, 0.15, 0.2), second)
        second += seconds + rng.uniform(0, 0.1)
    return out


@sound("talking")
def talking(rng: Rng) -> Array:
    out, second, pitch = 0.002 * noise(rng), 0.1, rng.uniform(95, 230)
    while second < SECONDS - 0.25:
        seconds = rng.uniform(0.1, 0.24)
        vowel = ((300, 2300), (500, 1800), (750, 1250), (500, 950), (320, 800))[rng.integers(5)]
        voice = saw(pitch * wander(rng, 6, 0.85, 1.15, seconds), seconds, 40)
        add(out, formant(voice, vowel, 0.22) * swell(seconds, 0.2, 0.3), second)
        if rng.random() < 0.5:
            add(out, burst(rng, 2500, 7500, 0.07, 0.03, 0.01), second + seconds - 0.02, 0.15)
        second += seconds + rng.choice((0.0, 0.02, 0.05, 0.25), p=(0.4, 0.3, 0.2, 0.1))
    return out
