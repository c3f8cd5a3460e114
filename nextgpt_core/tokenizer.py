"""Text to ids and back, with special tokens kept apart from what people write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import tokenizers

from nextgpt_core.circles import in_circles

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class Tokenizer:
    """A fast tokenizer whose `encode` never yields a special token: a typed "<|im_end|>" is ten characters."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        self._backend.encode_special_tokens = True
        self._backend.no_truncation()
        self._backend.no_padding()
        self.special_tokens: dict[str, int] = {
            token.content: number for number, token in self._backend.get_added_tokens_decoder().items() if token.special
        }

    def encode(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self._backend.decode(list(ids), skip_special_tokens=True)


class TextStream:
    """Ids in, text out as soon as it is certain.

    A character split over several tokens waits for the last of them; text that may be the beginning of a stop string
    waits until it is not. `stopped` turns true once a stop string is complete, which is never given out, or once the
    text goes round in circles; what follows isn't given out either.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = [stop for stop in stops if stop not in tokenizer.special_tokens]
        self._ids: list[int] = []
        self._given = ""
        self.stopped = False

    def push(self, token: int) -> Iterator[str]:
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        for stop in self._stops:
            if (at := text.find(stop)) >= 0:
                self.stopped = True
                yield from self._give(text[:at])
                return
        if in_circles(text):
            self.stopped = True
            yield from self._give(text)
        elif not text.endswith(_UNFINISHED):
            held = max((_overlap(text, stop) for stop in self._stops), default=0)
            yield from self._give(text[: len(text) - held])

    def flush(self) -> Iterator[str]:
        """What was held back, at the end of the reply or before a medium."""
        if not self.stopped:
            yield from self._give(self._tokenizer.decode(self._ids).rstrip(_UNFINISHED))
        self._ids, self._given = [], ""

    def _give(self, text: str) -> Iterator[str]:
        if len(text) > len(self._given):
            yield text[len(self._given) :]
            self._given = text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
