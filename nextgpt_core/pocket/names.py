"""What the pocket profile knows by name before any training: `python -m nextgpt_core start --out DIR`.

The frozen eyes and ears tell things apart well, but a small language model learns slowly to say what a linear map of
their features shows. So the input projectors recognise what is known, the classes of ImageNet, the catalog's things in
all their drawn styles, motions, and kinds of sound, and spell its name into the prompt in the language model's own
embeddings, as surely as it is recognised (`projectors.Recall`). ImageNet's classes are told apart by the eyes
themselves, things as `things` says; the rest are softmax regressions, learned here in minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from random import Random

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from nextgpt_core import checkpoint
from nextgpt_core.config import Source, load_config
from nextgpt_core.conversation import Media
from nextgpt_core.encoders.efficientnet import FEATURES, EfficientNetLite2, describe_motion, pixels
from nextgpt_core.encoders.efficientnet import FRAMES as SEEN
from nextgpt_core.encoders.sound_effects import SoundEffects
from nextgpt_core.model import NextGPT
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.clips import FRAMES, ClipSampler, render_clip
from nextgpt_core.pocket.dialogues.shown import labelled
from nextgpt_core.pocket.images import open_sprites
from nextgpt_core.pocket.layouts import MOVES
from nextgpt_core.pocket.motion_phrases import briefly
from nextgpt_core.pocket.sounds.clips import open_clips
from nextgpt_core.pocket.sounds.kinds import load_kinds
from nextgpt_core.pocket.sounds.waves import RATE
from nextgpt_core.pocket.things import drawings, learn_things
from nextgpt_core.projectors import Recall
from nextgpt_core.weights import cache_folder, resolve

_INFO = "pypi:timm==1.0.31!timm/data/_info/"
_STEPS, _BATCH, _RATE = 1500, 256, 2e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, default=checkpoint.POCKET, help="the folder whose config.json counts"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, metavar="DIR", help="what `data images` and `data sounds` built")
    parser.add_argument(
        "--photos", type=Path, required=True, metavar="DIR", help="photos with labels.jsonl: what no drawing is"
    )
    parser.add_argument("--sounds", type=Path, metavar="DIR", help="recordings of animals with labels.jsonl")
    parser.add_argument("--clips", type=int, default=3000, help="to learn motions from (3000)")


def run(args: argparse.Namespace) -> int:
    torch.manual_seed(0)
    model = checkpoint.build(args.checkpoint, load_config(args.checkpoint), "cpu")
    learn_names(model, args.data or cache_folder() / "pocket", args.photos, args.sounds, args.clips)
    checkpoint.save(model, args.out)
    return 0


def learn_names(model: NextGPT, data: Path, photos: Path, recordings: Path | None, clips: int) -> None:
    """Sets both input projectors: nothing but names."""
    visual, sound = model.input_projectors["visual"], model.input_projectors["sound"]
    for projector in (visual, sound):
        nn.init.zeros_(projector.linear.weight)
        nn.init.zeros_(projector.linear.bias)
    things, motions = visual.recalls
    (sounds,) = sound.recalls
    eyes, ears = model.encoder("visual"), model.encoder("sound")
    learn(sounds, *heard(ears, data / "sounds", recordings))
    spell(model, sounds, [kind.name for kind in load_kinds()])
    learn(motions, *moving(data, clips))
    spell(model, motions, ["", *(briefly(*move) for move in MOVES)])
    see_things(things, eyes, data, photos)
    spell(model, things, [*class_names(), *(concept.name for concept in load_catalog())])


def class_names() -> list[str]:
    """ImageNet's 1000 names, in the order of the logits; of several names the first."""
    synsets = resolve(Source((_INFO + "imagenet_synsets.txt",))).read_text(encoding="utf-8").split()
    lines = resolve(Source((_INFO + "imagenet_synset_to_lemma.txt",))).read_text(encoding="utf-8").splitlines()
    lemmas = dict(line.split("\t") for line in lines)
    return [lemmas[synset].split(",")[0].strip() for synset in synsets]


def see_things(recall: Recall, eyes: EfficientNetLite2, data: Path, photos: Path) -> None:
    """Of the catalog's things, and of photos, which are none of them: ImageNet's classes share one softmax with them.

    A drawing then is no "hook", and a photo no drawing of a cow.
    """
    sprites, hues = open_sprites(data)
    seen, things = _seen(eyes, tqdm(drawings(sprites, hues), "drawings"))
    number = {name: i for i, name in enumerate(class_names())}
    opened = ((number[_bare(label)], Image.open(path).convert("RGB")) for path, label in labelled(photos))
    shown, classes = _seen(eyes, tqdm(opened, "photos"))
    known = eyes.probabilities(torch.cat([seen, shown])[:, :FEATURES])
    learn_things(recall, seen, things, shown, classes, known)


def _seen(eyes: EfficientNetLite2, pictures: Iterable[tuple[int, Image.Image]]) -> tuple[Tensor, Tensor]:
    """What the eyes see of pictures, (n, columns), and their numbers (n,)."""
    found, numbers, pictures = [], [], iter(pictures)
    while part := list(islice(pictures, 16)):
        numbers += [number for number, _ in part]
        found.append(eyes.see([picture for _, picture in part]))
    return torch.cat(found), torch.tensor(numbers)


def moving(data: Path, count: int) -> tuple[Tensor, Tensor]:
    """What `describe_motion` says (count, 128) of composed clips, and how they move (count,), 0 being none."""
    sprites, hues = open_sprites(data)
    sampler = ClipSampler(sprites, hues, Random("names"))
    seen = [round(i * (FRAMES - 1) / (SEEN - 1)) for i in range(SEEN)]
    described, labels = [], []
    for _ in tqdm(range(count), "clips"):
        clip = sampler()
        frames = [Image.fromarray(frame) for frame in render_clip(clip, sprites, hues)[seen]]
        described.append(describe_motion(pixels(frames)[None])[0])
        labels.append(1 + MOVES.index((clip.motion.kind, clip.motion.direction, clip.motion.pace)))
    return torch.stack(described), torch.tensor(labels)


def heard(ears: SoundEffects, data: Path, recordings: Path | None) -> tuple[Tensor, Tensor]:
    """Mean embeddings (n, 512) of clips of `data sounds` that training may hear, and which kinds they are.

    Of animals, the recordings themselves, less those that the language model is examined with: the clips are arranged
    from recordings of which others are held out.
    """
    clips, kinds = open_clips(data / "clips"), load_kinds()
    number = {kind.name: i for i, kind in enumerate(kinds)}
    arranged = {kind.name for kind in kinds if kind.detail.startswith("recordings:")}
    rows = [row for row in clips.rows(held_out=False) if clips.clips[row].kind not in arranged]
    embedded = [ears.embed(clips.wave(row), RATE) for row in tqdm(rows, "sounds")]
    labels = [number[clips.clips[row].kind] for row in rows]
    for path, label in tqdm(labelled(recordings), "recordings"):
        embedded.append(ears.encode([ears.load(Media("audio", path))])[0, 0])
        labels.append(number[_bare(label)])
    return torch.stack(embedded), torch.tensor(labels)


def _bare(label: str) -> str:
    return label.removeprefix("an ").removeprefix("a ")


def learn(recall: Recall, features: Tensor, labels: Tensor, steps: int = _STEPS) -> None:
    """What is which entry."""
    fit(recall.keys, standardize(recall, features), labels, steps=steps)


@torch.no_grad()
def standardize(recall: Recall, features: Tensor) -> Tensor:
    """Features as the recall's keys are to have them from now on: each of mean 0 and variance 1."""
    deviation, mean = torch.std_mean(features, 0)
    recall.mean.copy_(mean)
    recall.scale.copy_(1 / deviation.clamp(min=1e-3))
    return (features - recall.mean) * recall.scale


def fit(keys: nn.Module, features: Tensor, labels: Tensor, steps: int = _STEPS) -> None:
    """A softmax regression, or one of a small network, in place."""
    optimizer = torch.optim.AdamW(keys.parameters(), _RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in tqdm(range(steps), "names"):
        rows = torch.randint(len(features), (_BATCH,))
        loss = F.cross_entropy(keys(features[rows] + 0.1 * torch.randn(_BATCH, features.shape[1])), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def spell(model: NextGPT, recall: Recall, names: Sequence[str]) -> None:
    """Gives each entry its name's tokens.

    A shorter name ends in full stops, a longer one is cut; nothing is said for a name that is empty.
    """
    tokens, stop = recall.names.shape[1], model.tokenizer.encode(".")
    for number, name in enumerate(names):
        if name:
            ids = (model.tokenizer.encode(" " + name) + stop * tokens)[:tokens]
            recall.names[number] = torch.tensor(ids)
