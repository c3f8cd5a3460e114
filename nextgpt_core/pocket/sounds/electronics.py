"""Alarms, sirens, telephones, toys and games: what comes out of a loudspeaker anyway."""

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
    lasting,
    modes,
    noise,
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


def beeps(out: Array, times: Array, pitch: float, seconds: float, weights: tuple[float, ...] = (1.0,)) -> Array:
    """Equal beeps at these times."""
    for second in times:
        add(out, tone(pitch, weights, seconds) * swell(seconds, 0.05, 0.05), second)
    return out


@sound("siren")
def siren(rng: Rng) -> Array:
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (clock() / rng.uniform(1.8, 2.8) + rng.uniform()))
    low = rng.uniform(500, 650)
    return square(low * (1 + rng.uniform(1.0, 1.4) * sweep), partials=9)


@sound("police siren")
def police_siren(rng: Rng) -> Array:
    sweep = ((clock() * rng.uniform(2.6, 4) + rng.uniform()) % 1) ** 0.7
    return saw(rng.uniform(600, 750) * (1 + 1.1 * sweep), partials=10)


@sound("ambulance")
def ambulance(rng: Rng) -> Array:
    high = (clock() / rng.uniform(0.5, 0.65) + rng.uniform()) % 2 < 1
    pitch = rng.uniform(420, 480)
    return square(np.where(high, pitch * 1.335, pitch), partials=13)


@sound("air raid siren")
def air_raid(rng: Rng) -> Array:
    share = clock() / SECONDS
    pitch = rng.uniform(380, 460) * (0.35 + 0.65 * np.sin(np.pi * np.clip(share * 1.1, 0, 1)) ** 0.6)
    return room(drive(saw(pitch, partials=12) + saw(pitch * 1.19, partials=10), 2), rng, 1.5, 0.3)


@sound("alarm clock")
def alarm_clock(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(1900, 2300)
    for second in regular(rng, rng.uniform(0.8, 1.0), 0.0, 0.1):
        beeps(out, second + np.arange(4) * 0.11, pitch, 0.06, (1, 0, 0.33, 0, 0.1))
    return out


@sound("smoke alarm")
def smoke_alarm(rng: Rng) -> Array:
    start = rng.uniform(0.05, 0.2)
    times = np.concatenate([start + k * 2.2 + np.arange(3) * 0.62 for k in range(2)])
    return beeps(silence(), times, rng.uniform(2900, 3300), 0.42, (1, 0.2))


@sound("car alarm")
def car_alarm(rng: Rng) -> Array:
    phase = clock() / rng.uniform(0.9, 1.2)
    up = 700 + 900 * (phase * 4 % 1)
    steps = np.where(phase * 8 % 2 < 1, 950.0, 1350.0)
    return square(np.where(phase % 2 < 1, up, steps), partials=7)


@sound("fire bell")
def fire_bell(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(1100, 1600)
    for second in regular(rng, rng.uniform(0.045, 0.065), 0.03, 0.05):
        add(out, modes([pitch * r for r in (1, 1.7, 2.9)], (0.2, 0.12, 0.06), 0.5), second, rng.uniform(0.8, 1))
    return out


@sound("microwave beep")
def microwave(rng: Rng) -> Array:
    return beeps(silence(), regular(rng, rng.uniform(0.9, 1.1), 0.0, 0.3), rng.uniform(950, 1250), 0.5, (1, 0.05))


@sound("heart monitor")
def heart_monitor(rng: Rng) -> Array:
    return beeps(0.003 * noise(rng), regular(rng, rng.uniform(0.7, 1.0), 0.0), rng.uniform(800, 1000), 0.12)


@sound("telephone")
def telephone(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(1050, 1500)
    for second in (0.1, 2.2):
        for i in range(28):
            add(out, modes((pitch * (1 if i % 2 else 1.19), 2.7 * pitch), (0.12, 0.06), 0.3), second + 0.045 * i)
    return out


@sound("mobile phone")
def mobile_phone(rng: Rng) -> Array:
    out, base = silence(), rng.uniform(750, 1050)
    steps = rng.choice((0, 2, 4, 7, 9, 12), 5)
    for second in (0.1, 1.5, 2.9):
        for i, step in enumerate(steps):
            beeps(out, np.array([second + 0.14 * i]), base * 2 ** (step / 12), 0.12, (1, 0.3, 0.2, 0.1))
    return out


@sound("dial tone")
def dial_tone(rng: Rng) -> Array:
    return tone(350) + tone(440) if rng.random() < 0.5 else tone(425) + 0.01 * noise(rng)


@sound("busy signal")
def busy(rng: Rng) -> Array:
    return beeps(silence(), regular(rng, rng.uniform(0.9, 1.05), 0.0, 0.1), rng.uniform(420, 480), 0.48, (1, 0.1))


@sound("phone keypad")
def keypad(rng: Rng) -> Array:
    out = silence()
    for second in regular(rng, rng.uniform(0.28, 0.45), 0.1):
        low, high = rng.choice((697, 770, 852, 941)), rng.choice((1209, 1336, 1477))
        add(out, (tone(low, seconds=0.17) + tone(high, seconds=0.17)) * swell(0.17, 0.05, 0.05), second)
    return out


@sound("modem")
def modem(rng: Rng) -> Array:
    out, second = 0.05 * noise(rng, 500, 3400), 0.05
    while second < SECONDS - 0.2:
        seconds = rng.uniform(0.2, 0.6)
        if rng.random() < 0.5:
            steps = rng.choice((980, 1180, 1650, 1850, 2100), round(seconds / 0.008) + 1)
            pitch = np.repeat(steps, 128)[: round(seconds * RATE)]
            add(out, tone(pitch, (1, 0.1), seconds), second)
        else:
            add(out, noise(rng, 600, 3200, seconds=seconds), second, 0.7)
        second += seconds
    return out


@sound("morse code")
def morse(rng: Rng) -> Array:
    out, second, unit, pitch = silence(), 0.1, rng.uniform(0.055, 0.085), rng.uniform(600, 850)
    while second < SECONDS - 0.4:
        seconds = unit * rng.choice((1, 3))
        add(out, tone(pitch, seconds=seconds) * swell(seconds, 0.08, 0.08), second)
        second += seconds + unit * rng.choice((1, 1, 3))
    return out


@sound("radio static")
def static(rng: Rng) -> Array:
    out = noise(rng, 200, 5500) * wander(rng, 6, 0.6, 1)
    for second in scattered(rng, 20):
        add(out, burst(rng, 500, 7000, 0.03, 0.006), second, rng.uniform(1, 4))
    return out


@sound("white noise")
def white_noise(rng: Rng) -> Array:
    return noise(rng, 30, 7900, rng.uniform(-0.05, 0.05))


@sound("sonar")
def sonar(rng: Rng) -> Array:
    out, pitch = 0.004 * noise(rng, 50, 500, 1), rng.uniform(900, 1300)
    for second in regular(rng, rng.uniform(1.5, 2.0), 0.0, rng.uniform(0.1, 0.4)):
        add(out, tone(pitch, seconds=1.4) * decay(1.4, 0.35, 0.01), second)
    return room(out, rng, 2.2, 0.5)


@sound("geiger counter")
def geiger(rng: Rng) -> Array:
    out = 0.002 * noise(rng)
    for second in scattered(rng, rng.uniform(9, 25)):
        add(out, burst(rng, 1500, 6500, 0.01, 0.0015, 0.0003), second)
    return out


@sound("laser")
def laser(rng: Rng) -> Array:
    out = silence()
    for second, seconds in lasting(rng, regular(rng, rng.uniform(0.35, 0.8), 0.1), 0.18, 0.35):
        sweep = np.geomspace(rng.uniform(2500, 4500), rng.uniform(150, 400), round(seconds * RATE))
        add(out, saw(sweep, seconds, 8) * decay(seconds, seconds / 2), second)
    return out


@sound("ufo")
def ufo(rng: Rng) -> Array:
    waver = swing(rng.uniform(5, 8))
    return tone(rng.uniform(600, 900) * (1 + 0.25 * waver) * wander(rng, 1, 0.9, 1.1), (1, 0.2, 0.1))


@sound("robot")
def robot(rng: Rng) -> Array:
    out, second = silence(), 0.05
    while second < SECONDS - 0.15:
        seconds = rng.uniform(0.07, 0.22)
        ends = rng.uniform(400, 2400, 2)
        glide = np.geomspace(*ends, round(seconds * RATE))
        add(out, square(glide, seconds, 7) * swell(seconds, 0.1, 0.1), second)
        second += seconds + rng.uniform(0, 0.08)
    return out


@sound("coin pickup")
def coin_pickup(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(900, 1050)
    for second in regular(rng, rng.uniform(0.7, 1.1), 0.05):
        add(out, square(pitch, 0.08) * swell(0.08, 0.05, 0.05), second)
        add(out, square(pitch * 1.335, 0.5) * decay(0.5, 0.16), second + 0.08)
    return out


@sound("video game jump")
def jump(rng: Rng) -> Array:
    out = silence()
    for second in regular(rng, rng.uniform(0.5, 0.8), 0.05):
        sweep = np.geomspace(rng.uniform(180, 260), rng.uniform(700, 1000), round(0.25 * RATE))
        add(out, square(sweep, 0.25) * decay(0.25, 0.15), second)
    return out


@sound("power up")
def power_up(rng: Rng) -> Array:
    out, base = silence(), rng.uniform(300, 420)
    for second in (0.1, 2.1):
        for i in range(14):
            pitch = base * 2 ** ((4 * (i % 3) + 2 * (i // 3) + i) / 12)
            add(out, square(pitch, 0.09) * swell(0.09, 0.05, 0.2), second + 0.09 * i)
    return out


@sound("game over")
def game_over(rng: Rng) -> Array:
    out, base = silence(), rng.uniform(380, 480)
    for i, step in enumerate((0, -1, -2, -3, -5, -8, -12)):
        seconds = 0.3 if i < 4 else 0.6
        glide = base * 2 ** (step / 12) * (1 - 0.03 * clock(seconds))
        add(out, square(glide, seconds) * decay(seconds, seconds / 2), 0.1 + 0.36 * i + 0.1 * max(0, i - 3))
    return out


@sound("wrong answer buzzer")
def buzzer(rng: Rng) -> Array:
    out, pitch = silence(), rng.uniform(90, 150)
    for second, seconds in lasting(rng, regular(rng, rng.uniform(1.2, 1.6), 0.02, 0.1), 0.6, 0.9):
        add(out, (square(pitch, seconds, 40) + square(pitch * 1.06, seconds, 40)) * swell(seconds, 0.02, 0.02), second)
    return out


@sound("theremin")
def theremin(rng: Rng) -> Array:
    pitch = wander(rng, 1.4, 330, 900) * (1 + 0.02 * swing(6))
    return tone(pitch, (1, 0.25, 0.08)) * wander(rng, 1, 0.5, 1)


@sound("wind chimes")
def wind_chimes(rng: Rng) -> Array:
    out, base = silence(), rng.uniform(900, 1300)
    pitches = base * 2 ** (np.array((0, 2, 4, 7, 9, 12)) / 12)
    for second in scattered(rng, rng.uniform(3, 6)):
        pitch = float(rng.choice(pitches))
        add(out, modes((pitch, pitch * 2.76, pitch * 5.4), (1.0, 0.4, 0.15), 2.0), second, rng.uniform(0.2, 1))
    return out


@sound("vinyl crackle")
def vinyl(rng: Rng) -> Array:
    out = 0.03 * noise(rng, 40, 5000, 0.7)
    for second in scattered(rng, rng.uniform(20, 45)):
        add(out, burst(rng, 1000, 7000, 0.008, 0.001, 0.0003), second, rng.uniform(0.1, 1) ** 2)
    return band(out + 0.02 * tone(50), 30)[:LENGTH]
