"""Draws and plays the example media of this folder: `python assets/examples/make.py`.

A sailing boat at sunset, a bouncing ball, a melody of bells. Everything is computed here, nothing is random.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from nextgpt_core import media  # noqa: E402  (the line above finds it)

NOTE = {"made by": "assets/examples/make.py"}
SMOOTH = 3  # drawn at three times the size, then shrunk


def sailing_boat(width: int = 640, height: int = 480) -> Image.Image:
    """A white sailing boat before a low sun, its light on the water."""
    w, h = width * SMOOTH, height * SMOOTH
    horizon, sun, radius = 0.66, (0.98, 0.63), 0.05
    y, x = np.mgrid[0:h, 0:w] / h
    sky = _blend(y / horizon, [(44, 52, 110), (146, 84, 130), (238, 128, 92), (255, 204, 128)])
    glow = np.exp(-(np.hypot(x - sun[0], y - sun[1]) ** 2) / 0.04)[..., None]
    sky = sky * (1 - 0.6 * glow) + np.array([255, 232, 170]) * 0.6 * glow
    depth = ((y - horizon) / (1 - horizon)).clip(0, 1)
    water = _blend(depth, [(226, 140, 110), (96, 84, 130), (28, 40, 84)])
    waves = np.sin(260 * np.log(depth + 0.08) + 9 * np.sin(7 * x + 30 * depth)) * (0.25 + depth)
    water += 9 * waves[..., None]
    path = np.exp(-(((x - sun[0]) / (0.05 + 0.10 * depth)) ** 2)) * (0.35 + 0.65 * (waves > 0.1))
    water += path[..., None] * np.array([120, 96, 50])
    disc = np.hypot(x - sun[0], y - sun[1]) < radius
    sky[disc] = (255, 244, 206)
    picture = Image.fromarray(np.where((y < horizon)[..., None], sky, water).clip(0, 255).astype(np.uint8))
    _draw_boat(picture, at=(0.45 * w, 0.76 * h), size=0.70 * h)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _draw_boat(picture: Image.Image, at: tuple[float, float], size: float) -> None:
    def points(*pairs: tuple[float, float]) -> list[tuple[float, float]]:
        return [(at[0] + size * x, at[1] + size * y) for x, y in pairs]

    reflection = Image.new("L", picture.size)
    ImageDraw.Draw(reflection).polygon(points((-0.34, 0.06), (0.36, 0.06), (0.16, 0.52), (-0.20, 0.46)), fill=110)
    picture.paste((30, 34, 66), mask=reflection.filter(ImageFilter.GaussianBlur(size / 40)))
    draw = ImageDraw.Draw(picture)
    leech = [_between((-0.02, -0.86), (0.30, -0.52), (0.36, -0.07), t) for t in np.linspace(0, 1, 40)]
    draw.polygon(points(*leech, (-0.02, -0.04)), fill=(250, 246, 238))  # mainsail, full of wind
    luff = [_between((-0.06, -0.80), (-0.22, -0.45), (-0.44, -0.06), t) for t in np.linspace(0, 1, 40)]
    foot = [_between((-0.44, -0.06), (-0.20, -0.10), (-0.10, -0.07), t) for t in np.linspace(0, 1, 20)]
    leech = [_between((-0.10, -0.07), (-0.02, -0.45), (-0.06, -0.80), t) for t in np.linspace(0, 1, 40)]
    draw.polygon(points(*luff, *foot, *leech), fill=(238, 222, 212))  # jib
    for height in (-0.22, -0.40, -0.58):  # seams
        reach = _between((-0.02, -0.86), (0.30, -0.52), (0.36, -0.07), (height + 0.86) / 0.79)
        draw.line(points((-0.02, height), (reach[0], height + 0.02)), fill=(222, 212, 206), width=round(size / 160))
    draw.line(points((-0.04, -0.92), (-0.04, 0.0)), fill=(92, 58, 40), width=round(size / 70))  # mast
    draw.line(points((-0.04, -0.045), (0.38, -0.055)), fill=(92, 58, 40), width=round(size / 90))  # boom
    sheer = [_between((-0.50, -0.04), (0.0, 0.02), (0.46, -0.02), t) for t in np.linspace(0, 1, 40)]
    keel = [_between((0.40, 0.06), (0.0, 0.10), (-0.40, 0.06), t) for t in np.linspace(0, 1, 40)]
    draw.polygon(points(*sheer, *keel), fill=(142, 44, 40))  # hull
    draw.line(points(*sheer), fill=(248, 240, 226), width=round(size / 60))


def _between(
    start: tuple[float, float], pull: tuple[float, float], end: tuple[float, float], t: float
) -> tuple[float, float]:
    """A point of the quadratic curve, at t from 0 to 1."""
    a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
    return a * start[0] + b * pull[0] + c * end[0], a * start[1] + b * pull[1] + c * end[1]


def bouncing_ball(size: int = 256, frames: int = 48) -> np.ndarray:
    """(frames, size, size, 3): a red ball that bounces three times on a wooden floor, before a blue wall."""
    side = size * 2
    y, x = np.mgrid[0:side, 0:side] / side
    room = np.where(
        (y < 0.72)[..., None],
        _blend(y / 0.72, [(150, 196, 226), (196, 222, 238)]),
        _blend((y - 0.72) / 0.28, [(168, 118, 72), (206, 152, 98)])
        - 14 * (np.sin(40 * x / (y + 0.3)) > 0.93)[..., None],
    )
    clip = []
    for i in range(frames):
        phase = i / frames * 3 % 1  # of one bounce
        height = 4 * phase * (1 - phase)
        squeeze = max(0.0, 1 - height * 6) * 0.22
        rx, ry = 0.13 * (1 + squeeze), 0.13 * (1 - squeeze)
        cx, cy = 0.5, 0.86 - ry - 0.52 * height
        frame = room.copy()
        shadow = np.exp(-(((x - cx) / (0.16 + 0.05 * height)) ** 2) - ((y - 0.865) / 0.022) ** 2)
        frame *= 1 - (0.55 - 0.3 * height) * shadow[..., None]
        ball = np.hypot((x - cx) / rx, (y - cy) / ry)
        light = np.hypot((x - cx) / rx + 0.4, (y - cy) / ry + 0.45)
        colour = _blend(light / 1.9, [(255, 150, 130), (226, 52, 44), (120, 14, 22)])
        frame = np.where((ball < 1)[..., None], colour, frame)
        picture = Image.fromarray(frame.clip(0, 255).astype(np.uint8))
        clip.append(np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS)))
    return np.stack(clip)


def bells(rate: int = 16_000) -> np.ndarray:
    """(n,): five notes on a bell, which rise and come home."""
    partials = ((0.5, 0.5, 1.6), (1.0, 1.0, 1.2), (1.19, 0.5, 0.9), (1.5, 0.35, 0.8), (2.0, 0.6, 0.7), (3.01, 0.3, 0.4))
    melody = np.zeros(round(4.5 * rate))
    for start, note in zip((0.0, 0.5, 1.0, 1.5, 2.1), (0, 4, 7, 12, 7), strict=True):
        time = np.arange(len(melody) - round(start * rate)) / rate
        hertz = 523.25 * 2 ** (note / 12)
        strike = sum(a * np.sin(2 * np.pi * hertz * k * time) * np.exp(-time * 2.2 / d) for k, a, d in partials)
        melody[-len(time) :] += strike * np.minimum(1, time * 800)
    fade = np.minimum(1, (len(melody) - np.arange(len(melody))) / (0.3 * rate))
    return (0.8 * melody / np.abs(melody).max() * fade).astype(np.float32)


def _blend(position: np.ndarray, colours: list[tuple[int, int, int]]) -> np.ndarray:
    """(…, 3) floats: from the first colour at 0 to the last at 1."""
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(position, stops, channel) for channel in zip(*colours, strict=True)], axis=-1)


if __name__ == "__main__":
    sailing_boat().save(HERE / "sailing-boat.jpg", quality=88, comment=NOTE["made by"])
    media.write_video(bouncing_ball(), HERE / "bouncing-ball.mp4", 16, NOTE)
    media.write_audio(bells(), 16_000, HERE / "bells.wav", NOTE)
