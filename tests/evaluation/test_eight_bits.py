"""The comparison of 8 with 16 bits, against the batched judge and against itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from nextgpt_core import lean_llama
from nextgpt_core.conversation import Message, Text
from nextgpt_core.decoding import PrefixCache
from nextgpt_core.evaluation import eight_bits, plain_text, replies
from nextgpt_core.evaluation.matrix import Prompt, example
from nextgpt_core.evaluation.replies import load_for_judging
from tests import tiny

CHAT = [
    (Message("user", (Text("Why?"),)), Message("assistant", (Text("Because it is so."),))),
    (Message("user", (Text("Is it?"),)), Message("assistant", (Text("Yes."),))),
]
TEXT = frozenset({"text"})
PROMPTS = [Prompt((Message("user", (Text(text),)),), TEXT, TEXT) for text in ("Hello there", "abc", "Draw!")]


def test_perplexity_token_by_token_equals_that_in_one_pass(tiny_folder: Path) -> None:
    model = tiny.load(tiny_folder)
    assert math.isclose(eight_bits.perplexity(model, CHAT), plain_text.perplexity(model, CHAT), rel_tol=1e-4)


@pytest.mark.parametrize("circle", [60, 6])
def test_replies_are_those_of_the_batched_judge(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, circle: int
) -> None:
    for module in (eight_bits, replies):
        monkeypatch.setattr(module, "in_circles", lambda text: len(text) >= circle)
    messages = [prompt.messages for prompt in PROMPTS]
    alone = [eight_bits.reply(tiny.load(tiny_folder), some, PrefixCache(0)) for some in messages]
    assert alone == replies.greedy_replies(load_for_judging(tiny_folder, "cpu"), messages, most_tokens=120)
    assert max(len(text) for reply in alone for text in reply.parts) == circle


@pytest.mark.skipif(not lean_llama.packs(torch.float32), reason="this torch has no kernel for 8 bits on this CPU")
def test_eight_bits_are_judged_apart(tiny_folder: Path) -> None:
    figures = eight_bits.evaluate_bits(tiny.load(tiny_folder), PROMPTS, CHAT)
    assert figures["prompts"] == 3
    assert figures["perplexity_8_bits"] != figures["perplexity_16_bits"]
    assert math.isclose(figures["perplexity_8_bits"], figures["perplexity_16_bits"], rel_tol=0.1)
    assert 0 <= figures["same_replies"] <= figures["same_media"] <= 1


def test_the_same_weights_are_judged_the_same(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "_weight_int8pack_mm")
    shown = Prompt((Message("user", (example("image"), Text("What is it?"))),), frozenset({"text", "image"}), TEXT)
    figures = eight_bits.evaluate_bits(tiny.load(tiny_folder), [*PROMPTS, shown], CHAT)
    assert figures["prompts"] == 4
    assert figures["same_replies"] == figures["same_media"] == 1
    for name in ("perplexity", "routing"):
        assert figures[f"{name}_8_bits"] == figures[f"{name}_16_bits"]
