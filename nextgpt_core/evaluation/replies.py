"""Greedy replies to many conversations at once: what routing and text are judged by, without any decoder.

Conversations of about equal length run through the language model together, what is short padded in front and the
padding masked, so that each reply is the one that `chat` gives alone, but for rounding. A run of signal tokens is fed
like any other tokens; no medium is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import torch
from torch.nn.functional import pad
from tqdm import tqdm
from transformers import DynamicCache

from nextgpt_core import checkpoint
from nextgpt_core.circles import in_circles
from nextgpt_core.config import load_config
from nextgpt_core.conversation import MODALITIES, Message, Modality, Wanted
from nextgpt_core.model import NextGPT
from nextgpt_core.outline import Outline
from nextgpt_core.signals import ReplyGrammar


def load_for_judging(folder: Path, device: str = "auto") -> NextGPT:
    """The model of a checkpoint folder, in full bits and with transformers' own passes, which take a batch at once.

    It knows no memory plan: on a GPU everything must fit at once.
    """
    model = checkpoint.load(folder, device, training=True).eval()
    model.language_model.merge_lora()
    return model.requires_grad_(False)


def load_untouched(folder: Path, device: str = "auto") -> NextGPT:
    """The model that a folder's was made from, to be asked the same."""
    model = checkpoint.build(folder, load_config(folder), device).eval()
    model.language_model.merge_lora()  # it adds nothing yet, but in float32 would not go with a base in 16 bits
    return model.requires_grad_(False)


def greedy_replies(
    model: NextGPT,
    conversations: Sequence[Sequence[Message]],
    most_tokens: int | None = None,
    batch: int = 32,
    media: bool = True,
) -> list[Outline]:
    """In the order given; `model` comes from `load_for_judging`.

    A reply is cut where `chat` would cut it, or after `most_tokens` tokens. Without `media` no run may start, as in a
    model that never heard of them.
    """
    longest = most_tokens or model.config.language_model.sampling.max_tokens
    wanted = dict.fromkeys(MODALITIES, "auto" if media else "never")
    replies: dict[int, Outline] = {}
    with torch.inference_mode(), tqdm(total=len(conversations), desc="replies", leave=False) as bar:
        asked = [model.rows(model.renderer.render(messages)) for messages in conversations]
        ordered = sorted(range(len(asked)), key=lambda number: len(asked[number]))
        for start in range(0, len(ordered), batch):
            some = ordered[start : start + batch]
            found = _run(model, [asked[number] for number in some], longest, wanted)
            replies |= dict(zip(some, found, strict=True))
            bar.update(len(some))
    return [replies[number] for number in range(len(conversations))]


def _run(
    model: NextGPT, asked: Sequence[torch.Tensor], most_tokens: int, wanted: Mapping[Modality, Wanted]
) -> list[Outline]:
    """asked: (n, width) each. A finished reply leaves the batch."""
    language_model, cache = model.language_model, DynamicCache()
    grammars = [ReplyGrammar(model.signals, wanted) for _ in asked]
    drawn: list[list[int]] = [[] for _ in asked]
    forced: list[list[int]] = [[] for _ in asked]
    going = list(range(len(asked)))
    width = max(map(len, asked))
    rows = torch.stack([pad(rows, (0, 0, width - len(rows), 0)) for rows in asked])
    present = torch.tensor([[place >= width - len(rows) for place in range(width)] for rows in asked])
    present = present.to(rows.device)
    hidden = language_model(rows, cache, present)[:, -1]
    for _ in range(most_tokens):
        logits = language_model.logits(hidden).float().cpu()
        staying = []
        for place, which in enumerate(going):
            token = (
                forced[which].pop(0)
                if forced[which]
                else _likeliest(model, logits[place], grammars[which], drawn[which])
            )
            if token in model.stop_ids:
                continue
            modality = model.signals.starts.get(token)
            if modality is not None:
                grammars[which].started(token)
                forced[which] = list(model.signals.runs[modality][1:])
            drawn[which].append(token)
            if not in_circles(_words_since_run(model, drawn[which])):
                staying.append(place)
        if not staying:
            break
        if len(staying) < len(going):
            places = torch.tensor(staying, device=rows.device)
            cache.batch_select_indices(places)
            present = present[places]
        going = [going[place] for place in staying]
        tokens = torch.tensor([drawn[which][-1] for which in going], device=rows.device)
        present = pad(present, (0, 1), value=True)
        hidden = language_model(language_model.embed(tokens)[:, None], cache, present)[:, -1]
    return [_outline(model, tokens) for tokens in drawn]


def _likeliest(model: NextGPT, logits: torch.Tensor, grammar: ReplyGrammar, drawn: Sequence[int]) -> int:
    """No stop while the reply has not given what it began by listing."""
    allowed = grammar.mask(logits)
    token = int(allowed.argmax())
    if token in model.stop_ids and grammar.may_give(_outline(model, drawn).owed):
        allowed[model.stop_ids] = -torch.inf
        token = int(allowed.argmax())
    return token


def _outline(model: NextGPT, tokens: Sequence[int]) -> Outline:
    parts: list[str | Modality] = []
    said: list[int] = []
    for token in tokens:
        if token < model.signals.vocabulary:
            said.append(token)
        elif token in model.signals.starts:
            parts += [model.tokenizer.decode(said), model.signals.starts[token]]
            said = []
    return Outline(tuple(filter(None, [*parts, model.tokenizer.decode(said) if said else ""])))


def _words_since_run(model: NextGPT, tokens: Sequence[int]) -> str:
    said = takewhile(lambda token: token < model.signals.vocabulary, reversed(tokens))
    return model.tokenizer.decode([*said][::-1])
