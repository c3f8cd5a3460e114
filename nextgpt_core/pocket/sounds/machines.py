"""Engines, vehicles, weapons and household machines."""

from __future__ import annotations

import numpy as np

from nextgpt_core.pocket.sounds.waves import (
    LENGTH,
    RATE,
    SECONDS,
    Array,
    Rng,
    add,
    band,
    burst,
    clock,
    decay,
    drive,
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
    swell,
    swing,
    tone,
    wander,
)


def firing(rng: Rng, rate: Array, low: float, high: float, sharp: float) -> Array:
    """An engine's strokes: noise bursts at a moving `rate` a second, as one wave."""
    phase = np.cumsum(rate) / RATE
    return noise(rng, low, high, 0.7) * np.exp(-sharp * (phase % 1)) + 0.4 * tone(rate, (1, 0.7, 0.5, 0.3))


@sound("car engine")
def car_engine(rng: Rng) -> Array:
    return band(firing(rng, rng.uniform(28, 45) * wander(rng, 2, 0.96, 1.04), 50, 900, 3), 30, 1400)


@sound("accelerating car")
def accelerating(rng: Rng) -> Array:
    rate = np.geomspace(rng.uniform(30, 45), rng.uniform(130, 190), LENGTH)
    engine = band(firing(rng, rate, 60, 2500, 2.5) + 0.3 * saw(rate * 2, partials=12), 40, 3500)
    return engine * np.linspace(0.5, 1, LENGTH)


@sound("motorcycle")
def motorcycle(rng: Rng) -> Array:
    rate = rng.uniform(18, 28) * wander(rng, 1.2, 0.8, 2.2)
    return drive(firing(rng, rate, 80, 3500, 6) + 0.5 * saw(rate * 2, partials=30), 3)


@sound("truck")
def truck(rng: Rng) -> Array:
    rate = rng.uniform(13, 19) * wander(rng, 1, 0.95, 1.05)
    return firing(rng, rate, 40, 500, 4) + 0.12 * firing(rng, rate, 800, 4000, 9)


@sound("racing car")
def racing_car(rng: Rng) -> Array:
    share = clock() / SECONDS
    middle = rng.uniform(0.35, 0.65)
    pitch = rng.uniform(330, 420) * (1.0 - 0.32 / (1 + np.exp(-(share - middle) * 22)))
    loud = 0.08 + np.exp(-(((share - middle) / 0.15) ** 2))
    return drive(saw(pitch) + 0.3 * noise(rng, 200, 4000, 0.5), 2) * loud


@sound("car horn")
def car_horn(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(330, 440)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(0.8, 1.4), 0.06), 0.3, 0.7):
        beep = saw(pitch, seconds) + saw(pitch * 1.26, seconds)
        add(out, formant(beep, (900, 1800, 2800), 0.5) * swell(seconds, 0.04, 0.06), second)
    return out


@sound("ship horn")
def ship_horn(rng: Rng) -> Array:
    out = silence()
    seconds = rng.uniform(2.4, 3.4)
    pitch = rng.uniform(70, 115)
    blast = drive(saw(pitch, seconds) + 0.7 * saw(pitch * 1.5, seconds), 2) * swell(seconds, 0.08, 0.12)
    add(out, blast, rng.uniform(0.1, 0.5))
    return room(band(out, 50, 1800), rng, 1.8, 0.3)


@sound("train")
def train(rng: Rng) -> Array:
    out, period = 0.3 * noise(rng, 40, 900, 0.9), rng.uniform(0.6, 0.9)
    for second in regular(rng, period, 0.01):
        for offset in (0, 0.13, 0.36, 0.49):
            add(out, burst(rng, 100, 1600, 0.09, 0.02), second + offset * period, 1)
    return out


@sound("steam train")
def steam_train(rng: Rng) -> Array:
    out, period = 0.05 * noise(rng, 60, 500, 1), rng.uniform(0.22, 0.42)
    for i, second in enumerate(regular(rng, period, 0.02)):
        seconds = period * 0.8
        puff = noise(rng, 250, 3500, 0.5, seconds) * decay(seconds, period / 4, 0.03)
        add(out, puff, second, 1 if i % 4 == 0 else 0.65)
    return out


@sound("train whistle")
def train_whistle(rng: Rng) -> Array:
    out, pitch, second = silence(), rng.uniform(380, 520), rng.uniform(0.05, 0.2)
    for seconds in (rng.uniform(0.9, 1.3), rng.uniform(1.4, 1.9)):
        chord = sum(tone(pitch * r * (1 + 0.01 * swell(seconds)), (1, 0.35, 0.2, 0.1), seconds) for r in (1, 1.26, 1.5))
        add(out, (chord + 0.5 * noise(rng, 500, 5000, seconds=seconds)) * swell(seconds, 0.12, 0.15), second)
        second += seconds + 0.25
    return room(out, rng, 1.2, 0.2)


@sound("railway crossing")
def railway_crossing(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(700, 950)
    for i, second in enumerate(regular(rng, rng.uniform(0.3, 0.42), 0.0)):
        high = pitch * (1 if i % 2 else 1.12)
        add(out, modes((high, high * 2.4, high * 3.9), (0.25, 0.12, 0.06), 0.6), second)
    return out


@sound("helicopter")
def helicopter(rng: Rng) -> Array:
    rate = np.full(LENGTH, rng.uniform(10, 15))
    chop = pulses(rate, 5)
    return noise(rng, 50, 1200, 0.8) * (0.12 + chop) + 0.12 * saw(rng.uniform(180, 260), partials=10)


@sound("propeller plane")
def propeller(rng: Rng) -> Array:
    pitch = rng.uniform(80, 120) * (1 - 0.06 * clock() / SECONDS)
    blades = saw(pitch, partials=30) * wander(rng, 6, 0.8, 1) + 0.5 * saw(pitch * 1.015)
    return band(blades + 0.2 * noise(rng, 100, 2500, 0.6), 60, 3000)


@sound("jet plane")
def jet(rng: Rng) -> Array:
    share = clock() / SECONDS
    loud = np.exp(-(((share - rng.uniform(0.4, 0.7)) / 0.35) ** 2))
    whine = tone(rng.uniform(1800, 2600) * (1 - 0.15 * share), (1, 0.4))
    return (noise(rng, 60, 4500, 0.7) + 0.12 * whine) * loud


@sound("rocket")
def rocket(rng: Rng) -> Array:
    roar = band(noise(rng, 25, 2500, 1.0), 25, 2500) * (0.7 + 0.5 * np.abs(noise(rng, 1, 60)) / 2)
    crackle = silence()
    for second in scattered(rng, 60):
        add(crackle, burst(rng, 400, 5000, 0.03, 0.005), second, rng.uniform(0.2, 1))
    return (roar + 0.4 * crackle) * np.minimum(1, 0.15 + clock() / rng.uniform(1, 2.2))


@sound("vacuum cleaner")
def vacuum(rng: Rng) -> Array:
    pitch = rng.uniform(210, 320)
    return noise(rng, 150, 6500, 0.5) + 0.5 * tone(pitch, (1, 0.5, 0.7, 0.3, 0.4, 0.2)) + 0.2 * tone(pitch * 7.2)


@sound("hair dryer")
def hair_dryer(rng: Rng) -> Array:
    return noise(rng, 700, 7800, 0.2) + 0.25 * tone(rng.uniform(480, 640), (1, 0.2, 0.4))


@sound("electric drill")
def drill(rng: Rng) -> Array:
    out = silence()
    for second, seconds in lasting(rng, regular(rng, rng.uniform(1.1, 1.6), 0.05, 0.1), 0.8, 1.1):
        pitch = rng.uniform(320, 480) * (0.5 + 0.5 * np.minimum(1, clock(seconds) / 0.2))
        pitch = pitch * wander(rng, 5, 0.9, 1.05, seconds)
        whirr = saw(pitch, seconds) + 0.5 * tone(pitch * 3.1, (1, 0.5), seconds)
        whirr = whirr + 0.3 * noise(rng, 500, 6000, seconds=seconds)
        add(out, whirr * swell(seconds, 0.08, 0.15), second)
    return out


@sound("chainsaw")
def chainsaw(rng: Rng) -> Array:
    rate = rng.uniform(85, 120) * wander(rng, 1.6, 0.7, 1.15)
    return drive(saw(rate, partials=50) + 0.8 * firing(rng, rate, 300, 6000, 4), 3)


@sound("lawn mower")
def lawn_mower(rng: Rng) -> Array:
    rate = rng.uniform(48, 62) * wander(rng, 2, 0.97, 1.02)
    return firing(rng, rate, 100, 2800, 4) + 0.35 * noise(rng, 300, 5000, 0.4)


@sound("sewing machine")
def sewing(rng: Rng) -> Array:
    out, rate = 0.08 * saw(rng.uniform(90, 130), partials=12), rng.uniform(9, 14)
    for second in regular(rng, 1 / rate, 0.02):
        add(out, burst(rng, 600, 4500, 0.05, 0.01) + 0.4 * modes((480,), (0.015,), 0.05), second)
    return out


@sound("washing machine")
def washing_machine(rng: Rng) -> Array:
    turn = 0.5 + 0.5 * swing(rng.uniform(0.7, 1.2))
    return noise(rng, 60, 900, 0.9) * (0.25 + turn**2) + 0.3 * tone(rng.uniform(95, 125), (1, 0.4, 0.2))


@sound("blender")
def blender(rng: Rng) -> Array:
    pitch = rng.uniform(380, 560) * wander(rng, 4, 0.9, 1.06)
    return saw(pitch) * wander(rng, 9, 0.6, 1) + 0.7 * noise(rng, 400, 7000, 0.2)


@sound("fan")
def fan(rng: Rng) -> Array:
    blades = 0.75 + 0.25 * swing(rng.uniform(18, 30))
    return noise(rng, 60, 2200, 0.9) * blades + 0.15 * tone(100, (1, 0.6, 0.3))


@sound("electric hum")
def hum(rng: Rng) -> Array:
    return tone(rng.choice((50.0, 60.0)) * 2, (1, 0.3, 0.6, 0.15, 0.4, 0.1, 0.25, 0.05, 0.15)) + 0.01 * noise(rng)


@sound("steam hiss")
def steam(rng: Rng) -> Array:
    return noise(rng, 1800, 7800, -0.2) * np.minimum(1, clock() / 0.2) * wander(rng, 3, 0.85, 1.05)


@sound("kettle whistle")
def kettle(rng: Rng) -> Array:
    pitch = np.linspace(rng.uniform(1500, 1900), rng.uniform(2200, 2700), LENGTH) * wander(rng, 6, 0.99, 1.01)
    return (tone(pitch, (1, 0.25, 0.1)) + 0.4 * noise(rng, 1500, 7000)) * np.linspace(0.3, 1, LENGTH)


@sound("explosion")
def explosion(rng: Rng) -> Array:
    out, start = silence(), rng.uniform(0.05, 0.5)
    add(out, burst(rng, 25, 500, 3.0, rng.uniform(0.5, 0.8), 0.01), start, 1)
    add(out, burst(rng, 200, 4500, 1.8, 0.2, 0.005), start, 0.8)
    return drive(out, 3)


@sound("gunshot")
def gunshot(rng: Rng) -> Array:
    out = silence()
    for second in regular(rng, rng.uniform(0.8, 1.7), 0.1):
        add(out, burst(rng, 60, 7500, 0.5, 0.035, 0.0005), second)
        add(out, burst(rng, 60, 900, 0.7, 0.12, 0.005), second, 0.5)
    return room(out, rng, 1.0, 0.15)


@sound("machine gun")
def machine_gun(rng: Rng) -> Array:
    out, gap = silence(), rng.uniform(0.08, 0.115)
    for second in regular(rng, rng.uniform(1.2, 1.7), 0.05, 0.1):
        for i in range(int(rng.integers(6, 11))):
            add(out, burst(rng, 80, 6500, 0.12, 0.022, 0.0005), second + i * gap)
    return room(out, rng, 0.8, 0.12)


@sound("fireworks")
def fireworks(rng: Rng) -> Array:
    out, second = silence(), 0.05
    while second < SECONDS - 0.8:
        rise = rng.uniform(0.6, 0.9)
        whistle = tone(np.geomspace(700, rng.uniform(1800, 3200), round(rise * RATE)), (1, 0.2), rise)
        add(out, whistle * swell(rise, 0.5, 0.2), second, 0.25)
        add(out, burst(rng, 40, 2500, 0.9, 0.15), second + rise, 1)
        for _ in range(30):
            add(out, burst(rng, 1500, 7500, 0.03, 0.005), second + rise + rng.uniform(0.15, 1), rng.uniform(0.05, 0.4))
        second += rise + rng.uniform(0.4, 0.8)
    return room(out, rng, 1.2, 0.15)
