"""The alignment gap: what a decoder makes of requests through the whole model, beside captions straight into it.

A decoder's own judge scores both: once as it is, once behind `ThroughLanguageModel`, whose condition of a caption is
what the language model says and projects when it is asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from nextgpt_core.conversation import MODALITIES, Message, Modality, Text
from nextgpt_core.decoders import Decoder
from nextgpt_core.decoding import Decoding, PrefixCache, SignalRun
from nextgpt_core.model import NextGPT
from nextgpt_core.signals import ReplyGrammar

REQUESTS: dict[Modality, str] = {
    "image": "Draw {c}.",
    "video": "Make a video of {c}.",
    "audio": "Make the sound of {c}.",
}
SCORES: dict[Modality, tuple[str, ...]] = {  # of a judge's figures, those whose mean is the score
    "image": ("objects.default_style_top5", *(f"scenes.{what}" for what in ("colour", "count", "side", "background"))),
    "video": ("objects.top5", "motion.type", "motion.direction"),
    "audio": ("kinds.top5", "instruments.family", "mixtures.both_in_top5"),
}


class ThroughLanguageModel:
    """A decoder whose text condition comes from the language model's reply; all else is the decoder's own."""

    def __init__(self, model: NextGPT, modality: Modality, decoder: Decoder) -> None:
        self._model, self._modality, self._decoder = model, modality, decoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def embed_text(self, captions: Sequence[str]) -> Tensor:
        """(b, length, width)."""
        asked = tqdm(captions, desc="requests", leave=False) if len(captions) > 1 else captions
        return torch.cat([condition(self._model, self._modality, caption) for caption in asked])


@torch.inference_mode()
def condition(model: NextGPT, modality: Modality, caption: str) -> Tensor:
    """(1, length, width): what the reply to a request for the caption projects, made to hold that modality's run."""
    request = Message("user", (Text(REQUESTS[modality].format(c=caption)),))
    segments = model.renderer.render([request])
    keys = [token for segment in segments for token in segment.ids]
    wanted = dict.fromkeys(MODALITIES, "never") | {modality: "always"}
    decoding = Decoding(model.language_model, model.signals, PrefixCache(0))
    grammar, sampling = ReplyGrammar(model.signals, wanted), model.config.language_model.sampling
    items = decoding.run(keys, model.rows(segments), grammar, sampling, model.stop_ids, 0)
    run = next(item for item in items if isinstance(item, SignalRun))
    return model.project(modality, run.states[None]).cpu()


def evaluate_alignment(
    model: NextGPT, modality: Modality, decoder: Decoder, judge: Callable[[Decoder], Mapping[str, Any]]
) -> dict[str, Any]:
    """`ratio` of the two scores, each the mean of the judge's figures that SCORES names; None if straight is zero."""
    straight = _scores(judge(decoder), modality)
    through = _scores(judge(ThroughLanguageModel(model, modality, decoder)), modality)
    scores = [sum(found.values()) / len(found) for found in (straight, through)]
    return {
        "ratio": round(scores[1] / scores[0], 3) if scores[0] else None,
        "through": round(scores[1], 3),
        "straight": round(scores[0], 3),
        "figures": {name: {"through": through[name], "straight": straight[name]} for name in straight},
    }


def _scores(figures: Mapping[str, Any], modality: Modality) -> dict[str, float]:
    found = {}
    for name in SCORES[modality]:
        group, _, figure = name.partition(".")
        found[name] = float(figures[group][figure])
    return found
