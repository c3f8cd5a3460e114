"""How things move in a clip: a motion is a small value, and where it puts a thing at a moment is arithmetic.

Times run from 0 to 1 over a clip, places and lengths are shares of the picture, angles are degrees clockwise as one
looks at it. Which words a motion has is the business of `motion_phrases`, what moves that of `clips`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

PACES = ("slow", "normal", "fast")
DIRECTIONS: dict[str, tuple[str | None, ...]] = {  # kind → its directions, (None,) where it has none
    "rise": ("up",),
    "fall": ("down",),
    "drive": ("right", "left"),
    "return": ("right", "left"),  # there and back; the direction is that of the way out
    "bounce": (None,),
    "spin": ("clockwise", "counterclockwise"),
    "swing": (None,),
    "grow": (None,),
    "shrink": (None,),
    "fade": ("out", "in"),
    "blink": (None,),
    "follow": ("right", "left"),  # the second thing leads
    "zoom": ("in", "out"),
    "pan": ("right", "left"),  # the camera's way: the world goes the other
    "roll": ("right", "left"),
    "shake": (None,),
    "float": (None,),
}
CAMERA = ("zoom", "pan")


@dataclass(frozen=True)
class Motion:
    """`reach` scales how far it goes, a little different in every clip."""

    kind: str
    direction: str | None = None
    pace: str = "normal"
    reach: float = 1.0


@dataclass(frozen=True)
class Pose:
    """What a motion adds to a thing's own place, size and look at one moment."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    angle: float = 0.0
    opacity: float = 1.0
    turned: bool = False  # whether it heads to the right, as few drawn things do by themselves


@dataclass(frozen=True)
class Window:
    """The part of the world that the camera sees: its middle and side as shares of a picture's side."""

    x: float = 0.5
    y: float = 0.5
    side: float = 1.0


def pose(motion: Motion, time: float) -> Pose:
    """Where a thing is; a camera's motion leaves things alone."""
    move = _POSES.get(motion.kind)
    return move(motion, time) if move else Pose()


def window(motion: Motion, time: float) -> Window:
    """What the camera sees; things' motions leave it alone."""
    if motion.kind == "zoom":
        near = 1 - _paced(motion, 0.22, 0.38, 0.52) * motion.reach
        into = time if motion.direction == "in" else 1 - time
        return Window(side=near**into)
    if motion.kind == "pan":
        way = _paced(motion, 0.16, 0.28, 0.4) * motion.reach
        side = 0.6
        return Window(x=0.5 + _sign(motion) * way * (time - 0.5), side=side)
    return Window()


def _sign(motion: Motion) -> int:
    return -1 if motion.direction in ("left", "up", "counterclockwise") else 1


def _paced(motion: Motion, slow: float, normal: float, fast: float) -> float:
    return {"slow": slow, "normal": normal, "fast": fast}[motion.pace]


def _rise(motion: Motion, time: float) -> Pose:
    return Pose(y=-motion.reach * _paced(motion, 0.24, 0.5, 0.8) * (time**1.4 - 0.5))


def _fall(motion: Motion, time: float) -> Pose:
    return Pose(y=motion.reach * _paced(motion, 0.24, 0.5, 0.8) * (time**1.5 - 0.5))


def _drive(motion: Motion, time: float) -> Pose:
    way = motion.reach * _paced(motion, 0.28, 0.56, 1.0)
    return Pose(x=_sign(motion) * way * (time - 0.5), turned=_sign(motion) > 0)


def _follow(motion: Motion, time: float) -> Pose:
    way = motion.reach * _paced(motion, 0.2, 0.34, 0.6)
    return Pose(x=_sign(motion) * way * (time - 0.5), turned=_sign(motion) > 0)


def _return(motion: Motion, time: float) -> Pose:
    rounds = 2 if motion.pace == "fast" else 1
    turn = 2 * math.pi * rounds * time
    way = motion.reach * _paced(motion, 0.16, 0.26, 0.26)
    return Pose(x=-_sign(motion) * way * math.cos(turn), turned=(math.sin(turn) > -1e-6) == (_sign(motion) > 0))


def _bounce(motion: Motion, time: float) -> Pose:
    height = abs(math.sin(math.pi * _paced(motion, 1, 2, 3) * time))
    return Pose(y=0.18 - motion.reach * _paced(motion, 0.34, 0.34, 0.3) * height)


def _spin(motion: Motion, time: float) -> Pose:
    return Pose(angle=_sign(motion) * 360 * _paced(motion, 0.5, 1, 1.5) * motion.reach * time)


def _swing(motion: Motion, time: float) -> Pose:
    """As hung from above: the way of the middle belongs to the angle."""
    angle = 26 * motion.reach * math.sin(2 * math.pi * _paced(motion, 1, 1.5, 2.5) * time)
    return Pose(x=-0.42 * math.sin(math.radians(angle)), y=0.42 * (math.cos(math.radians(angle)) - 1), angle=angle)


def _grow(motion: Motion, time: float) -> Pose:
    start = _paced(motion, 0.62, 0.38, 0.3) / motion.reach
    return Pose(scale=start ** (1 - min(1.0, time * _paced(motion, 1, 1, 1.8))))


def _shrink(motion: Motion, time: float) -> Pose:
    end = _paced(motion, 0.62, 0.38, 0.3) / motion.reach
    return Pose(scale=end ** min(1.0, time * _paced(motion, 1, 1, 1.8)))


def _fade(motion: Motion, time: float) -> Pose:
    gone = min(1.0, time * _paced(motion, 0.8, 1, 1.8))
    return Pose(opacity=1 - gone if motion.direction == "out" else gone)


def _blink(motion: Motion, time: float) -> Pose:
    """On and off in whole frames of a clip of 16: for 4, 3 or 2 of them."""
    return Pose(opacity=1.0 if round(time * 15) // _paced(motion, 4, 3, 2) % 2 == 0 else 0.0)


def _roll(motion: Motion, time: float) -> Pose:
    way = motion.reach * _paced(motion, 0.28, 0.56, 0.9)
    return Pose(x=_sign(motion) * way * (time - 0.5), angle=_sign(motion) * way * 620 * time)


def _shake(motion: Motion, time: float) -> Pose:
    step = round(time * 15) // (2 if motion.pace == "slow" else 1)
    return Pose(x=0.03 * motion.reach * (1 if step % 2 else -1))


def _float(motion: Motion, time: float) -> Pose:
    turn = 2 * math.pi * _paced(motion, 0.5, 1, 1.5) * time
    return Pose(x=0.03 * math.sin(turn / 2), y=-0.07 * motion.reach * math.sin(turn), angle=4 * math.sin(turn / 2))


_POSES: dict[str, Callable[[Motion, float], Pose]] = {
    "rise": _rise,
    "fall": _fall,
    "drive": _drive,
    "return": _return,
    "bounce": _bounce,
    "spin": _spin,
    "swing": _swing,
    "grow": _grow,
    "shrink": _shrink,
    "fade": _fade,
    "blink": _blink,
    "follow": _follow,
    "roll": _roll,
    "shake": _shake,
    "float": _float,
}
