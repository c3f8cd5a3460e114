"""The pocket decoders' text condition: MiniLM's sentence vector, then its token vectors.

Needed in training only: to make what the denoisers are conditioned on, and what the output projectors aim at.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer


class SentenceCondition:
    """MiniLM from a folder as sentence-transformers saves it: config.json, model.safetensors and the tokenizer.

    `length` is how many vectors a caption becomes; 1 keeps the sentence vector alone.
    """

    def __init__(self, folder: Path, length: int = 24) -> None:
        self.length = length
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False).eval()
        self.width: int = self._model.config.hidden_size

    @torch.no_grad()
    def embed(self, captions: list[str]) -> Tensor:
        """(b, length, width): the mean over all tokens, then the words' tokens in order, then zeros.

        Each vector that is not zero has a root mean square of one. Tokens beyond `length` − 1 are left out of the
        rest but not of the mean.
        """
        batch = self._tokenizer(captions, padding=True, truncation=True, max_length=128, return_tensors="pt")
        states = self._model(**batch).last_hidden_state  # (b, tokens, width)
        mask = batch["attention_mask"].unsqueeze(-1)
        sentence = (states * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        lengths = mask.sum(1, keepdim=True) - 2  # without [CLS] and [SEP], which stand first and last
        words = states[:, 1:]
        words = words * (torch.arange(words.shape[1]).view(1, -1, 1) < lengths)
        condition = torch.cat([sentence, words], 1)[:, : self.length]
        padded = condition.new_zeros(len(captions), self.length, self.width)
        padded[:, : condition.shape[1]] = condition
        return unit_rms(padded)

    def embed_all(self, captions: list[str], batch: int = 64) -> Tensor:
        """The same for any number of captions, a batch at a time."""
        return torch.cat([self.embed(captions[i : i + batch]) for i in range(0, len(captions), batch)])


def unit_rms(vectors: Tensor) -> Tensor:
    """(..., width) with each vector scaled to a root mean square of one; zeros stay zeros."""
    rms = vectors.square().mean(-1, keepdim=True).sqrt()
    return vectors / rms.where(rms > 1e-6, 1.0)
