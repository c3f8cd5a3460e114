"""Signal tokens: their ids, and the grammar of a reply.

A run of signal tokens, [IMG0] [IMG1] …, is how the language model asks for a medium. Its tokens have ids behind the
base vocabulary and no text ever encodes to them. A reply may start a run with its first token only; the rest follows
by force, so no run is ever incomplete and no token of a run stands alone. Feeding a run is `language_model`'s
business, turning its states into a medium `model`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from nextgpt_core.config import SignalConfig
from nextgpt_core.conversation import Modality, Wanted


class SignalTokens:
    """Ids `vocabulary` … `vocabulary + count - 1`, one run after another in the config's order."""

    def __init__(self, config: Mapping[Modality, SignalConfig], vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.runs: dict[Modality, tuple[int, ...]] = {}
        self.names: list[str] = []
        for modality, signal in config.items():
            first = vocabulary + len(self.names)
            self.runs[modality] = tuple(range(first, first + signal.count))
            self.names += [f"[{signal.name}{i}]" for i in range(signal.count)]
        self.starts: dict[int, Modality] = {run[0]: modality for modality, run in self.runs.items()}

    @property
    def count(self) -> int:
        return len(self.names)


class ReplyGrammar:
    """What one reply may still say. Not shared between replies.

    Wishes: a modality that is `never` wanted is not offered; one that is `always` wanted comes at the reply's end at
    the latest, in place of the stop. `most` bounds the media of a reply.
    """

    def __init__(self, signals: SignalTokens, wanted: Mapping[Modality, Wanted], most: int = 4) -> None:
        self._signals = signals
        self._wanted = wanted
        self._most = most
        self._made: list[Modality] = []

    def mask(self, logits: Tensor) -> Tensor:
        """logits: (vocabulary + signals,), a copy is returned in which what may not come next is -inf."""
        allowed = logits.clone()
        offered = [first for first, modality in self._signals.starts.items() if self.offers(modality)]
        signal_logits = allowed[self._signals.vocabulary :]
        kept = signal_logits[[first - self._signals.vocabulary for first in offered]]
        signal_logits.fill_(-torch.inf)
        signal_logits[[first - self._signals.vocabulary for first in offered]] = kept
        return allowed

    def offers(self, modality: Modality) -> bool:
        """Whether the reply may still hold one."""
        return len(self._made) < self._most and self._wanted.get(modality, "auto") != "never"

    def may_give(self, kinds: Collection[str]) -> bool:
        """Whether any of these, media or "text", may still come."""
        return any(kind == "text" or self.offers(kind) for kind in kinds)

    def started(self, token: int) -> Modality | None:
        """The modality whose run `token` starts, noted as made; None for an ordinary token."""
        modality = self._signals.starts.get(token)
        if modality is not None:
            self._made.append(modality)
        return modality

    def owed(self) -> int | None:
        """The first token of a run that must come before the reply may end, or None."""
        for modality, run in self._signals.runs.items():
            if self._wanted.get(modality) == "always" and modality not in self._made:
                return run[0]
        return None
