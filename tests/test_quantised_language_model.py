"""The language model in 8 and 4 bits, where requirements-gpu.txt is installed; else, how its absence is told."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from nextgpt_core.base_model import load_base
from nextgpt_core.config import LoraConfig
from nextgpt_core.language_model import LanguageModel
from tests.official_release import WORDS, tokenizer_model, write_base


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    write_base(tmp_path, width=64)
    (tmp_path / "tokenizer.model").write_bytes(tokenizer_model())
    return tmp_path


@pytest.mark.parametrize(("bits", "least"), [(8, 0.999), (4, 0.97)])
def test_answers_nearly_the_same(folder, bits, least):
    pytest.importorskip("bitsandbytes")
    ids = torch.randint(3, WORDS, (1, 12))
    logits = []
    for chosen in (16, bits):
        base, _ = load_base(folder, folder, torch.float32, bits=chosen)
        base.resize_token_embeddings(WORDS + 2, mean_resizing=False)
        model = LanguageModel(base, 36, LoraConfig(4, 4, ("q_proj", "v_proj")))
        with torch.no_grad():
            logits.append(model.logits(model(model.embed(ids)))[..., :WORDS].float().flatten())
    assert torch.cosine_similarity(*logits, dim=0) > least
    assert not torch.equal(*logits)


def test_a_missing_library_is_named(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"holds the language model in 4 bits only.*requirements-gpu.txt"):
        load_base(folder, folder, torch.float32, bits=4)
