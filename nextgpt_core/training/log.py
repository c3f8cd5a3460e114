"""What training says on its way: a line on the terminal, `log.jsonl`, and TensorBoard's event files.

The event files hold scalars only, which takes three small messages; TensorBoard itself is needed to look at them, not
to write them.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_CRC32C = 0x82F63B78  # Castagnoli's polynomial, reversed


class TrainingLog:
    """A line of means every `every` steps. Lines of steps behind `done`, which a killed run wrote, are dropped."""

    def __init__(self, out: Path, steps: int, every: int, done: int) -> None:
        self._path, self._steps, self._every = out / "log.jsonl", steps, every
        self._sums: dict[str, list[float]] = {}
        self._samples, self._began = 0, time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        if self._path.is_file():
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            self._path.write_text("".join(x for x in lines if json.loads(x)["step"] <= done), encoding="utf-8")
        self._events = EventFile(out / "tensorboard")

    def step(self, step: int, terms: Mapping[str, float], rate: float, samples: int) -> None:
        """`rate` is the schedule's, 0…1; `samples` how many conversations this step took."""
        for name, value in terms.items():
            self._sums.setdefault(name, []).append(value)
        self._samples += samples
        if step % self._every and step != self._steps:
            return
        seconds = time.monotonic() - self._began
        means = {name: round(sum(values) / len(values), 4) for name, values in self._sums.items()}
        speed = round(self._samples / seconds, 2)
        line = {"step": step, **means, "rate": round(rate, 4), "samples_per_second": speed, "time": round(time.time())}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        scalars = {f"loss/{name}": value for name, value in means.items()}
        self._events.write(step, scalars | {"rate": rate, "samples_per_second": speed})
        left = (self._steps - step) * seconds * samples / self._samples
        text = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        print(f"{step}/{self._steps}  {text}  rate {rate:.2f}  {speed:.1f} samples/s  {_clock(left)} left", flush=True)
        self._sums, self._samples, self._began = {}, 0, time.monotonic()


class EventFile:
    """Scalars in TensorBoard's format: length-framed protocol buffers, each with a masked CRC-32C."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"events.out.tfevents.{time.time_ns()}"
        self._append(struct.pack("<Bd", 0x09, time.time()) + _field(3, b"brain.Event:2"))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        values = b"".join(
            _field(1, _field(1, tag.encode()) + struct.pack("<Bf", 0x15, value)) for tag, value in scalars.items()
        )
        self._append(struct.pack("<Bd", 0x09, time.time()) + b"\x10" + _varint(step) + _field(5, values))

    def _append(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        with self._path.open("ab") as file:
            file.write(length + _masked_crc(length) + event + _masked_crc(event))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC32C if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
