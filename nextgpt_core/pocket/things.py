"""Telling the catalog's things apart, in styles of drawing in which training never showed them.

What a thing looks like in one style says little about its pooled features in another; where its parts are says more.
So what the eyes see in each cell of a coarse grid is mapped to the directions in which things differ more from each
other than from themselves (linear discriminants), and the nearest prototype counts. Whether it is a drawing at all, and
none of ImageNet's thousand, is decided beside that, from the pooled features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from nextgpt_core.encoders.efficientnet import FEATURES
from nextgpt_core.pocket.captions import article
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.holdout import style_held_out
from nextgpt_core.pocket.scenes import PLAIN_COLOURS, Item, Scene, SceneSampler, render
from nextgpt_core.pocket.sources import STYLES, Sprites
from nextgpt_core.projectors import Recall

_SHRINK = 0.15  # of the covariance within things, towards equal variances
_SHARPNESS = 24.0  # on a cosine; has the least cross-entropy for things left out
_UNSEEN = 0.6  # a thing's logit in a style of which it is not known, as a share of what it is in others
_STEPS, _BATCH, _RATE = 600, 256, 1e-2


def drawings(sprites: Sprites, hues: dict[tuple[str, str], float | None]) -> Iterator[tuple[int, Image.Image]]:
    """Four pictures of every thing in every style that is not held out, and its number in the catalog.

    In the middle; larger and mirrored; anywhere, of any size, on white or a plain colour; and in a place.
    """
    rng = Random("things")
    sampler = SceneSampler(sprites, hues, rng)

    def alone(name: str, style: str, size: float, background: str, x: float = 0.5, y: float = 0.5) -> Image.Image:
        scene = Scene("single", article(name), (Item(name, style, None, x, y, size),), background)
        return Image.fromarray(render(scene, sprites, hues))

    for number, concept in enumerate(load_catalog()):
        for style in STYLES:
            if (concept.name, style) not in sprites.rows or style_held_out(concept.name, style):
                continue
            yield number, alone(concept.name, style, 0.8, "white")
            yield number, ImageOps.mirror(alone(concept.name, style, 0.94, "white"))
            size = rng.uniform(0.5, 0.97)
            free = (1 - size) * 0.4
            place = [0.5 + rng.uniform(-free, free) for _ in "xy"]
            background = "white" if rng.random() < 0.6 else rng.choice(list(PLAIN_COLOURS))
            picture = alone(concept.name, style, size, background, *place)
            yield number, ImageOps.mirror(picture) if rng.random() < 0.5 else picture
            scene = sampler.placed(concept.name, style)
            scene = replace(scene, items=(replace(scene.items[0], colour=None),))
            yield number, Image.fromarray(render(scene, sprites, hues))


def learn_things(recall: Recall, seen: Tensor, things: Tensor, photos: Tensor, classes: Tensor, known: Tensor) -> None:
    """Sets what a recall tells things by.

    seen: (n, columns) of drawings, things (n,) which they are; photos (m, columns) and classes (m,) likewise. `known`
    (n + m, classes) are the shares that the eyes give ImageNet's classes in all of these.
    """
    cells = slice(FEATURES, None)
    count = recall.entries - known.shape[1]
    with torch.no_grad():
        deviation, mean = torch.std_mean(seen, 0)
        scale = 1 / deviation.clamp(min=1e-3)
        recall.mean.copy_(mean)
        recall.scale.copy_(scale)
        directions, prototypes = discriminants(
            ((seen - mean) * scale)[:, cells], things, count, recall.keys[0].out_features - 1
        )
        sure = ((seen - mean) * scale)[:, cells] @ directions
        sharpness = _SHARPNESS / sure.norm(dim=1).mean()
        logits = sharpness * sure @ prototypes.T  # (n, count)
        strange = sharpness * ((photos - mean) * scale)[:, cells] @ directions @ prototypes.T
        usual = _UNSEEN * logits.gather(1, things[:, None]).mean()
    pooled = (torch.cat([seen, photos])[:, :FEATURES] - mean[:FEATURES]) * scale[:FEATURES]
    whole = torch.cat([known.clamp(min=1e-9).log(), torch.cat([_UNSEEN * logits, strange]) - usual], 1)
    gate = _drawn_or_not(pooled, whole, torch.cat([known.shape[1] + things, classes]), len(seen), known.shape[1])
    with torch.no_grad():
        first, last = recall.keys
        first.weight.zero_()
        first.weight[:-1, cells] = directions.T
        first.weight[-1, :FEATURES] = gate.weight[0]
        last.weight.copy_(torch.cat([sharpness * prototypes, torch.ones(count, 1)], 1))
        last.bias.copy_((gate.bias - usual).expand(count))


def discriminants(features: Tensor, labels: Tensor, count: int, rank: int) -> tuple[Tensor, Tensor]:
    """Directions (columns, rank), in which features (n, columns) tell labels apart, and prototypes (count, rank).

    Both are made so that the product of a feature's projection with a prototype is largest for its own label.
    """
    means = _means(features, labels, count)
    within = features - means[labels]
    covariance = within.T @ within / len(within)
    even = covariance.diagonal().mean() * torch.eye(len(covariance))
    root = torch.linalg.cholesky((1 - _SHRINK) * covariance + _SHRINK * even)
    white = torch.linalg.solve_triangular(root, features.T, upper=False).T
    middles = F.normalize(_means(F.normalize(white, dim=1), labels, count), dim=1)
    _, _, between = torch.linalg.svd(middles - middles.mean(0), full_matrices=False)
    directions = torch.linalg.solve_triangular(root.T, between[:rank].T, upper=True)
    projected = F.normalize(features @ directions, dim=1)
    return directions, F.normalize(_means(projected, labels, count), dim=1)


def _drawn_or_not(pooled: Tensor, whole: Tensor, labels: Tensor, drawn: int, classes: int) -> nn.Linear:
    """What is to be added to all things' logits; the first `drawn` rows are drawings, half of what is learned from."""
    gate = nn.Linear(pooled.shape[1], 1)
    nn.init.zeros_(gate.weight)
    nn.init.zeros_(gate.bias)
    optimizer = torch.optim.AdamW(gate.parameters(), _RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, _STEPS)
    for _ in tqdm(range(_STEPS), "drawn or not"):
        rows = torch.cat([torch.randint(drawn, (_BATCH // 2,)), torch.randint(drawn, len(pooled), (_BATCH // 2,))])
        added = F.pad(gate(pooled[rows]).expand(-1, whole.shape[1] - classes), (classes, 0))
        loss = F.cross_entropy(whole[rows] + added, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return gate


def _means(features: Tensor, labels: Tensor, count: int) -> Tensor:
    sums = features.new_zeros(count, features.shape[1]).index_add_(0, labels, features)
    return sums / torch.bincount(labels, minlength=count).clamp(min=1)[:, None]
