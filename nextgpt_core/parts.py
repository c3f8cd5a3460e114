"""A profile's frozen parts: encoders and decoders, built on first use and seated on the device.

Which part has to leave when the device is full is `seats`' business; what the parts are for is `model`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from nextgpt_core.config import Config
from nextgpt_core.conversation import Modality, Sentence
from nextgpt_core.decoders import Decoder, build_decoder
from nextgpt_core.encoders import Encoder, build_encoder
from nextgpt_core.memory import Plan
from nextgpt_core.seats import Seats
from nextgpt_core.weights import resolve

logger = logging.getLogger(__name__)
Made = TypeVar("Made")
_PRESSED = Sentence(
    "The GPU's memory ran out. What is not at work is moved out from now on, so turns take a little longer."
)


class Parts:
    """`release` is called to free what the caller holds when memory runs out; `notices` are sentences for people."""

    def __init__(
        self, config: Config, folder: Path, device: str, plan: Plan | None, release: Callable[[], None]
    ) -> None:
        self.notices: list[str] = []
        self._config, self._folder = config, folder
        self._encoders: dict[str, Encoder] = {}
        self._decoders: dict[Modality, Decoder] = {}
        self._seats = Seats(device, plan)
        self._release = release

    def built_encoder(self, name: str) -> Encoder:
        """Wherever it is, for its sizes."""
        if name not in self._encoders:
            config = self._config.encoders[name]
            self._encoders[name] = build_encoder(config.kind, resolve(config.source, self._folder))
        return self._encoders[name]

    def encoder(self, name: str) -> Encoder:
        """On the device; another part may have had to leave it."""
        encoder = self.built_encoder(name)
        self._seats.take(encoder, "encoder")
        return encoder

    def decoder(self, modality: Modality) -> Decoder:
        """On the device. Raises KeyError where the config names none."""
        if modality not in self._decoders:
            self._decoders[modality] = build_decoder(self._config.decoders[modality], self._folder)
        decoder = self._decoders[modality]
        self._seats.take(decoder, "decoder")
        return decoder

    def with_room(self, part: Encoder | Decoder, work: Callable[[], Made]) -> Made:
        """Does `work` with `part`. When the device's memory runs out, frees what is not at work and tries once more."""
        try:
            return work()
        except torch.OutOfMemoryError:
            if not self._seats.make_room(part):
                raise
        logger.warning("The GPU's memory ran out; parts that are not at work now wait in the host's memory.")
        self._release()
        torch.cuda.empty_cache()
        self.notices.append(_PRESSED)
        return work()
