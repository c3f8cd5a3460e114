"""What a medium takes here: learnt from those that were made since the start, said before the next one is begun.

A decoder's seconds grow with its steps and with what each step works on: pixels, frames, seconds of sound, and twice
all of it where guidance asks for a second opinion. So a making gives a rate, and rates carry over to other settings.
Nothing is said of a modality that has not been made yet.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict, deque
from collections.abc import Mapping

from nextgpt_core.conversation import Modality, Provenance

_REMEMBERED = 8  # makings of a modality; the median of their rates passes over the one that had to load its decoder
_SIZES = ("steps", "height", "width", "frames", "seconds")


class Costs:
    """Learns from one thread while others ask."""

    def __init__(self) -> None:
        self._rates: defaultdict[Modality, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    def learn(self, made: Provenance) -> None:
        self._rates[made.modality].append(made.seconds / _work(made.settings))

    def seconds(self, modality: Modality, settings: Mapping[str, float]) -> float | None:
        """What a medium with all of these settings of its decoder will take; None where nobody knows yet."""
        rates = list(self._rates[modality])
        return statistics.median(rates) * _work(settings) if rates else None


def _work(settings: Mapping[str, float]) -> float:
    passes = 2 if settings.get("guidance_scale", 1) > 1 else 1
    return passes * math.prod(settings[name] for name in _SIZES if name in settings)
