"""The condition is what sentence-transformers would say, then the words, then nothing."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizerFast

from nextgpt_core.decoders.sentence_condition import SentenceCondition


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random BERT of two layers that knows a dozen words."""
    folder = tmp_path_factory.mktemp("sentences")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "apple", "dog", "two", "cats", "on"]
    BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def test_shape_and_scale(folder):
    embedded = SentenceCondition(folder, 6).embed(["a red apple", "dog", "a dog on two red cats on a dog"])
    assert embedded.shape == (3, 6, 16)
    rms = embedded.square().mean(-1).sqrt()
    assert [(row > 0).sum().item() for row in rms] == [4, 2, 6]
    torch.testing.assert_close(rms[rms > 0], torch.ones_like(rms[rms > 0]))


def test_the_first_vector_is_the_mean_and_the_rest_the_words(folder):
    model, tokenizer = (
        BertModel.from_pretrained(folder, add_pooling_layer=False).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    with torch.no_grad():
        states = model(**tokenizer("a red apple", return_tensors="pt")).last_hidden_state[0]
    embedded = SentenceCondition(folder, 6).embed(["a red apple", "a dog on two red cats"])[0]
    for vector, expected in zip(embedded, [states.mean(0), *states[1:-1]], strict=False):
        assert torch.cosine_similarity(vector, expected, dim=0) > 1 - 1e-5


def test_length_one_is_the_sentence_alone(folder):
    captions = ["a red apple", "two cats"]
    alone = SentenceCondition(folder, 1).embed(captions)
    torch.testing.assert_close(alone, SentenceCondition(folder, 6).embed(captions)[:, :1])
