"""Seats on a device: who is moved in and out under a plan, and what happens when the memory runs out all the same."""

from __future__ import annotations

from nextgpt_core.memory import TIERS, Plan
from nextgpt_core.seats import Seats


class Part:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def to(self, device: str) -> Part:
        self.log.append(f"{self.name} to {device}")
        return self


def _seats(encoders_stay: bool, decoders_stay: bool) -> Seats:
    tier = next(t for t in TIERS if (t.encoders_stay, t.decoders_stay) == (encoders_stay, decoders_stay))
    return Seats("cuda", Plan(tier, gpu=0, cache_bytes=0, resident={}, phases={}))


def _parts() -> tuple[list[str], Part, Part, Part]:
    log: list[str] = []
    return log, Part("ears", log), Part("painter", log), Part("singer", log)


def test_parts_that_stay_are_moved_once():
    log, ears, painter, singer = _parts()
    seats = Seats("cpu", None)
    for part, kind in ((ears, "encoder"), (painter, "decoder"), (singer, "decoder"), (painter, "decoder")):
        seats.take(part, kind)
    assert log == ["ears to cpu", "painter to cpu", "singer to cpu"]


def test_decoders_take_turns_beside_an_encoder_that_stays():
    log, ears, painter, singer = _parts()
    seats = _seats(encoders_stay=True, decoders_stay=False)
    for part, kind in ((ears, "encoder"), (painter, "decoder"), (painter, "decoder"), (singer, "decoder")):
        seats.take(part, kind)
    seats.take(ears, "encoder")
    assert log == ["ears to cuda", "painter to cuda", "painter to cpu", "singer to cuda"]


def test_encoders_and_decoders_share_one_seat():
    log, ears, painter, _ = _parts()
    seats = _seats(encoders_stay=False, decoders_stay=False)
    for part, kind in ((ears, "encoder"), (painter, "decoder"), (ears, "encoder")):
        seats.take(part, kind)
    assert log == ["ears to cuda", "ears to cpu", "painter to cuda", "painter to cpu", "ears to cuda"]


def test_when_the_memory_runs_out_all_others_leave_once_and_for_all():
    log, ears, painter, singer = _parts()
    seats = _seats(encoders_stay=True, decoders_stay=True)
    for part, kind in ((ears, "encoder"), (painter, "decoder"), (singer, "decoder")):
        seats.take(part, kind)
    log.clear()
    assert seats.make_room(painter)
    assert log == ["ears to cpu", "singer to cpu"]
    log.clear()
    seats.take(painter, "decoder")
    seats.take(ears, "encoder")
    assert log == ["painter to cpu", "ears to cuda"]
    assert not seats.make_room(ears)
