"""Reads LLaMA's `tokenizer.model` into a fast tokenizer, without the sentencepiece library.

The file is a protocol buffer: a list of pieces, each with its text, score and kind. A BPE model scores its pieces by
the order in which they were merged, so the merges that a fast tokenizer needs can be told from vocabulary and scores.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how SentencePiece writes a space


def read_llama_tokenizer(path: Path, markers: Sequence[str] = ()) -> Tokenizer:
    """LLaMA's tokenizer as it was trained with; `markers` become special tokens behind its vocabulary."""
    pieces = read_pieces(path.read_bytes())
    if [text for text, _ in pieces[:3]] != ["<unk>", "<s>", "</s>"]:
        raise ValueError(f"{path.name} is not LLaMA's tokenizer: its first pieces are not <unk>, <s> and </s>.")
    vocabulary = {text: index for index, (text, _) in enumerate(pieces)}
    tokenizer = Tokenizer(BPE(vocabulary, merges(pieces), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    # SentencePiece puts a space before every text, also before one that starts with a space.
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    specials = ("<unk>", "<s>", "</s>", *markers)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in specials])
    return tokenizer


def read_pieces(data: bytes) -> list[tuple[str, float]]:
    """(text, score) of each piece; field 1 of the model, in which field 1 is the text and field 2 the score."""
    pieces = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            pieces.append((piece[1].decode(), struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0))
    return pieces


def merges(pieces: list[tuple[str, float]]) -> list[tuple[str, str]]:
    """Pairs of pieces that join to a piece, the first to be applied first."""
    index = {text: i for i, (text, _) in enumerate(pieces)}
    pairs = [
        (-score, index[text[:cut]], index[text[cut:]])
        for text, score in pieces
        for cut in range(1, len(text))
        if text[:cut] in index and text[cut:] in index
    ]
    return [(pieces[left][0], pieces[right][0]) for _, left, right in sorted(pairs)]


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a protocol buffer message; fixed-width values come as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError("This is not a SentencePiece model: it is no protocol buffer.")
        if at + length > len(data):
            raise ValueError("This SentencePiece model is cut short.")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("This SentencePiece model is cut short.")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
