"""The linear probe that hides in the eyes: an input projector that names ImageNet's classes before any training.

EfficientNet's rows hold 1000 class probabilities. A projector whose columns for a class hold the language model's own
embeddings of that class's name spells the name into the prompt, word by word, in proportion to how sure the network
is. The names come from the package timm, which lists them in the classifier's order.
`python -m nextgpt_core start --out DIR` writes a checkpoint that begins so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from nextgpt_core import checkpoint
from nextgpt_core.config import Source, load_config
from nextgpt_core.model import NextGPT
from nextgpt_core.weights import resolve

_INFO = "pypi:timm==1.0.31!timm/data/_info/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, default=checkpoint.POCKET, help="the folder whose config.json counts"
    )
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> int:
    torch.manual_seed(0)
    model = checkpoint.build(args.checkpoint, load_config(args.checkpoint))
    spell_classes(model)
    checkpoint.save(model, args.out)
    return 0


def class_names() -> list[str]:
    """The 1000 names, in the order of the logits; of several names the first."""
    synsets = resolve(Source((_INFO + "imagenet_synsets.txt",))).read_text(encoding="utf-8").split()
    lines = resolve(Source((_INFO + "imagenet_synset_to_lemma.txt",))).read_text(encoding="utf-8").splitlines()
    lemmas = dict(line.split("\t") for line in lines)
    return [lemmas[synset].split(",")[0].strip() for synset in synsets]


@torch.no_grad()
def spell_classes(model: NextGPT, projector: str = "visual") -> None:
    """Sets the projector's class columns: row j of a class is the embedding of its name's token j.

    A shorter name ends in full stops, a longer one is cut; everything but the class columns starts at zero.
    """
    target = model.input_projectors[projector]
    columns = model.encoder(model.config.input_projectors[projector].encoder).class_columns
    width, stop = model.language_model.width, model.tokenizer.encode(".")
    spelled = []
    for name in class_names():
        ids = (model.tokenizer.encode(" " + name) + stop * target.tokens)[: target.tokens]
        spelled.append(model.language_model.embed(torch.tensor(ids, device=model.device)).float().flatten())
    target.linear.weight.zero_()
    target.linear.bias.zero_()
    target.linear.weight.view(target.tokens * width, -1)[:, columns] = torch.stack(spelled, 1)
