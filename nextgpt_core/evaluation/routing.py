"""Routing: whether a reply makes exactly what was asked for, nothing missing and nothing extra.

Two sets of prompts: the matrix of 15 inputs by 15 outputs (`matrix`), and own_words.tsv, written by hand in people's
own words, outside the training grammar. Only the language model runs; what decoders make of a run is judged elsewhere.
"""

from __future__ import annotations

import csv
import re
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from random import Random

from nextgpt_core.conversation import MODALITIES, Media, Message, Text
from nextgpt_core.evaluation.matrix import Prompt, example, matrix_prompts, name
from nextgpt_core.evaluation.replies import greedy_replies
from nextgpt_core.model import NextGPT
from nextgpt_core.outline import Outline

_OWN_WORDS = Path(__file__).parent / "own_words.tsv"
_RUN = re.compile(r"\s*\[(\w+): ([^]]+)\]")


def own_words() -> list[Prompt]:
    """Written by hand; `wanted` are the media asked for. Whether words come along is left open, as people leave it."""
    with _OWN_WORDS.open(encoding="utf-8", newline="") as file:
        return [_own(row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def some_prompts(count: int | None = None) -> list[Prompt]:
    """`count` of the matrix's prompts at random, the same each time; all of them by default or if there are no more."""
    prompts = matrix_prompts()
    return prompts if count is None or count >= len(prompts) else Random(0).sample(prompts, count)


def evaluate_routing(
    model: NextGPT, matrix: Sequence[Prompt], own: Sequence[Prompt] | None = None
) -> dict[str, object]:
    """Shares of prompts answered with exactly what was asked for, by cell and by kind, and every miss.

    In the matrix words count as an output of their own; `matrix_media` looks at media alone, as own words do.
    `unwanted_media` is the share of prompts that want no medium and get one; `lists_kept`, of replies that begin with
    a list of what comes, the share that give just that.
    """
    own = own_words() if own is None else own
    began = time.monotonic()
    replies = greedy_replies(model, [prompt.messages for prompt in (*matrix, *own)])
    seconds = time.monotonic() - began
    of_matrix = list(zip(matrix, replies[: len(matrix)], strict=True))
    of_own = list(zip(own, replies[len(matrix) :], strict=True))
    plain = [pair for pair in (*of_matrix, *of_own) if pair[0].wanted <= {"text"}]
    return {
        "matrix": _share([_exact(*pair) for pair in of_matrix]),
        "matrix_media": _share([_media(*pair) for pair in of_matrix]),
        "own_words": _share([_media(*pair) for pair in of_own]),
        "follow_ups": _share([_media(*pair) for pair in of_own if len(pair[0].messages) > 1]),
        "unwanted_media": _share([bool(reply.media) for _, reply in plain]),
        "lists_kept": _share([reply.listed == reply.modalities for reply in replies if reply.listed]),
        "prompts": {"matrix": len(matrix), "own_words": len(own)},
        "cells": _cells(of_matrix),
        "own_words_by_wanted": _by(of_own, lambda prompt: name(prompt.wanted) or "text", _media),
        "seconds": round(seconds, 1),
        "misses": [_miss(*pair) for pair in of_matrix if not _exact(*pair)]
        + [_miss(*pair) for pair in of_own if not _media(*pair)],
    }


def _exact(prompt: Prompt, reply: Outline) -> bool:
    return reply.modalities == prompt.wanted


def _media(prompt: Prompt, reply: Outline) -> bool:
    return frozenset(reply.media) == prompt.wanted - {"text"}


def _cells(pairs: Sequence[tuple[Prompt, Outline]]) -> dict[str, dict[str, float | None]]:
    """Shares by what is shown and what is wanted."""
    rows = defaultdict(list)
    for prompt, reply in pairs:
        rows[name(prompt.shown)].append((prompt, reply))
    return {shown: _by(some, lambda prompt: name(prompt.wanted), _exact) for shown, some in rows.items()}


def _by(
    pairs: Sequence[tuple[Prompt, Outline]], key: Callable[[Prompt], Hashable], hit: Callable[[Prompt, Outline], bool]
) -> dict[Hashable, float | None]:
    hits = defaultdict(list)
    for prompt, reply in pairs:
        hits[key(prompt)].append(hit(prompt, reply))
    return {value: _share(some) for value, some in hits.items()}


def _share(hits: Sequence[bool]) -> float | None:
    return round(sum(hits) / len(hits), 4) if hits else None


def _miss(prompt: Prompt, reply: Outline) -> dict[str, object]:
    asked = [part.text if isinstance(part, Text) else f"<{part.modality}>" for m in prompt.messages for part in m.parts]
    return {
        "prompt": " / ".join(asked),
        "wanted": name(prompt.wanted),
        "made": name(reply.modalities),
        "reply": "".join(f"[{part}]" if part in MODALITIES else part for part in reply.parts),
    }


def _own(row: dict[str, str]) -> Prompt:
    shown = [modality for modality in row["shown"].split(",") if modality]
    asked = Message("user", (*map(example, shown), Text(row["prompt"])))
    wanted = frozenset(modality for modality in row["wanted"].split(",") if modality)
    return Prompt((*_earlier(row["before"]), asked), frozenset({*shown, "text"}), wanted)


def _earlier(text: str) -> tuple[Message, ...]:
    """ "Draw a cat => Here is a cat. [image: a cat]": a turn that went before, or nothing."""
    if not text:
        return ()
    said, _, answer = text.partition(" => ")
    parts: list[Text | Media] = []
    pieces = _RUN.split(answer)
    for words, modality, caption in zip(pieces[::3], [*pieces[1::3], ""], [*pieces[2::3], ""], strict=True):
        parts += [Text(words)] if words else []
        parts += [Media(modality, Path(), caption)] if modality else []
    return Message("user", (Text(said),)), Message("assistant", tuple(parts))
