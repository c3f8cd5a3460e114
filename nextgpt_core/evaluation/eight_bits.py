"""Eight bits: whether decoding with weights in 8 bits (`cpu_bits` in config.json) answers as well as with full ones.

Both take the same steps, one token at a time, through the same loop as chat; nothing but the weights differs. Media are
compared by the runs that ask for them, and none is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F
from tqdm import tqdm

from nextgpt_core.circles import in_circles
from nextgpt_core.conversation import Message, Modality, Sampling
from nextgpt_core.decoding import Decoding, PrefixCache, SignalRun
from nextgpt_core.evaluation.matrix import Prompt
from nextgpt_core.model import NextGPT
from nextgpt_core.outline import Outline
from nextgpt_core.prompt import supervise
from nextgpt_core.signals import ReplyGrammar

_MOST_TOKENS = 120  # by then a reply has said what it makes; each of its runs counts as one


def evaluate_bits(
    model: NextGPT, prompts: Sequence[Prompt], chat: Sequence[Sequence[Message]]
) -> dict[str, float | int]:
    """`prompts` are answered greedily; perplexity is that of the assistant's words in `chat`.

    `routing` is the share of prompts answered with the media that they want, and no others. `same_media` and
    `same_replies` are the shares to which both answer with the same runs, and with the same words besides.
    """
    figures: dict[str, float | int] = {"prompts": len(prompts)}
    replies = {}
    for bits in (16, 8):
        model.language_model.make_lean(bits)
        figures[f"perplexity_{bits}_bits"] = perplexity(model, chat)
        prefixes = PrefixCache(model.config.language_model.cache_bytes)  # the system's words are fed once
        replies[bits] = [reply(model, prompt.messages, prefixes) for prompt in tqdm(prompts, desc=f"{bits} bits")]
        right = [set(r.media) == prompt.wanted - {"text"} for prompt, r in zip(prompts, replies[bits], strict=True)]
        figures[f"routing_{bits}_bits"] = sum(right) / len(right)
    pairs = list(zip(replies[16], replies[8], strict=True))
    figures["same_media"] = sum(a.media == b.media for a, b in pairs) / len(pairs)
    figures["same_replies"] = sum(a == b for a, b in pairs) / len(pairs)
    return figures


@torch.inference_mode()
def perplexity(model: NextGPT, chat: Sequence[Sequence[Message]]) -> float:
    """Like that of `plain_text`, but fed as in chat: the prompt at once, then token by token."""
    language_model, total, count = model.language_model, 0.0, 0
    for messages in tqdm(chat, desc="conversations"):
        segments = model.renderer.render(messages, reply=False)
        targets = supervise([segments], lambda segment: len(segment.ids))
        rows, fed = model.rows(segments), language_model.new_rows()
        for position, label in zip(targets.positions, targets.labels, strict=True):
            hidden = language_model.extend(rows[fed.length : position + 1], fed)[-1]
            logits = language_model.next_logits(hidden).float()
            total += F.cross_entropy(logits, torch.tensor(label, device=logits.device)).item()
            count += 1
    return math.exp(total / count)


@torch.inference_mode()
def reply(model: NextGPT, messages: Sequence[Message], prefixes: PrefixCache) -> Outline:
    """The greedy reply, as `chat` gives it, but that no medium is made."""
    segments = model.renderer.render(messages)
    decoding, grammar = Decoding(model.language_model, model.signals, prefixes), ReplyGrammar(model.signals, {})
    sampling = Sampling(temperature=0.0, max_tokens=_MOST_TOKENS)
    parts: list[str | Modality] = []
    said: list[int] = []
    for item in decoding.run(model.keys(segments), model.rows(segments), grammar, sampling, model.stop_ids, 0):
        if isinstance(item, SignalRun):
            parts += [model.tokenizer.decode(said), item.modality]
            said = []
        else:
            said.append(item.id)
        text = model.tokenizer.decode(said)
        decoding.ended = in_circles(text)
        decoding.goes_on = grammar.may_give(Outline((*parts, text)).owed)
    return Outline(tuple(filter(None, (*parts, model.tokenizer.decode(said)))))
