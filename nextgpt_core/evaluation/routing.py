"""Routing: whether the media that a reply makes are exactly those asked for.

The prompts in own_words.tsv were written by hand, in people's own words and outside the training grammar. Only the
language model runs; what decoders make of a run is judged elsewhere.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import torch

from nextgpt_core.conversation import Message, Modality, Sampling, Text
from nextgpt_core.decoding import Decoding, PrefixCache, SignalRun
from nextgpt_core.model import NextGPT
from nextgpt_core.signals import ReplyGrammar

MOST_TOKENS = 60  # by then a reply has said what it makes


def own_words() -> list[tuple[str, frozenset[Modality]]]:
    """(prompt, modalities asked for), none for prompts that ask for no medium."""
    with (Path(__file__).parent / "own_words.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [(row["prompt"], frozenset(filter(None, row["wanted"].split(",")))) for row in rows]


def evaluate_routing(model: NextGPT) -> dict[str, object]:
    """Shares of prompts answered with exactly the media asked for, over all and by what was asked; and the misses."""
    hits, misses = defaultdict(list), []
    for prompt, wanted in own_words():
        made = frozenset(made_modalities(model, prompt))
        name = "+".join(sorted(wanted)) or "text"
        hits[name].append(made == wanted)
        if made != wanted:
            misses.append({"prompt": prompt, "wanted": sorted(wanted), "made": sorted(made)})
    everything = [hit for some in hits.values() for hit in some]
    return {
        "own_words": sum(everything) / len(everything),
        "by_wanted": {name: sum(some) / len(some) for name, some in sorted(hits.items())},
        "misses": misses,
    }


def made_modalities(model: NextGPT, prompt: str) -> list[Modality]:
    """What a greedy reply would make, in order."""
    segments = model.renderer.render([Message("user", (Text(prompt),))])
    keys = [token for segment in segments for token in segment.ids]
    decoding = Decoding(model.language_model, model.signals, PrefixCache(0))
    with torch.inference_mode():
        items = decoding.run(
            keys,
            model.rows(segments),
            ReplyGrammar(model.signals, {}),
            Sampling(max_tokens=MOST_TOKENS),
            model.stop_ids,
            0,
        )
        return [item.modality for item in items if isinstance(item, SignalRun)]
