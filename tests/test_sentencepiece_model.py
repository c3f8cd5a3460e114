"""LLaMA's tokenizer.model, read without its library: pieces, merges in their order, and the space before every text."""

from __future__ import annotations

import pytest

from nextgpt_core.sentencepiece_model import merges, read_llama_tokenizer, read_pieces
from nextgpt_core.tokenizer import Tokenizer
from tests.official_release import PIECES, WORDS, tokenizer_model


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(tokenizer_model())
    return Tokenizer(read_llama_tokenizer(tmp_path / "tokenizer.model", ("<Img>",)))


def test_reads_every_piece_with_its_score():
    assert read_pieces(tokenizer_model()) == [(piece, -float(i)) for i, piece in enumerate(PIECES)]


def test_merges_come_in_the_order_of_the_scores():
    pieces = [("a", 0.0), ("b", 0.0), ("c", 0.0), ("abc", -9.0), ("ab", -2.0), ("bc", -3.0)]
    assert merges(pieces) == [("a", "b"), ("b", "c"), ("a", "bc"), ("ab", "c")]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("###", ["▁###"]),
        ("\n###", ["▁", "<0x0A>", "##", "#"]),
        ("### Human: bus", ["▁###", "▁Human", ":", "▁bus"]),
        (" bus", ["▁", "▁bus"]),  # a space before every text, also before a space
        ("é", ["▁", "<0xC3>", "<0xA9>"]),
        ("<s>", ["▁", "<", "s", ">"]),
        ("", []),
    ],
)
def test_encodes_as_sentencepiece_does(tokenizer, text, pieces):
    ids = tokenizer.encode(text)
    assert [PIECES[number] for number in ids] == pieces
    assert tokenizer.decode(ids) == text


def test_markers_come_behind_the_vocabulary(tokenizer):
    assert tokenizer.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2, "<Img>": WORDS}
    assert max(tokenizer.encode("<Img>")) < WORDS


@pytest.mark.parametrize(
    ("data", "told"),
    [(tokenizer_model()[:1000], "cut short"), (b"\x0f\x0f", "no protocol buffer"), (b"", "not LLaMA's")],
)
def test_another_file_is_refused(tmp_path, data, told):
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(ValueError, match=told):
        read_llama_tokenizer(tmp_path / "tokenizer.model")
