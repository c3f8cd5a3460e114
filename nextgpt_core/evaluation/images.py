"""How good the picture decoder is: captions straight into it, no language model, and judges on what comes out.

Objects are asked for in a style in which training never showed them; scenes partly in combinations that training
left out. Every figure stands beside the judge's ceiling: the same judge on real renders of the same captions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nextgpt_core.decoders.image import ImageDecoder
from nextgpt_core.decoders.latent_diffusion import to_bytes
from nextgpt_core.encoders.efficientnet import EfficientNetLite2
from nextgpt_core.evaluation import pictures as judges
from nextgpt_core.pocket import images, phrases
from nextgpt_core.pocket.autoencoder_task import measure_psnr, to_pixels
from nextgpt_core.pocket.backgrounds import PLACES, TIMES, draw_background, has_times
from nextgpt_core.pocket.captions import article
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.colours import HUES
from nextgpt_core.pocket.holdout import DEFAULT_STYLE, colour_held_out, relation_held_out, style_held_out
from nextgpt_core.pocket.scenes import Item, Scene, render
from nextgpt_core.pocket.sources import STYLES, Sprites

Draw = Callable[[Sequence[str], int], list[np.ndarray]]  # captions, first seed → pictures (256, 256, 3) uint8
_BATCH = 16
UNSEEN = 10_000_000  # shards from this number on are never built for training


@dataclass(frozen=True)
class Case:
    """A caption, the scene it means, and the answer that its judge should give. `seen`: the combination was trained."""

    scene: Scene
    answer: Any
    seen: bool = True


def evaluate_images(
    decoder: ImageDecoder, encoder: EfficientNetLite2, data: Path, concepts: int = 400, cases: int = 60
) -> dict[str, Any]:
    """One object of figures, shares from 0 to 1; `data` is the folder that `data images` builds."""
    sprites, hues = images.open_sprites(data)
    draw = _drawer(decoder)

    def real(scenes: Sequence[Scene]) -> list[np.ndarray]:
        return [render(scene, sprites, hues) for scene in scenes]

    condition = decoder.embed_text(["a red apple"])
    decoder.generate(condition)  # the first run warms up
    began = time.monotonic()
    decoder.generate(condition)
    seconds = time.monotonic() - began
    weights = sum(path.stat().st_size for path in decoder.folder.rglob("*.safetensors"))
    unseen = images.draw_pictures(data, UNSEEN, 192)[1]
    return {
        "objects": _objects(draw, real, encoder, sprites, concepts),
        "scenes": _scenes(draw, real, hues, cases),
        "diversity": _diversity(draw, encoder, images.draw_pictures(data, 0, 1000)[1]),
        "seconds_per_image": round(seconds, 2),
        "weights_mb": round(weights / 1e6, 1),
        "autoencoder_psnr": round(measure_psnr(decoder.pipeline.vae, to_pixels(unseen)), 2),
    }


def object_pairs(sprites: Sprites, count: int) -> list[tuple[str, str]]:
    """`count` concepts, each with one style in which training never showed it."""
    pairs = []
    for concept in load_catalog():
        styles = [s for s in STYLES if (concept.name, s) in sprites.rows and style_held_out(concept.name, s)]
        if styles:
            pairs.append((concept.name, Random(concept.name).choice(styles)))
    Random(0).shuffle(pairs)
    return pairs[:count]


def _objects(
    draw: Draw,
    real: Callable[[Sequence[Scene]], list[np.ndarray]],
    encoder: EfficientNetLite2,
    sprites: Sprites,
    count: int,
) -> dict[str, Any]:
    pairs = object_pairs(sprites, count)
    names = [name for name, _ in pairs]
    renders: dict[tuple[str, str], torch.Tensor] = {}
    for style in STYLES:
        present = [name for name in names if (name, style) in sprites.rows]
        shown = real([_plain(Item(name, style, None, 0.5, 0.5, 0.8), "") for name in present])
        renders.update(zip(((name, style) for name in present), judges.picture_features(encoder, shown), strict=True))

    def judge(*left_out: str) -> judges.ObjectJudge:
        """By the centroids of all renders but those of some styles."""
        others = [[renders[name, s] for s in STYLES if s not in left_out and (name, s) in renders] for name in names]
        usual = [renders[name, DEFAULT_STYLE] for name in names]  # where there is no other
        return judges.ObjectJudge(
            torch.stack([torch.stack(some or [one]).mean(0) for some, one in zip(others, usual, strict=True)])
        )

    by_style = {style: judge(style) for style in STYLES}
    without_usual = {style: judge(style, DEFAULT_STYLE) for style in STYLES}
    made = judges.picture_features(encoder, draw([phrases.in_style(name, style) for name, style in pairs], 1000))
    default = judges.picture_features(encoder, draw([article(name) for name in names], 5000))
    ranks: dict[str, list[int]] = {"made": [], "real": [], "default": [], "without": [], "real_without": []}
    for i, (name, style) in enumerate(pairs):
        ranks["made"] += by_style[style].ranks(made[i : i + 1], [i])
        ranks["real"] += by_style[style].ranks(renders[name, style][None], [i])
        ranks["default"] += by_style[DEFAULT_STYLE].ranks(default[i : i + 1], [i])
        ranks["without"] += without_usual[style].ranks(made[i : i + 1], [i])
        ranks["real_without"] += without_usual[style].ranks(renders[name, style][None], [i])
    return {
        "concepts": len(pairs),
        **{
            f"{name}top{n}": round(judges.share_within(ranks[group], n), 3)
            for name, group in (
                ("", "made"),
                ("ceiling_", "real"),
                ("default_style_", "default"),
                # The usual style lends its shapes to unseen pairs, so here it is no part of the centroids.
                ("without_usual_", "without"),
                ("ceiling_without_usual_", "real_without"),
            )
            for n in (1, 5)
        },
    }


def _scenes(
    draw: Draw, real: Callable[[Sequence[Scene]], list[np.ndarray]], hues: images.Hues, cases: int
) -> dict[str, Any]:
    backgrounds = {
        (place, time): [draw_background(place, time, variant) for variant in range(6)]
        for place in PLACES
        for time in (TIMES if has_times(place) else ("day",))
        if (place, time) != ("sky", "night")  # the same pictures as "night sky"
    }
    which_place = judges.BackgroundJudge(backgrounds)
    random = Random(1)
    asked: dict[str, tuple[list[Case], Callable[[np.ndarray, Case], bool]]] = {
        "colour": (colour_cases(hues, cases, random), lambda p, c: judges.judge_colour(p) == c.answer),
        "count": (count_cases(hues, cases, random), lambda p, c: judges.judge_count(p) == c.answer),
        "side": (side_cases(hues, cases, random), lambda p, c: judges.judge_side(p, *c.answer[:2]) == c.answer[2]),
        "background": (background_cases(hues, cases, random), lambda p, c: which_place(p) == c.answer),
    }
    figures: dict[str, Any] = {}
    drops = []
    for name, (group, right) in asked.items():
        made = [right(p, c) for p, c in zip(draw([c.scene.caption for c in group], 2000), group, strict=True)]
        shown = [right(p, c) for p, c in zip(real([c.scene for c in group]), group, strict=True)]
        figures[name] = round(float(np.mean(made)), 3)
        figures[f"ceiling_{name}"] = round(float(np.mean(shown)), 3)
        if any(not c.seen for c in group):
            seen, unseen = (
                [hit for hit, c in zip(made, group, strict=True) if c.seen is kind] for kind in (True, False)
            )
            drops.append(float(np.mean(seen)) - float(np.mean(unseen)))
    return figures | {"unseen_drop": round(max(drops), 3)}


def colour_cases(hues: images.Hues, count: int, random: Random) -> list[Case]:
    """ "a blue dog", half of them colours in which training never showed the object."""
    names = _recolourable(hues)
    made = []
    while len(made) < count:
        name, colour, seen = random.choice(names), random.choice(list(HUES)), len(made) % 2 == 0
        if colour_held_out(name, colour) is seen:
            continue
        item = Item(name, DEFAULT_STYLE, colour, 0.5, 0.5, 0.78)
        made.append(Case(_plain(item, article(f"{colour} {name}")), colour, seen))
    return made


def count_cases(hues: images.Hues, count: int, random: Random) -> list[Case]:
    """ "two dogs": one to three of a thing, whose render is one piece."""
    made = []
    for i in range(count):
        number, name = i % 3 + 1, random.choice(_recolourable(hues))
        side = (0.78, 0.42, 0.29)[number - 1]
        items = tuple(Item(name, DEFAULT_STYLE, None, (k + 0.5) / number, 0.5, side) for k in range(number))
        caption = phrases.thing(name, None, None, number, random)
        made.append(Case(Scene("count", caption, items, "white"), number))
    return made


def side_cases(hues: images.Hues, count: int, random: Random) -> list[Case]:
    """ "a red dog to the left of a blue car", half of them pairs that training never showed so."""
    names, colours = _recolourable(hues), ("red", "green", "blue", "yellow", "purple")
    made = []
    while len(made) < count:
        first, second = random.sample(names, 2)
        relation, (one, two), seen = (
            random.choice(("left of", "right of")),
            random.sample(colours, 2),
            len(made) % 2 == 0,
        )
        coloured = colour_held_out(first, one) or colour_held_out(second, two)
        if relation_held_out(first, relation, second) is seen or coloured:
            continue
        left = relation == "left of"
        items = (
            Item(first, DEFAULT_STYLE, one, 0.26 if left else 0.74, 0.5, 0.42),
            Item(second, DEFAULT_STYLE, two, 0.74 if left else 0.26, 0.5, 0.42),
        )
        caption = f"{article(f'{one} {first}')} to the {relation} {article(f'{two} {second}')}"
        scene = Scene("pair", caption, items, "white", relation=relation)
        made.append(Case(scene, (one, two, relation), seen))
    return made


def background_cases(hues: images.Hues, count: int, random: Random) -> list[Case]:
    """ "a dog on a beach at night": the issue's places, at times in which they look different."""
    made, names = [], _recolourable(hues)
    places = ("beach", "night sky", "meadow", "room", "snow", "sea", "city")
    for i in range(count):
        place, name = places[i % len(places)], random.choice(names)
        time = random.choice(TIMES) if has_times(place) else "day"
        caption = f"{article(name)} {phrases.place(place, time, random)}"
        item = Item(name, DEFAULT_STYLE, None, 0.5, 0.6, 0.5)
        made.append(Case(Scene("place", caption, (item,), place, time, random.randrange(6, 48)), place))
    return made


def _diversity(draw: Draw, encoder: EfficientNetLite2, training: Sequence[np.ndarray]) -> dict[str, float]:
    captions = ("a red apple", "a dog", "a blue car on a beach", "two cats")
    groups = [draw([caption] * 8, 3000) for caption in captions]
    spreads = [judges.spread(judges.picture_features(encoder, group)) for group in groups]
    nearest = judges.nearest_distance([picture for group in groups for picture in group], training)
    return {
        "seed_distance": round(float(np.mean(spreads)), 3),
        "least_seed_distance": round(min(spreads), 3),
        "nearest_training_rms": round(min(nearest), 4),
    }


def _drawer(decoder: ImageDecoder) -> Draw:
    """Draws in batches, which on a CPU is several times faster than `generate` and the same but for rounding."""
    settings = decoder.settings

    def draw(captions: Sequence[str], seed: int) -> list[np.ndarray]:
        made: list[np.ndarray] = []
        for first in tqdm(range(0, len(captions), _BATCH), desc="pictures", unit="batch", leave=False):
            conditions = decoder.embed_text(list(captions[first : first + _BATCH]))
            seeds = range(seed + first, seed + first + len(conditions))
            output = decoder.pipeline(
                prompt_embeds=conditions,
                negative_prompt_embeds=decoder.unconditional.expand_as(conditions),
                generator=[torch.Generator().manual_seed(number) for number in seeds],
                num_inference_steps=int(settings["steps"]),
                guidance_scale=settings["guidance_scale"],
                output_type="np",
            )
            made += list(to_bytes(output.images))
        return made

    return draw


def _plain(item: Item, caption: str) -> Scene:
    return Scene("single", caption, (item,), "white")


def _recolourable(hues: images.Hues) -> list[str]:
    return [
        name for (name, style), hue in hues.items() if style == DEFAULT_STYLE and hue is not None and name[-1] != "s"
    ]
