"""The decoding loop: rows in, tokens and signal runs out, one at a time, over a cache that outlives the turn.

A run's first token is sampled like any other; the rest of the run is fed with it in one pass, because the projector
needs the state *at* every signal token and a state exists only once its token was fed. Keys and values are kept from
turn to turn: the next prompt feeds only what it adds to the longest prefix that is still cached.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from nextgpt_core.conversation import Modality, Sampling
from nextgpt_core.language_model import LanguageModel
from nextgpt_core.signals import ReplyGrammar, SignalTokens

Key = Hashable  # what a row is: a token id, or (content hash, index) for a row of a medium


@dataclass(frozen=True)
class Token:
    id: int


@dataclass(frozen=True)
class SignalRun:
    """states: (run length, width), the final hidden states plus the input embeddings at the run's own positions."""

    modality: Modality
    states: Tensor


class PrefixCache:
    """Keys and values of finished turns, least recently used leaving first, bounded in bytes.

    An entry is taken out while a turn works on it, so no two turns ever share one. Entries of one `scope` are
    invisible to all others.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: list[tuple[str, list[Key], DynamicCache]] = []

    def take(self, scope: str, keys: Sequence[Key]) -> tuple[int, DynamicCache]:
        """The cache that holds the longest prefix of `keys`, cut to it; at least one key is left to feed."""
        best, held = None, 0
        for entry in self._entries:
            if entry[0] == scope and (common := _common_prefix(entry[1], keys[:-1])) > held:
                best, held = entry, common
        if best is None:
            return 0, DynamicCache()
        self._entries = [entry for entry in self._entries if entry is not best]
        _cut(best[2], held)
        return held, best[2]

    def put(self, scope: str, keys: list[Key], cache: DynamicCache) -> None:
        self._entries.append((scope, keys, cache))
        while self._entries and sum(_nbytes(entry[2]) for entry in self._entries) > self._most_bytes:
            self._entries.pop(0)

    def __len__(self) -> int:
        return len(self._entries)


class Decoding:
    """One reply. Iterate over it; `fed` counts the prompt rows that no cached prefix held.

    Who reads the words and finds a stop among them sets `ended`; then only media that are still owed follow.
    """

    def __init__(self, model: LanguageModel, signals: SignalTokens, prefixes: PrefixCache, scope: str = "") -> None:
        self._model = model
        self._signals = signals
        self._prefixes = prefixes
        self._scope = scope
        self.fed = 0
        self.ended = False

    @torch.inference_mode()
    def run(
        self,
        keys: Sequence[Key],
        rows: Tensor,
        grammar: ReplyGrammar,
        sampling: Sampling,
        stop_ids: Sequence[int],
        seed: int,
    ) -> Iterator[Token | SignalRun]:
        """keys: what each of rows (n, width) is. Ends at a stop token (not yielded) or after `max_tokens`.

        Wanted media are made even when `max_tokens` cuts the words short.
        """
        generator = torch.Generator().manual_seed(seed)
        held, cache = self._prefixes.take(self._scope, keys)
        self.fed = len(keys) - held
        known = list(keys[:held])
        drawn: list[int] = []
        try:
            hidden = self._feed(rows[held:], keys[held:], cache, known)
            while True:
                finished = self.ended or len(drawn) >= sampling.max_tokens
                token = None
                if not finished:
                    token = self._draw(hidden[-1], grammar, sampling, drawn, generator)
                    finished = token in stop_ids
                if finished:
                    token = grammar.owed()
                    if token is None:
                        return
                drawn.append(token)
                modality = grammar.started(token)
                new = [token] if modality is None else list(self._signals.runs[modality])
                if modality is None:
                    yield Token(token)  # before it is fed: the reader need not wait for the next state
                embedded = self._model.embed(torch.tensor(new, device=rows.device))
                hidden = self._feed(embedded, new, cache, known)
                if modality is not None:
                    yield SignalRun(modality, hidden + embedded)
        finally:
            _cut(cache, len(known))  # a pass that failed half-way leaves rows that nothing vouches for
            self._prefixes.put(self._scope, known, cache)

    def _feed(self, rows: Tensor, keys: Sequence[Key], cache: DynamicCache, known: list[Key]) -> Tensor:
        hidden = self._model(rows[None], cache=cache)[0]
        known.extend(keys)
        return hidden

    def _draw(
        self, hidden: Tensor, grammar: ReplyGrammar, sampling: Sampling, drawn: list[int], generator: torch.Generator
    ) -> int:
        logits = grammar.mask(self._model.logits(hidden).float().cpu())
        return sample(penalised(logits, drawn, sampling.repetition_penalty), sampling, generator)


def penalised(logits: Tensor, drawn: Sequence[int], penalty: float) -> Tensor:
    """Makes what was drawn before less likely: positive logits divided, negative ones multiplied (CTRL, 2019)."""
    if penalty == 1.0 or not drawn:
        return logits
    seen = torch.tensor(sorted(set(drawn)))
    values = logits[seen]
    return logits.index_copy(0, seen, torch.where(values > 0, values / penalty, values * penalty))


def sample(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """logits: (vocabulary,). Nucleus sampling: the smallest set of tokens whose probabilities reach `top_p`."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities, order = (logits / sampling.temperature).softmax(-1).sort(descending=True)
    outside = probabilities.cumsum(-1) - probabilities >= sampling.top_p
    probabilities[outside] = 0
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])


def _common_prefix(a: Sequence[Key], b: Sequence[Key]) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def _cut(cache: DynamicCache, length: int) -> None:
    if (over := cache.get_seq_length() - length) > 0:
        cache.crop(-over)


def _nbytes(cache: DynamicCache) -> int:
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers if layer.keys is not None)
