"""Reads uploads in a process of its own, with limits on memory, processor time and the clock.

The process starts at the first call, stays for the next ones, and is ended when it overstays or dies of a file. What
comes back are numbers and bytes, never pickled objects: a worker that a file took over can lie about the picture, and
no more. Only numpy, Pillow and PyAV are imported there.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from nextgpt_core.conversation import Sentence
from nextgpt_core.media.kinds import MediaError, check_file, shown

SECONDS = 60.0  # by the clock, for one file
_WORKERS = 2
_MAX_ANSWER = 1 << 30  # bytes


def call(function: str, path: Path, **arguments: Any) -> Any:
    """What the worker's `function` makes of the file: an array, a plain value or a tuple of them; or MediaError."""
    path = check_file(path)
    with _slots:
        worker = _take()
        try:
            answer = worker.ask({"function": function, "path": str(path.resolve()), "arguments": arguments})
        except TimeoutError:
            worker.end()
            raise MediaError(
                "{file} takes more than {seconds} s to read, and was given up.",
                file=shown(path),
                seconds=f"{SECONDS:.0f}",
            ) from None
        except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError):  # it ended, or talks nonsense
            worker.end()
            raise MediaError(
                "{file} could not be read: it takes too much time or memory, or breaks its decoder.", file=shown(path)
            ) from None
        except BaseException:  # an interrupt: the answer would be taken for the next question's
            worker.end()
            raise
        _give_back(worker)
    if "error" in answer:
        raise MediaError(answer["error"])
    return answer["value"]


class _Worker:
    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(p for p in (root, *sys.path) if p)
        kept = {
            name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nextgpt_core.media.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=root,
            env={**kept, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt at the terminal is the chat's to handle
        )

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """{"value"}, or {"error"} as a Sentence. Raises TimeoutError; EOFError and OSError where the process ended."""
        deadline = time.monotonic() + SECONDS
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        answer = json.loads(self._read(int.from_bytes(self._read(4, deadline), "big"), deadline))
        if "error" in answer:
            return {"error": Sentence.rebuilt(*answer["error"])}
        return {"value": self._value(answer["value"], deadline)}

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def _value(self, value: Any, deadline: float) -> Any:
        """Arrays are described as {"shape", "dtype"}; their bytes follow in order."""
        if isinstance(value, list):
            return tuple(self._value(item, deadline) for item in value)
        if isinstance(value, dict):
            array = np.dtype(value["dtype"]), tuple(value["shape"])
            size = int(np.prod(array[1], dtype=np.int64)) * array[0].itemsize
            return np.frombuffer(self._read(size, deadline), array[0]).reshape(array[1])
        return value

    def _read(self, size: int, deadline: float) -> bytearray:
        if not 0 <= size <= _MAX_ANSWER:
            raise EOFError("an answer of no possible size")
        data = bytearray(size)
        view, pipe = memoryview(data), self.process.stdout
        while view:
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            count = pipe.readinto(view)
            if not count:
                raise EOFError("the process ended")
            view = view[count:]
        return data


_slots = threading.BoundedSemaphore(_WORKERS)
_idle: list[_Worker] = []


def _take() -> _Worker:
    while True:
        try:
            worker = _idle.pop()
        except IndexError:
            return _Worker()
        if worker.process.poll() is None:
            return worker
        worker.end()


def _give_back(worker: _Worker) -> None:
    _idle.append(worker)


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _forget() -> None:
    """In a forked child: the parent's workers are the parent's to talk to."""
    global _slots
    _slots = threading.BoundedSemaphore(_WORKERS)
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
