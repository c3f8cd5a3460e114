"""Plain places drawn by code: a beach, a room, a city at night … each a little different every time.

A background is an SVG of gradients and a few shapes, rendered at 256×256. Who stands in front of it is the business
of `scenes`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image

SIZE = 256
VARIANTS = 48  # different pictures of each place and time
TIMES = ("day", "sunset", "night")

_SKIES = {  # time → (top, bottom) colours to choose from
    "day": (("#4aa3f0", "#cdeafd"), ("#6db9f5", "#e3f4ff"), ("#3c93e0", "#b9e0fa")),
    "sunset": (("#5b4b9a", "#ff9e6d"), ("#7a4f9e", "#ffb36b"), ("#d9626a", "#ffd18a")),
    "night": (("#0b1033", "#2b3a75"), ("#0a0e2a", "#233063"), ("#141b44", "#3a4785")),
}


def has_times(place: str) -> bool:
    """Whether the place looks different by day, at sunset and at night."""
    return place not in ("night sky", "room", "space")


@lru_cache(maxsize=2048)
def draw_background(place: str, time: str, variant: int) -> np.ndarray:
    """A picture of the place, (256, 256, 3) uint8; `variant` from 0 to 47 chooses among its looks."""
    import resvg_py

    random = Random(f"{place} {time} {variant}")
    body = PLACES[place](random, time)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 256 256">{body}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


def _gradient(name: str, y: float, height: float, top: str, bottom: str) -> str:
    return (
        f'<defs><linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{top}"/>'
        f'<stop offset="1" stop-color="{bottom}"/></linearGradient></defs>'
        f'<rect x="0" y="{y:.0f}" width="256" height="{height:.0f}" fill="url(#{name})"/>'
    )


def _circle(x: float, y: float, r: float, fill: str, opacity: float = 1.0) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{fill}" opacity="{opacity:.2f}"/>'


def _rectangle(x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}" opacity="{opacity}"/>'
    )


def _sky(random: Random, time: str, horizon: float) -> str:
    """A sky down to `horizon` with what belongs to the time: clouds, a low sun, or stars and a moon."""
    top, bottom = random.choice(_SKIES[time])
    parts = [_gradient("sky", 0, horizon + 1, top, bottom)]
    if time == "night":
        for _ in range(int(horizon / 9)):
            parts.append(_circle(random.uniform(0, 256), random.uniform(0, horizon), random.uniform(1.0, 2.0), "#fff"))
        x, y = random.uniform(25, 231), random.uniform(22, 48)
        parts += [_circle(x, y, 15, "#fdf3c4"), _circle(x + random.choice((-7, 7)), y - 3, 13, top)]
    elif time == "sunset":
        x = random.uniform(40, 216)
        parts += [_circle(x, horizon - 6, 42, "#ffe08a", 0.35), _circle(x, horizon - 6, 26, "#ffe9a8")]
    else:
        for _ in range(random.randint(1, 3)):
            x, y, r = random.uniform(10, 246), random.uniform(15, max(30, horizon * 0.5)), random.uniform(9, 15)
            parts += [
                _circle(x + i * r, y - (i % 2) * r / 2, r * (1 - abs(i) / 5), "#fff", 0.9) for i in (-2, -1, 0, 1, 2)
            ]
    return "".join(parts)


def _shade(colours: dict[str, tuple[str, str]], name: str, time: str, y: float) -> str:
    return _gradient(name, y, 256 - y, *colours[time])


def _hill(random: Random, y: float, fill: str) -> str:
    a, b, c = (y + random.uniform(-14, 14) for _ in range(3))
    return f'<path d="M0 {a:.0f} Q64 {b - 18:.0f} 128 {b:.0f} T256 {c:.0f} V256 H0 Z" fill="{fill}"/>'


def _beach(random: Random, time: str) -> str:
    horizon, shore = random.uniform(92, 112), random.uniform(140, 158)
    sea = {"day": ("#1d86c8", "#5fd0dd"), "sunset": ("#8a5a9b", "#f0a58a"), "night": ("#0e1c4a", "#24477c")}
    sand = {"day": ("#f6dfa4", "#e8c27a"), "sunset": ("#eebd8c", "#c98d62"), "night": ("#8d8474", "#5f5850")}
    top, bottom = sand[time]
    bend = shore + random.uniform(-8, 8)
    foam = f"M0 {shore:.0f} Q64 {bend:.0f} 128 {shore:.0f} T256 {shore:.0f} V256 H0 Z"
    return (
        _sky(random, time, horizon)
        + _gradient("sea", horizon, shore - horizon + 14, *sea[time])
        + f'<defs><linearGradient id="sand" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{top}"/>'
        + f'<stop offset="1" stop-color="{bottom}"/></linearGradient></defs>'
        + f'<path d="{foam}" fill="#fff" opacity="0.7"/>'
        + f'<path d="{foam}" fill="url(#sand)" transform="translate(0 6)"/>'
    )


def _meadow(random: Random, time: str) -> str:
    horizon = random.uniform(105, 135)
    far = {"day": "#8fce6a", "sunset": "#a3a552", "night": "#24504a"}[time]
    near = {"day": ("#6cbf4b", "#3f9637"), "sunset": ("#8a983f", "#5a6b2c"), "night": ("#1d4440", "#12302f")}
    parts = [_sky(random, time, horizon + 40), _hill(random, horizon, far), _shade(near, "grass", time, horizon + 26)]
    for _ in range(14):
        x, y = random.uniform(0, 256), random.uniform(horizon + 36, 250)
        parts.append(_circle(x, y, random.uniform(1.8, 3.2), random.choice(("#fff", "#ffd84d", "#ff8fb1"))))
    return "".join(parts)


def _snow(random: Random, time: str) -> str:
    horizon = random.uniform(115, 145)
    ground = {"day": ("#ffffff", "#d9ebf7"), "sunset": ("#fde7e0", "#e2c3d3"), "night": ("#b9c8e6", "#8397c4")}
    far = {"day": "#dcecf8", "sunset": "#ecc9cf", "night": "#7588ba"}[time]
    parts = [
        _sky(random, time, horizon + 40),
        _hill(random, horizon - 6, far),
        _shade(ground, "snow", time, horizon + 14),
    ]
    for _ in range(45):
        parts.append(_circle(random.uniform(0, 256), random.uniform(0, 256), random.uniform(1.2, 2.6), "#fff", 0.95))
    return "".join(parts)


def _sea(random: Random, time: str) -> str:
    horizon = random.uniform(85, 125)
    water = {"day": ("#3fb3dd", "#0d5fa6"), "sunset": ("#d98a86", "#5a4384"), "night": ("#22427e", "#0a1740")}
    parts = [_sky(random, time, horizon), _shade(water, "sea", time, horizon)]
    for _ in range(16):
        x, y = random.uniform(-10, 240), random.uniform(horizon + 8, 250)
        width = random.uniform(12, 34)
        parts.append(
            f'<path d="M{x:.0f} {y:.0f} q{width / 4:.0f} -5 {width / 2:.0f} 0 t{width / 2:.0f} 0" fill="none" '
            f'stroke="#fff" stroke-width="1.8" opacity="0.55"/>'
        )
    return "".join(parts)


def _city(random: Random, time: str) -> str:
    ground = random.uniform(186, 200)
    walls = {
        "day": ("#8ea3b8", "#a9b9c9", "#7d90a8", "#b7a99c"),
        "sunset": ("#6d5577", "#7f5e74", "#5c4a70", "#8a6a74"),
        "night": ("#1f2747", "#2a3358", "#182040", "#303a63"),
    }[time]
    lit = {"day": "#dcecf7", "sunset": "#ffd78a", "night": "#ffe27a"}[time]
    parts, x = [_sky(random, time, ground)], -6.0
    while x < 256:
        width, height = random.uniform(26, 44), random.uniform(60, 130)
        parts.append(_rectangle(x, ground - height, width, height, random.choice(walls)))
        for i in range(int(width // 11)):
            for j in range(int(height // 15)):
                if random.random() < 0.7:
                    parts.append(_rectangle(x + 5 + i * 10, ground - height + 7 + j * 14, 5, 7, lit))
        x += width + 1
    road = {"day": ("#6f747c", "#54585f"), "sunset": ("#5b4d5c", "#453a48"), "night": ("#2b2e3b", "#1d1f29")}
    parts += [_shade(road, "road", time, ground)]
    parts += [_rectangle(i * 52 + random.uniform(0, 6), ground + 32, 26, 4, "#fff", 0.8) for i in range(5)]
    return "".join(parts)


def _room(random: Random, time: str) -> str:
    floor = random.uniform(172, 190)
    wall = random.choice(("#f3dfc1", "#cfe3ea", "#e6d3e8", "#d8e8cf", "#f6d6cf", "#e9e4d8"))
    boards = random.choice((("#c08a56", "#9a6a3e"), ("#b5835a", "#8d6343"), ("#d0a574", "#a97f51")))
    x = random.uniform(24, 160)
    parts = [_rectangle(0, 0, 256, floor, wall), _gradient("floor", floor, 256 - floor, *boards)]
    parts += [_rectangle(0, floor - 7, 256, 7, "#fff"), _rectangle(x, 30, 72, 78, "#fff")]
    parts += [_rectangle(x + 5, 35, 29, 68, "#a7d8f5"), _rectangle(x + 38, 35, 29, 68, "#a7d8f5")]
    return "".join(parts)


def _forest(random: Random, time: str) -> str:
    horizon = random.uniform(140, 160)
    trees = {"day": ("#2f7d3f", "#3b9149", "#276a36"), "sunset": ("#4d5a2c", "#5f6630", "#3f4a28")}
    colours = trees.get(time, ("#10302c", "#163c36", "#0c2825"))
    ground = {"day": ("#78b356", "#4c8a3b"), "sunset": ("#7d8440", "#54592d"), "night": ("#1c3d33", "#122a25")}
    parts = [_sky(random, time, horizon), _shade(ground, "ground", time, horizon)]
    x = -10.0
    while x < 262:
        height, width = random.uniform(70, 120), random.uniform(30, 44)
        base = horizon + random.uniform(0, 12)
        parts.append(_rectangle(x - 3, base - 12, 6, 14, "#5d4030"))
        points = f"{x - width / 2:.0f},{base - 10:.0f} {x:.0f},{base - height:.0f} {x + width / 2:.0f},{base - 10:.0f}"
        parts.append(f'<polygon points="{points}" fill="{random.choice(colours)}"/>')
        x += random.uniform(16, 28)
    return "".join(parts)


def _desert(random: Random, time: str) -> str:
    horizon = random.uniform(115, 140)
    far = {"day": "#e9bd78", "sunset": "#c9784f", "night": "#5d5468"}[time]
    sand = {"day": ("#f2cf8b", "#dba860"), "sunset": ("#dd9560", "#a9623f"), "night": ("#6d6476", "#453f52")}
    return _sky(random, time, horizon + 40) + _hill(random, horizon, far) + _shade(sand, "sand", time, horizon + 24)


def _open_sky(random: Random, time: str) -> str:
    return _sky(random, time, 256)


def _night_sky(random: Random, time: str) -> str:
    return _sky(random, "night", 256)


def _space(random: Random, time: str) -> str:
    parts = [_gradient("space", 0, 256, "#05030f", random.choice(("#1d1040", "#0b1638", "#2a0f3d")))]
    for _ in range(45):
        parts.append(_circle(random.uniform(0, 256), random.uniform(0, 256), random.uniform(1.0, 2.0), "#fff"))
    x, y = random.choice((30, 220)), random.choice((34, 215))
    return "".join(parts) + _circle(x, y, random.uniform(14, 24), random.choice(("#d98f5c", "#7fb2d9", "#c58ad6")))


PLACES: dict[str, Callable[[Random, str], str]] = {
    "beach": _beach,
    "night sky": _night_sky,
    "meadow": _meadow,
    "room": _room,
    "snow": _snow,
    "sea": _sea,
    "city": _city,
    "forest": _forest,
    "desert": _desert,
    "sky": _open_sky,
    "space": _space,
}
FLOATING = ("night sky", "sky", "space")  # nothing to stand on
