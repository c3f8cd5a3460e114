"""Which encoders and decoders are on the GPU, by the memory plan; the others wait in the host's memory.

A part that stays is moved in once. Those that do not stay share one seat and take it in turns. If the memory runs out
all the same, everything that is not at work leaves, and from then on all parts share the seat.
"""

from __future__ import annotations

from typing import Protocol

from nextgpt_core.memory import TIERS, Plan


class Part(Protocol):
    def to(self, device: str) -> object: ...


class Seats:
    def __init__(self, device: str, plan: Plan | None) -> None:
        """Without a plan (on a CPU) every part stays."""
        tier = plan.tier if plan else TIERS[0]
        self._device = device
        self._stays = {"encoder": tier.encoders_stay, "decoder": tier.decoders_stay}
        self._staying: list[Part] = []
        self._seated: Part | None = None
        self._crowded = False

    def take(self, part: Part, kind: str) -> None:
        """Moves `part`, an "encoder" or a "decoder", to the device, if it is not there yet."""
        if part is self._seated or any(part is other for other in self._staying):
            return
        if self._stays[kind]:
            self._staying.append(part)
        else:
            if self._seated is not None:
                self._seated.to("cpu")
            self._seated = part
        part.to(self._device)

    def make_room(self, part: Part) -> bool:
        """After the memory ran out: all but `part` leave. False if that was done before and cannot help again."""
        if self._crowded:
            return False
        self._crowded = True
        self._stays = dict.fromkeys(self._stays, False)
        for other in (*self._staying, self._seated):
            if other is not None and other is not part:
                other.to("cpu")
        self._staying, self._seated = [], part
        return True
