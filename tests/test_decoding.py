"""Sampling and the cache of prefixes; whole replies are tested in test_turn."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from nextgpt_core.conversation import Sampling
from nextgpt_core.decoding import PrefixCache, penalised, sample


class Rows:
    """Fed rows that hold nothing: ten bytes each."""

    def __init__(self, length: int) -> None:
        self.length, self.resting = length, False

    @property
    def nbytes(self) -> int:
        return 10 * self.length

    def cut(self, length: int) -> None:
        self.length = min(self.length, length)

    def rest(self) -> None:
        self.resting = True


def test_the_longest_prefix_is_taken_and_cut() -> None:
    prefixes = PrefixCache(1000)
    long, short = Rows(4), Rows(2)
    prefixes.put("a", [1, 2, 3, 4], long)
    prefixes.put("a", [1, 2], short)
    assert prefixes.take("b", [1, 2, 3, 9]) is None
    assert prefixes.take("a", [1, 2, 3, 9]) is long
    assert long.length == 3
    assert prefixes.take("a", [1, 2]) is short  # one key must be left to feed
    assert short.length == 1
    assert len(prefixes) == 0
    assert long.resting


def test_the_least_recently_used_leaves_first() -> None:
    prefixes = PrefixCache(100)
    prefixes.put("a", [1, 2, 3, 4], first := Rows(4))
    prefixes.put("a", [5, 6, 7, 8], Rows(4))
    prefixes.put("a", [1, 2, 3, 4], prefixes.take("a", [1, 2, 3, 4, 9]))
    prefixes.put("a", [7], Rows(4))
    assert prefixes.take("a", [5, 6]) is None
    assert prefixes.take("a", [1, 2, 3, 4, 9]) is first


@pytest.mark.parametrize("size, top_p", [(40, 0.8), (40, 1.0), (3000, 0.999), (3000, 0.3)])
def test_draws_come_from_the_nucleus_in_proportion(size: int, top_p: float) -> None:
    logits = torch.randn(size, generator=torch.Generator().manual_seed(0))
    logits[7] = -torch.inf
    probabilities, order = (logits / 0.7).softmax(-1).sort(descending=True)
    kept = int((probabilities.cumsum(-1) - probabilities < top_p).sum())
    allowed = dict(
        zip(order[:kept].tolist(), (probabilities[:kept] / probabilities[:kept].sum()).tolist(), strict=True)
    )
    generator = torch.Generator().manual_seed(1)
    draws = 4000
    counts = Counter(sample(logits, Sampling(temperature=0.7, top_p=top_p), generator) for _ in range(draws))
    assert counts.keys() <= allowed.keys()
    assert 7 not in counts
    for token, share in sorted(allowed.items(), key=lambda item: -item[1])[:5]:
        assert abs(counts[token] / draws - share) < 4 * (share / draws) ** 0.5


def test_the_same_seed_draws_the_same() -> None:
    logits = torch.randn(500, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(temperature=1.0, top_p=0.9)
    first, second = (
        [sample(logits, sampling, g) for _ in range(20)] for g in map(torch.Generator().manual_seed, (3, 3))
    )
    assert first == second
    assert len(set(first)) > 1


def test_what_was_drawn_before_becomes_less_likely() -> None:
    logits = torch.tensor([2.0, -1.0, 3.0])
    assert penalised(logits, [0, 1, 1], 2.0).tolist() == [1.0, -2.0, 3.0]
    assert penalised(logits, [], 2.0) is logits
    assert sample(logits, Sampling(temperature=0.0), torch.Generator()) == 2
