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

from nextgpt_core.conversation import Modality, Sampling
from nextgpt_core.language_model import FedRows, LanguageModel
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
        self._entries: list[tuple[str, list[Key], FedRows]] = []

    def take(self, scope: str, keys: Sequence[Key]) -> FedRows | None:
        """What holds the longest prefix of `keys`, cut to it; at least one key is left to feed."""
        best, held = None, 0
        for entry in self._entries:
            if entry[0] == scope and (common := _common_prefix(entry[1], keys[:-1])) > held:
                best, held = entry, common
        if best is None:
            return None
        self._entries = [entry for entry in self._entries if entry is not best]
        best[2].cut(held)
        return best[2]

    def put(self, scope: str, keys: list[Key], fed: FedRows) -> None:
        fed.rest()
        self._entries.append((scope, keys, fed))
        while self._entries and sum(entry[2].nbytes for entry in self._entries) > self._most_bytes:
            self._entries.pop(0)

    def __len__(self) -> int:
        return len(self._entries)


class Decoding:
    """One reply. Iterate over it; `fed` counts the prompt rows that no cached prefix held.

    Who reads the words and finds a stop among them sets `ended`; then only media that are still owed follow. While
    `goes_on` is set no stop token is drawn.
    """

    def __init__(self, model: LanguageModel, signals: SignalTokens, prefixes: PrefixCache, scope: str = "") -> None:
        self._model = model
        self._signals = signals
        self._prefixes = prefixes
        self._scope = scope
        self.fed = 0
        self.ended = False
        self.goes_on = False

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
        fed = self._prefixes.take(self._scope, keys) or self._model.new_rows()
        held = fed.length
        self.fed = len(keys) - held
        known = list(keys[:held])
        drawn: list[int] = []
        try:
            hidden = self._feed(rows[held:], keys[held:], fed, known)
            while True:
                finished = self.ended or len(drawn) >= sampling.max_tokens
                token = None
                if not finished:
                    without = stop_ids if self.goes_on else ()
                    token = self._draw(hidden[-1], grammar, sampling, drawn, generator, without)
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
                hidden = self._feed(embedded, new, fed, known)
                if modality is not None:
                    yield SignalRun(modality, hidden + embedded)
        finally:
            fed.cut(len(known))  # a pass that failed half-way leaves rows that nothing vouches for
            self._prefixes.put(self._scope, known, fed)

    def _feed(self, rows: Tensor, keys: Sequence[Key], fed: FedRows, known: list[Key]) -> Tensor:
        hidden = self._model.extend(rows, fed)
        known.extend(keys)
        return hidden

    def _draw(
        self,
        hidden: Tensor,
        grammar: ReplyGrammar,
        sampling: Sampling,
        drawn: list[int],
        generator: torch.Generator,
        without: Sequence[int],
    ) -> int:
        logits = grammar.mask(self._model.next_logits(hidden).float().cpu())
        logits[list(without)] = -torch.inf
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
    probabilities = (logits / sampling.temperature).softmax(-1)
    order = None
    if sampling.top_p < 1:
        probabilities, order = _nucleus(probabilities, sampling.top_p)
    # One number is drawn and found among the sums: torch.multinomial would draw one for every token.
    sums = probabilities.double().cumsum(-1)
    drawn = torch.rand((), generator=generator, dtype=torch.float64) * sums[-1]
    place = torch.searchsorted(sums, drawn, right=True)
    return int(place if order is None else order[place])


def _nucleus(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """Probabilities and ids of the nucleus. The likeliest few mostly hold it; sorting all would take milliseconds."""
    for count in (256, len(probabilities)):
        likeliest, order = probabilities.topk(min(count, len(probabilities)))
        if likeliest.sum() >= top_p:
            break
    kept = int((likeliest.cumsum(-1) - likeliest < top_p).sum())
    return likeliest[:kept], order[:kept]


def _common_prefix(a: Sequence[Key], b: Sequence[Key]) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
