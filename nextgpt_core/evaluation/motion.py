"""What moves in a clip, and which way, by measurement alone: no network, no caption.

In front of white, as drawn things are unless a place is asked for, the thing is what differs from it: the way of its
middle, its size, its contrast and its turn from frame to frame tell the motion. In front of a place it is the camera's
motion that is measured: the pan or zoom that fits best. Names of motions are those of `pocket.motion`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

_SIDE = 128  # frames are measured at this many pixels a side
_CONTRAST = 26  # 8-bit steps in any channel that tell a thing from its background
_WHITE = 222  # 8-bit brightness of every channel from which on a rim is white
_ANGLES, _RINGS = 96, 20
_MOVED = 0.12  # share of the picture that a thing must go to have gone somewhere
_TURNED = 100  # degrees that make a turn
_RIM = 4  # pixels of the rim
_STEP = 5  # frames between which a camera's motion is measured

Judgement = tuple[str, str | None]  # kind and direction


@dataclass(frozen=True)
class Track:
    """A thing from frame to frame, arrays over the frames in which it is seen; lengths as shares of the side.

    `contrast` and `seen` are over all frames; `angle` is the sum of turns up to each frame, in degrees clockwise.
    """

    x: np.ndarray
    y: np.ndarray
    area: np.ndarray
    angle: np.ndarray
    pieces: float
    contrast: np.ndarray
    seen: np.ndarray


def judge_motion(frames: np.ndarray) -> Judgement:
    """(frames, h, w, 3) uint8 → ("drive", "left"), ("bounce", None) …; ("still", None) where nothing moves."""
    small = np.stack([_shrink(frame) for frame in frames])
    rims = np.concatenate(
        [small[:, :_RIM].reshape(len(small), -1, 3), small[:, -_RIM:].reshape(len(small), -1, 3),
         small[:, :, :_RIM].reshape(len(small), -1, 3), small[:, :, -_RIM:].reshape(len(small), -1, 3)], 1
    )  # fmt: skip
    colour = np.median(rims, axis=(0, 1))
    white = (rims.min(-1) > _WHITE).mean() > 0.7  # a thing may cross the rim
    return _judge_thing(track(small, colour)) if white else judge_camera(small)


def _judge_thing(way: Track) -> Judgement:
    if len(way.x) < 3:
        return "still", None
    on = way.contrast > 0.35 * way.contrast.max()
    if np.abs(np.diff(on.astype(int))).sum() >= 2:
        return "blink", None
    start, end = way.contrast[:2].mean(), way.contrast[-2:].mean()
    if min(start, end) < 0.5 * max(start, end):
        return "fade", "out" if end < start else "in"
    if abs(way.angle[-1]) > _TURNED:
        return "spin", "clockwise" if way.angle[-1] > 0 else "counterclockwise"
    right, down = (part[-2:].mean() - part[:2].mean() for part in (way.x, way.y))
    if max(abs(right), abs(down)) > _MOVED:
        if abs(down) > abs(right):
            return ("fall", "down") if down > 0 else ("rise", "up")
        return ("follow" if way.pieces > 1.5 else "drive"), "right" if right > 0 else "left"
    growth = np.log(way.area[-2:].mean() / way.area[:2].mean())
    if abs(growth) > np.log(1.6):
        return ("grow" if growth > 0 else "shrink"), None
    wide, high = np.ptp(way.x), np.ptp(way.y)
    if high > _MOVED and high > wide:
        return "bounce", None
    if wide > _MOVED:
        if np.ptp(way.angle) > 20 and np.corrcoef(way.angle, way.x)[0, 1] < -0.5:
            return "swing", None
        farthest = way.x[np.abs(way.x - way.x[0]).argmax()]
        return "return", "right" if farthest > way.x[0] else "left"
    return "still", None


def track(frames: np.ndarray, colour: np.ndarray) -> Track:
    """Follows what differs from the background's colour; frames (n, side, side, 3) float32."""
    differences = frames - colour
    strength = np.abs(differences).max(-1)  # (n, side, side)
    top = np.partition(strength.reshape(len(frames), -1), -_SIDE, axis=1)[:, -_SIDE:]  # under a hundredth of the pixels
    contrast = top.mean(1)
    masks = strength > _CONTRAST
    seen = masks.mean((1, 2)) > 0.002
    grid = (np.arange(_SIDE) + 0.5) / _SIDE
    xs, ys, areas, counts = [], [], [], []
    turns, before = [], None
    for mask, difference in zip(masks[seen], differences[seen], strict=True):
        area = mask.mean()
        x, y = (mask.sum(0) * grid).sum() / mask.sum(), (mask.sum(1) * grid).sum() / mask.sum()
        rings = _polar(difference * mask[..., None], x, y, 1.5 * np.sqrt(area))
        turns.append(_turn(before, rings) if before is not None else 0.0)
        before = rings
        xs.append(x)
        ys.append(y)
        areas.append(area)
        counts.append(_pieces(mask))
    pieces = float(np.mean(counts)) if counts else 0.0
    return Track(*map(np.array, (xs, ys, areas, np.cumsum(turns))), pieces, contrast, seen)


def judge_camera(frames: np.ndarray) -> Judgement:
    """The pan or zoom, the same between any two frames `_STEP` apart, that makes one look most like the other."""
    small = frames[:, ::2, ::2]
    pairs = [(small[i], small[i + _STEP]) for i in range(0, len(small) - _STEP, _STEP)]
    steps: dict[tuple[str, str | None, float], float] = {("still", None, 0.0): _error(pairs, 1, 0)}
    for size in np.linspace(0.03, 0.3, 10):
        for sign, direction in ((1, "in"), (-1, "out")):
            steps["zoom", direction, size] = _error(pairs, float(np.exp(-sign * size)), 0)
        for sign, direction in ((1, "right"), (-1, "left")):
            steps["pan", direction, size] = _error(pairs, 1, sign * size)
    kind, direction, _ = min(steps, key=steps.__getitem__)
    return kind, direction


def likeness_when_turned(picture: np.ndarray) -> float:
    """How like itself a thing on white (h, w, 3) is at best when turned by 20 degrees or more; 1 is the same."""
    difference = _shrink(picture.astype(np.uint8)) - 255
    rings = _polar(difference, 0.5, 0.5, 0.5)
    match = np.fft.ifft(np.abs(rings) ** 2, axis=0).real.sum((1, 2))
    least = _ANGLES * 20 // 360
    return float(match[least:-least].max() / match[0])


def _error(pairs: list[tuple[np.ndarray, np.ndarray]], scale: float, shift: float) -> float:
    """How unlike later frames are to earlier ones seen through a window of side `scale`, `shift` to the right."""
    side = len(pairs[0][0])
    centres = (np.arange(side) + 0.5) / side - 0.5
    rows, columns = scale * centres + 0.5, scale * centres + 0.5 + shift
    known = ((rows >= 0) & (rows < 1))[:, None] & ((columns >= 0) & (columns < 1))[None]
    y, x = ((part.clip(0, 0.999) * side).astype(int) for part in (rows, columns))
    return float(np.mean([np.abs(earlier[y][:, x] - later)[known].mean() for earlier, later in pairs]))


def _polar(picture: np.ndarray, x: float, y: float, radius: float) -> np.ndarray:
    """The Fourier transform along the angle of a picture (side, side, 3) around a point, (angles, rings, 3)."""
    angles = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    radii = np.linspace(0.15, 1, _RINGS) * radius
    columns = ((x + radii * np.cos(angles)[:, None]) * _SIDE).astype(int)
    rows = ((y + radii * np.sin(angles)[:, None]) * _SIDE).astype(int)
    inside = (columns >= 0) & (columns < _SIDE) & (rows >= 0) & (rows < _SIDE)
    sampled = picture[rows.clip(0, _SIDE - 1), columns.clip(0, _SIDE - 1)] * inside[..., None] * radii[:, None]
    return np.fft.fft(sampled, axis=0)


def _turn(before: np.ndarray, after: np.ndarray) -> float:
    """Degrees clockwise, within ±52, by which the later rings fit the earlier ones best."""
    match = np.fft.ifft(np.conj(before) * after, axis=0).real.sum((1, 2))
    reach = _ANGLES * 52 // 360
    steps = np.arange(-reach, reach + 1)
    return float(steps[match[steps].argmax()] * 360 / _ANGLES)


def _pieces(mask: np.ndarray) -> int:
    """Runs of columns that are not empty, each at least a 20th of the picture wide."""
    filled = np.concatenate([[0], (mask.sum(0) >= 2).astype(int), [0]])
    edges = np.diff(filled)
    return int((np.nonzero(edges == -1)[0] - np.nonzero(edges == 1)[0] >= _SIDE // 20).sum())


def _shrink(frame: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
