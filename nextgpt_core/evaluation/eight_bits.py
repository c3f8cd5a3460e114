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

from nextgpt_core.conversation import Message, Sampling
from nextgpt_core.decoding import Decoding, PrefixCache, SignalRun
from nextgpt_core.evaluation.matrix import Prompt
from nextgpt_core.model import NextGPT
from nextgpt_core.prompt import supervise
from nextgpt_core.signals import ReplyGrammar

_MOST_TOKENS = 40  # by then a reply has said what it makes


def evaluate_bits(
    model: NextGPT, prompts: Sequence[Prompt], chat: Sequence[Sequence[Message]]
) -> dict[str, float | int]:
    """`prompts` without files are answered greedily; perplexity is that of the assistant's words in `chat`.

    `same_media` and `same_replies` are the shares of the prompts to which both answer with the same runs, and with the
    same tokens besides.
    """
    prompts = [prompt for prompt in prompts if prompt.shown <= {"text"}]
    figures: dict[str, float | int] = {"prompts": len(prompts)}
    replies = {}
    for bits in (16, 8):
        model.language_model.make_lean(bits)
        figures[f"perplexity_{bits}_bits"] = perplexity(model, chat)
        prefixes = PrefixCache(model.config.language_model.cache_bytes)  # the system's words are fed once
        replies[bits] = [reply(model, prompt.messages, prefixes) for prompt in tqdm(prompts, desc=f"{bits} bits")]
        right = [
            set(media) == prompt.wanted - {"text"} for prompt, (_, media) in zip(prompts, replies[bits], strict=True)
        ]
        figures[f"routing_{bits}_bits"] = sum(right) / len(right)
    pairs = list(zip(replies[16], replies[8], strict=True))
    figures["same_media"] = sum(a[1] == b[1] for a, b in pairs) / len(pairs)
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
def reply(model: NextGPT, messages: Sequence[Message], prefixes: PrefixCache) -> tuple[list[int], list[str]]:
    """The greedy reply's tokens, and the modalities of its runs in order."""
    segments = model.renderer.render(messages)
    keys = [token for segment in segments for token in segment.ids]
    decoding = Decoding(model.language_model, model.signals, prefixes)
    sampling = Sampling(temperature=0.0, max_tokens=_MOST_TOKENS)
    items = list(decoding.run(keys, model.rows(segments), ReplyGrammar(model.signals, {}), sampling, model.stop_ids, 0))
    media = [item.modality for item in items if isinstance(item, SignalRun)]
    return [item.id for item in items if not isinstance(item, SignalRun)], media
