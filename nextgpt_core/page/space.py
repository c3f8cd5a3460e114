"""What ZeroGPU asks of a Space; everywhere else none of it does anything.

ZeroGPU lends a GPU to one call at a time. The model is loaded before the page is launched; a turn then runs in a forked
process, and its events come back by pickle. An error would come back as its name only, so errors whose words are for
people are sent as values. https://huggingface.co/docs/hub/spaces-zerogpu
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from nextgpt_core.conversation import MODALITIES, ChatOptions, Event, Media, Message, RefusedError
from nextgpt_core.page.talk.lane import Model

# Seconds of GPU that a turn asks for: for its words, for each step of a medium that may come, and at most. A visitor's
# daily share must hold that much. Estimates; nobody has measured them on ZeroGPU.
_WORDS, _STEP, _MOST = 30, 1, 120


def zero_gpu() -> Callable[..., Any] | None:
    """The decorator that asks for a GPU, or None where ZeroGPU is not. To be called before torch is imported."""
    if not os.environ.get("SPACES_ZERO_GPU"):
        return None
    import spaces

    return spaces.GPU


class OnZeroGpu:
    """A model whose turns run where the GPU is; `gpu` is the decorator."""

    def __init__(self, model: Model, gpu: Callable[..., Any]) -> None:
        self.config = model.config
        self._model = model
        self._on_gpu = gpu(duration=self._seconds)(self._work)

    def chat(self, messages: Sequence[Message], options: ChatOptions) -> Iterator[Event]:
        return self._told("chat", list(messages), options)

    def remake(self, messages: Sequence[Message], index: int, options: ChatOptions) -> Iterator[Event]:
        return self._told("remake", list(messages), index, options)

    def received(self, item: Media) -> tuple[np.ndarray, int]:
        return self._model.received(item)

    def _told(self, *call: Any) -> Iterator[Event]:
        with closing(self._on_gpu(*call)) as items:
            for item in items:
                if isinstance(item, Exception):
                    raise item
                yield item

    def _work(self, name: str, *arguments: Any) -> Iterator[Event | Exception]:
        """In the forked process."""
        try:
            with closing(getattr(self._model, name)(*arguments)) as events:
                yield from events
        except RefusedError as error:
            yield error

    def _seconds(self, name: str, *arguments: Any) -> int:
        options: ChatOptions = arguments[-1]
        steps = (
            options.decoding.get(modality, {}).get("steps", self.config.decoders[modality].settings["steps"])
            for modality in MODALITIES
            if modality in self.config.decoders and options.wanted.get(modality) != "never"
        )
        return min(_MOST, _WORDS + round(_STEP * sum(steps)))
