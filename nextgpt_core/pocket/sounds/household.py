"""Things in a house: clocks, bells, doors, tools, toys."""

from __future__ import annotations

import numpy as np

from nextgpt_core.pocket.sounds.waves import (
    RATE,
    SECONDS,
    Array,
    Rng,
    add,
    burst,
    clock,
    formant,
    lasting,
    modes,
    noise,
    pulses,
    regular,
    room,
    saw,
    scattered,
    silence,
    sound,
    square,
    swell,
    swing,
    tone,
    wander,
)


@sound("ticking clock")
def ticking(rng: Rng) -> Array:
    out, pitch = 0.001 * noise(rng), rng.uniform(1800, 3200)
    for i, second in enumerate(regular(rng, rng.choice((0.5, 1.0, 0.33)), 0.0)):
        high = pitch * (1.0 if i % 2 else 0.85)
        add(out, modes((high, high * 1.6, 600), (0.008, 0.005, 0.02), 0.08), second)
    return out


@sound("grandfather clock")
def grandfather_clock(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(190, 300)
    for second in regular(rng, rng.uniform(1.3, 1.7), 0.0, 0.15):
        strike = modes([pitch * r for r in (1, 2.01, 2.76, 4.1, 5.4)], (0.9, 0.6, 0.5, 0.3, 0.2), 2.5)
        add(out, strike, second)
    for second in regular(rng, 0.5, 0.0):
        add(out, modes((900, 1700), (0.01, 0.006), 0.06), second, 0.12)
    return out


@sound("church bell")
def church_bell(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(180, 420)
    for second in regular(rng, rng.uniform(1.3, 2.1), 0.02, rng.uniform(0.05, 0.3)):
        ratios = (0.5, 1, 1.2, 1.5, 2, 2.6, 3.0, 4.1)
        add(out, modes([2 * pitch * r for r in ratios], (2.2, 1.6, 1.2, 0.9, 0.8, 0.4, 0.3, 0.2), 3.5), second)
    return room(out, rng, 1.5, 0.2)


@sound("hand bell")
def hand_bell(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(1500, 2600)
    for second in regular(rng, rng.uniform(0.14, 0.3), 0.1):
        add(out, modes([pitch * r for r in (1, 1.52, 2.3)], (0.35, 0.2, 0.1), 0.9), second, rng.uniform(0.6, 1))
    return out


@sound("bicycle bell")
def bicycle_bell(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(2200, 3000)
    for second in regular(rng, rng.uniform(1.0, 1.6), 0.05, 0.2):
        for offset in (0, 0.07, 0.14, 0.21, 0.28):
            add(out, modes((pitch, pitch * 1.34, pitch * 2.1), (0.3, 0.22, 0.1), 0.9), second + offset)
    return out


@sound("doorbell")
def doorbell(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(600, 760)
    for second in regular(rng, rng.uniform(1.9, 2.4), 0.0, rng.uniform(0.1, 0.4)):
        add(out, modes((pitch, 3 * pitch, 5.2 * pitch), (0.5, 0.2, 0.08), 1.4), second)
        add(out, modes((pitch * 0.8, 2.4 * pitch, 4.2 * pitch), (0.8, 0.25, 0.1), 1.6), second + 0.55)
    return out


@sound("gong")
def gong(rng: Rng) -> Array:
    pitch = rng.uniform(70, 130)
    ratios = np.sort(rng.uniform(1, 14, 26))
    ring = modes((pitch * ratios).tolist(), (2.6 / (1 + 0.12 * ratios)).tolist(), SECONDS - 0.1)
    out = silence()
    add(out, ring * (1 - np.exp(-clock(SECONDS - 0.1) / 0.05)), rng.uniform(0.02, 0.3))
    return out


@sound("knocking")
def knocking(rng: Rng) -> Array:
    out, body = 0.002 * noise(rng), rng.uniform(130, 260)
    for second in regular(rng, rng.uniform(1.2, 1.7), 0.05):
        for i in range(int(rng.integers(2, 5))):
            knock = modes((body, body * 2.3, body * 4.1), (0.03, 0.02, 0.01), 0.2)
            add(out, knock + 0.5 * burst(rng, 300, 2500, 0.2, 0.008), second + 0.19 * i, rng.uniform(0.7, 1))
    return room(out, rng, 0.5, 0.2)


@sound("door slam")
def door_slam(rng: Rng) -> Array:
    out = silence()
    for second in regular(rng, rng.uniform(1.8, 2.4), 0.08, rng.uniform(0.1, 0.5)):
        add(out, burst(rng, 40, rng.uniform(300, 700), 0.5, 0.09), second)
        add(out, burst(rng, 500, 3500, 0.15, 0.02), second, 0.5)
        add(out, burst(rng, 1500, 5000, 0.06, 0.01), second - 0.05, 0.25)
    return room(out, rng, 0.8, 0.3)


@sound("creaking door")
def creaking_door(rng: Rng) -> Array:
    out = 0.001 * noise(rng)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(1.8, 2.4), 0.05, 0.1), 1.1, 1.6):
        creak = saw(wander(rng, 2.5, 45, 150, seconds), seconds, 60)
        add(out, formant(creak, (rng.uniform(700, 1100), 1900, 3200), 0.2) * swell(seconds, 0.2, 0.3), second)
    return room(out, rng, 0.6, 0.2)


@sound("sawing")
def sawing(rng: Rng) -> Array:
    out = silence()
    for i, (second, seconds) in enumerate(lasting(rng, regular(rng, rng.uniform(0.38, 0.6), 0.03), 0.28, 0.36)):
        teeth = 0.5 + 0.5 * swing(rng.uniform(70, 110), seconds)
        stroke = noise(rng, 700 if i % 2 else 1100, 5500, 0.3, seconds) * teeth * swell(seconds, 0.4, 0.4)
        add(out, stroke, second)
    return out


@sound("hammer")
def hammer(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(800, 1600)
    for second in regular(rng, rng.uniform(0.4, 0.75), 0.05):
        ring = modes((pitch, pitch * 2.2, pitch * 3.7), (0.05, 0.03, 0.02), 0.3)
        add(out, ring + burst(rng, 100, 1200, 0.3, 0.02), second)
    return room(out, rng, 0.4, 0.15)


@sound("anvil")
def anvil(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(1300, 2100)
    for second in regular(rng, rng.uniform(0.6, 1.0), 0.03):
        add(out, modes([pitch * r for r in (1, 1.72, 2.41, 3.2)], (0.5, 0.35, 0.25, 0.12), 1.3), second)
    return out


@sound("breaking glass")
def glass(rng: Rng) -> Array:
    out = silence()
    start = rng.uniform(0.1, 0.6)
    add(out, burst(rng, 1500, 7800, 0.3, 0.04), start, 1)
    for _ in range(70):
        pitch = rng.uniform(2000, 7000)
        shard = modes((pitch, pitch * rng.uniform(1.2, 1.6)), (rng.uniform(0.02, 0.1), 0.03), 0.3)
        add(out, shard, start + rng.exponential(0.45), rng.uniform(0.1, 0.6))
    return out


@sound("coins")
def coins(rng: Rng) -> Array:
    out = silence()
    for second in scattered(rng, rng.uniform(5, 10)):
        pitch = rng.uniform(3000, 5500)
        add(out, modes((pitch, pitch * 1.31), (rng.uniform(0.05, 0.2), 0.06), 0.5), second, rng.uniform(0.2, 1))
    return out


@sound("bouncing ball")
def bouncing(rng: Rng) -> Array:
    out, second, gap = silence(), rng.uniform(0.05, 0.3), rng.uniform(0.5, 0.7)
    pitch = rng.uniform(110, 200)
    while second < SECONDS - 0.1 and gap > 0.03:
        bounce = modes((pitch, pitch * 2.1), (0.05, 0.02), 0.25) + 0.3 * burst(rng, 300, 2500, 0.25, 0.01)
        add(out, bounce, second, gap / 0.7)
        second += gap
        gap *= 0.82
    return room(out, rng, 0.5, 0.15)


@sound("table tennis")
def table_tennis(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(1000, 1500)
    for i, second in enumerate(regular(rng, rng.uniform(0.3, 0.45), 0.1)):
        high = pitch * (1.0 if i % 2 else 1.25)
        add(out, modes((high, high * 1.9), (0.012, 0.006), 0.1), second, rng.uniform(0.6, 1))
    return room(out, rng, 0.5, 0.15)


@sound("typewriter")
def typewriter(rng: Rng) -> Array:
    out = silence()
    for second in regular(rng, rng.uniform(0.12, 0.19), 0.25):
        stroke = burst(rng, 800, 6500, 0.07, 0.008) + 0.4 * modes((2600, 4100), (0.02, 0.01), 0.07)
        add(out, stroke, second, rng.uniform(0.6, 1))
    if rng.random() < 0.6:
        add(out, modes((2900, 4400), (0.4, 0.2), 1.2), rng.uniform(2, 3.3), 0.6)
    return out


@sound("keyboard typing")
def typing(rng: Rng) -> Array:
    out = 0.002 * noise(rng)
    for second in regular(rng, rng.uniform(0.11, 0.18), 0.3):
        key = burst(rng, 1500, 5500, 0.03, 0.004) + 0.5 * burst(rng, 200, 700, 0.03, 0.006)
        add(out, key, second, rng.uniform(0.3, 1))
    return out


@sound("camera")
def camera(rng: Rng) -> Array:
    out = 0.001 * noise(rng)
    for second in regular(rng, rng.uniform(0.8, 1.4), 0.1):
        add(out, burst(rng, 1500, 7000, 0.03, 0.005), second)
        add(out, burst(rng, 1000, 6000, 0.05, 0.009), second + rng.uniform(0.07, 0.12), 0.8)
    return out


@sound("cash register")
def cash_register(rng: Rng) -> Array:
    out = silence()
    for second in regular(rng, rng.uniform(1.8, 2.3), 0.02, rng.uniform(0.1, 0.4)):
        add(out, burst(rng, 500, 5000, 0.15, 0.03), second, 0.8)
        add(out, modes((2350, 3600, 5200), (0.5, 0.3, 0.15), 1.4), second + 0.17)
        for _ in range(6):
            add(out, modes((rng.uniform(3000, 6000),), (0.03,), 0.2), second + rng.uniform(0.35, 0.9), 0.3)
    return out


@sound("zipper")
def zipper(rng: Rng) -> Array:
    out = silence()
    for second, seconds in lasting(rng, regular(rng, rng.uniform(0.9, 1.4), 0.05), 0.4, 0.7):
        teeth = pulses(np.linspace(60, rng.uniform(120, 220), round(seconds * RATE)), 4)
        add(out, noise(rng, 1500, 7500, seconds=seconds) * teeth * swell(seconds, 0.2, 0.1), second)
    return out


@sound("spray")
def spray(rng: Rng) -> Array:
    out = silence()
    for second, seconds in lasting(rng, regular(rng, rng.uniform(0.8, 1.3), 0.05), 0.35, 0.6):
        add(out, noise(rng, 2000, 7800, -0.5, seconds) * swell(seconds, 0.05, 0.1), second)
    return out


@sound("referee whistle")
def referee(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(2500, 3300)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(0.9, 1.5), 0.05), 0.5, 0.8):
        pea = 1 + 0.03 * swing(rng.uniform(28, 40), seconds)
        trill = 0.6 + 0.4 * swing(33, seconds)
        blow = tone(pitch * pea, (1, 0.2), seconds) * trill + 0.1 * noise(rng, 2000, 6000, seconds=seconds)
        add(out, blow * swell(seconds, 0.06, 0.06), second)
    return out


@sound("slide whistle")
def slide_whistle(rng: Rng) -> Array:
    out = silence()
    for second, seconds in lasting(rng, regular(rng, rng.uniform(1.0, 1.4), 0.02, 0.1), 0.7, 0.9):
        ends = (500, 1700) if rng.random() < 0.5 else (1700, 500)
        glide = np.geomspace(*ends, round(seconds * RATE))
        add(out, tone(glide, (1, 0.1, 0.05), seconds) * swell(seconds, 0.1, 0.15), second)
    return out


@sound("party horn")
def party_horn(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(300, 420)
    for second in regular(rng, rng.uniform(0.9, 1.3), 0.05):
        add(out, square(pitch * wander(rng, 5, 0.96, 1.04, 0.6), 0.6) * swell(0.6, 0.05, 0.1), second)
    return out
