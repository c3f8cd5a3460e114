"""How good the clip decoder is: captions straight into it, no language model, and judges on what comes out.

One set of captions serves all judges: each names a thing and a motion, half of them pairs that training never showed.
What the judges say of real clips of the same captions stands beside every figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nextgpt_core.decoders.video import VideoDecoder
from nextgpt_core.encoders.efficientnet import EfficientNetLite2
from nextgpt_core.evaluation import pictures as judges
from nextgpt_core.evaluation.motion import Judgement, judge_motion, likeness_when_turned
from nextgpt_core.pocket import images, motion_phrases, phrases
from nextgpt_core.pocket.backgrounds import PLACES
from nextgpt_core.pocket.captions import article
from nextgpt_core.pocket.clips import Clip, follow_items, place_item, render_clip
from nextgpt_core.pocket.holdout import DEFAULT_STYLE, motion_held_out
from nextgpt_core.pocket.motion import CAMERA, DIRECTIONS, PACES, Motion
from nextgpt_core.pocket.scenes import Item, Scene, render
from nextgpt_core.pocket.sources import STYLES, Sprites

_ASKED = [(kind, way) for kind, ways in DIRECTIONS.items() if kind not in ("roll", "shake", "float") for way in ways]
_SEEN = 8  # 8-bit steps that a change must have to be seen
_LOOKED_AT = 4  # frames of a clip that the object's judge sees


@dataclass(frozen=True)
class Case:
    """A clip to ask for. `seen`: training showed its thing in this motion, or may have."""

    clip: Clip
    seen: bool

    @property
    def answer(self) -> Judgement:
        return self.clip.motion.kind, self.clip.motion.direction


def evaluate_videos(
    decoder: VideoDecoder, encoder: EfficientNetLite2, data: Path, concepts: int = 200
) -> dict[str, Any]:
    """One object of figures, shares from 0 to 1; `data` is the folder that `data images` builds."""
    sprites, hues = images.open_sprites(data)
    cases = draw_cases(sprites, hues, concepts)
    captions = [case.clip.scene.caption for case in cases]
    decoder.generate(decoder.embed_text(captions[:1]))  # the first run warms up
    began = time.monotonic()
    made = [decoder.generate(decoder.embed_text([words]), None, seed) for seed, words in enumerate(_shown(captions))]
    seconds = (time.monotonic() - began) / len(made)
    real = [render_clip(case.clip, sprites, hues) for case in cases]
    return {
        "objects": judge_objects(cases, made, real, encoder, sprites, hues),
        "motion": judge_motions(cases, made, real),
        "difference_ratio": _ratio(change, made, real),
        "flicker_ratio": _ratio(flicker, made, real),
        "seconds_per_clip": round(seconds, 2),
        "weights_mb": round(sum(path.stat().st_size for path in decoder.folder.rglob("*.safetensors")) / 1e6, 1),
    }


def draw_cases(sprites: Sprites, hues: images.Hues, count: int) -> list[Case]:
    """`count` things, all different while there are any, in all motions and directions by turns."""
    random = Random(4)
    names = [name for (name, style), hue in hues.items() if style == DEFAULT_STYLE and hue is not None]
    random.shuffle(names)
    names = [name for name in names if not name.endswith("s")]
    cases: list[Case] = []
    while len(cases) < count:
        kind, direction = _ASKED[len(cases) % len(_ASKED)]
        seen = len(cases) // len(_ASKED) % 2 == 0
        fits = (name for name in names if motion_held_out(name, kind) != seen and _fits(name, kind, sprites))
        if (name := next(fits, None)) is None:
            raise ValueError(f"No drawn thing is left to show {kind!r}; evaluate fewer concepts than {count}.")
        names.remove(name)
        motion = Motion(kind, direction, random.choice(PACES))
        partner = random.choice(names) if kind == "follow" else None
        cases.append(Case(_clip(name, motion, random, partner), seen))
    return cases


def judge_objects(
    cases: Sequence[Case],
    made: Sequence[np.ndarray],
    real: Sequence[np.ndarray],
    encoder: EfficientNetLite2,
    sprites: Sprites,
    hues: images.Hues,
) -> dict[str, Any]:
    """Of clips of one thing: the rank of its name by the mean features of four frames, among all names asked for."""
    alone = [i for i, case in enumerate(cases) if len(case.clip.scene.items) == 1]
    names = [cases[i].clip.scene.items[0].concept for i in alone]
    judge = judges.ObjectJudge(torch.stack([_centroid(name, encoder, sprites, hues) for name in names]))
    figures: dict[str, Any] = {"concepts": len(names)}
    for prefix, clips in (("", made), ("ceiling_", real)):
        features = torch.stack([_features(clips[i], encoder) for i in alone])
        ranks = judge.ranks(features, range(len(names)))
        for limit in (1, 5):
            figures[f"{prefix}top{limit}"] = round(judges.share_within(ranks, limit), 3)
    return figures


def judge_motions(cases: Sequence[Case], made: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> dict[str, Any]:
    """Shares of the right type, and of the right direction among motions that have one."""
    figures: dict[str, Any] = {}
    for prefix, clips in (("", made), ("ceiling_", real)):
        judged = [judge_motion(clip) for clip in clips]
        right = [found[0] == case.answer[0] for found, case in zip(judged, cases, strict=True)]
        ways = [found[1] == case.answer[1] for found, case in zip(judged, cases, strict=True) if case.answer[1]]
        figures[f"{prefix}type"], figures[f"{prefix}direction"] = (round(float(np.mean(p)), 3) for p in (right, ways))
        known, new = (
            float(np.mean([hit for hit, case in zip(right, cases, strict=True) if case.seen == seen]))
            for seen in (True, False)
        )
        figures[f"{prefix}unseen_drop"] = round(known - new, 3)
        kinds = {case.answer[0] for case in cases}
        figures[f"{prefix}type_of"] = {
            kind: round(float(np.mean([r for r, case in zip(right, cases, strict=True) if case.answer[0] == kind])), 2)
            for kind in sorted(kinds)
        }
    return figures


def change(clip: np.ndarray) -> float:
    """The mean difference from frame to frame, in 8-bit steps."""
    return float(np.abs(np.diff(clip.astype(np.float32), axis=0)).mean())


def flicker(clip: np.ndarray) -> float:
    """The same of what changes and changes back at once, as far as one sees it: how much a moving thing does not."""
    steps = np.diff(clip.astype(np.float32), axis=0)
    back = np.minimum(np.abs(steps[:-1]), np.abs(steps[1:]))
    return float(back[(steps[:-1] * steps[1:] < 0) & (back > _SEEN)].sum() / back.size)


def _ratio(measure: Callable[[np.ndarray], float], made: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> float:
    of_made, of_real = (np.mean([measure(clip) for clip in clips]) for clips in (made, real))
    return round(float(of_made / of_real), 3)


def _clip(name: str, motion: Motion, random: Random, partner: str | None) -> Clip:
    """In front of white, where things' motions can be measured; a camera's, in front of a place."""
    where, words = "white", ""
    if motion.kind in CAMERA:
        where = random.choice([place for place in PLACES if place not in ("sky", "space", "night sky")])
        words = phrases.place(where, "day", random)
    caption = motion_phrases.plain(article(name), motion, words, article(partner) if partner else "")
    if partner:
        items = follow_items((name, partner), (None, None), motion, where, random)
    else:
        items = (Item(name, DEFAULT_STYLE, None, *place_item(motion.kind, where, random)),)
    return Clip(Scene("clip", caption, items, where, "day", random.randrange(48)), motion)


def _fits(name: str, kind: str, sprites: Sprites) -> bool:
    """Whether one could see it: a ball that spins looks as if it stood still."""
    if kind not in ("spin", "swing"):
        return True
    sprite = sprites.pixels[sprites.rows[name, DEFAULT_STYLE]].astype(np.float32)
    alpha = sprite[..., 3:] / 255
    return likeness_when_turned(sprite[..., :3] * alpha + 255 * (1 - alpha)) < 0.85


def _centroid(name: str, encoder: EfficientNetLite2, sprites: Sprites, hues: images.Hues) -> torch.Tensor:
    """(1280,): the mean over the styles other than the one that is judged, as large as things in clips are."""
    styles = [style for style in STYLES if style != DEFAULT_STYLE and (name, style) in sprites.rows]
    scenes = [Scene("single", "", (Item(name, style, None, 0.5, 0.5, 0.5),), "white") for style in styles]
    return judges.picture_features(encoder, [render(scene, sprites, hues) for scene in scenes]).mean(0)


def _features(clip: np.ndarray, encoder: EfficientNetLite2) -> torch.Tensor:
    picked = [clip[(2 * i + 1) * len(clip) // (2 * _LOOKED_AT)] for i in range(_LOOKED_AT)]
    return judges.picture_features(encoder, picked).mean(0)


def _shown(captions: Sequence[str]) -> Iterable[str]:
    return tqdm(captions, desc="clips", unit="clip", leave=False)
