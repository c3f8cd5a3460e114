"""Plain text: whether the language model is still one, beside the untouched model it was made from.

Perplexity stands on conversations written for this by hand (plain_chat.tsv), facts on prompts with words that an
answer must hold (plain_facts.tsv). Neither is ever trained on.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from nextgpt_core.conversation import Message, Text
from nextgpt_core.evaluation.replies import greedy_replies
from nextgpt_core.model import NextGPT
from nextgpt_core.prompt import supervise

_FOLDER = Path(__file__).parent


def conversations() -> list[tuple[Message, ...]]:
    return [
        (Message("user", (Text(row["question"]),)), Message("assistant", (Text(row["answer"]),)))
        for row in _rows("plain_chat.tsv")
    ]


def facts() -> list[tuple[str, tuple[str, ...]]]:
    """(prompt, words of which one must stand in the answer)."""
    return [(row["prompt"], tuple(row["accepted"].split("|"))) for row in _rows("plain_facts.tsv")]


def evaluate_text(model: NextGPT, untouched: NextGPT) -> dict[str, object]:
    """`perplexity_ratio` is the model's by the untouched one's; `facts` are shares of prompts answered rightly."""
    chat, asked = conversations(), facts()
    own, base = perplexity(model, chat), perplexity(untouched, chat, signals=False)
    answers = answered(model, asked)
    plain = answered(untouched, asked, signals=False)
    return {
        "perplexity_ratio": round(own / base, 4),
        "perplexity": round(own, 3),
        "perplexity_untouched": round(base, 3),
        "facts": sum(right for _, _, right in answers) / len(asked),
        "facts_untouched": sum(right for _, _, right in plain) / len(asked),
        "answers": [
            {"prompt": prompt, "answer": answer, "right": right, "untouched": before, "untouched_right": was_right}
            for (prompt, answer, right), (_, before, was_right) in zip(answers, plain, strict=True)
        ],
    }


@torch.inference_mode()
def perplexity(model: NextGPT, chat: Sequence[Sequence[Message]], signals: bool = True) -> float:
    """Of the assistant's words and stops in text conversations; without `signals` their tokens do not exist."""
    total, count = 0.0, 0
    for messages in chat:
        segments = model.renderer.render(messages, reply=False)
        targets = supervise([segments], lambda segment: len(segment.ids))
        hidden = model.language_model(model.rows(segments)[None])[0, targets.positions]
        logits = model.language_model.logits(hidden).float()
        if not signals:
            logits = logits[:, : model.signals.vocabulary]
        labels = torch.tensor(targets.labels, device=logits.device)
        total += F.cross_entropy(logits, labels, reduction="sum").item()
        count += len(labels)
    return math.exp(total / count)


def answered(
    model: NextGPT, asked: Sequence[tuple[str, Sequence[str]]], signals: bool = True
) -> list[tuple[str, str, bool]]:
    """(prompt, the greedy answer, whether it is right) of each."""
    prompts = [[Message("user", (Text(prompt),))] for prompt, _ in asked]
    replies = greedy_replies(model, prompts, most_tokens=40, media=signals)
    return [
        (prompt, text := "".join(reply.parts), holds(text, accepted))
        for (prompt, accepted), reply in zip(asked, replies, strict=True)
    ]


def holds(answer: str, accepted: Sequence[str]) -> bool:
    """Whether one of the words stands in the answer, whole."""
    return any(re.search(rf"\b{re.escape(word)}\b", answer.lower()) for word in accepted)


def _rows(name: str) -> list[dict[str, str]]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
