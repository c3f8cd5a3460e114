"""The guarded process: reads one question a line from its input, and answers with a header and the arrays' bytes.

Started by `guard`, never imported by anything else.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nextgpt_core.media import pictures, streams
from nextgpt_core.media.kinds import MediaError, shown

_MEMORY = 3 << 30  # bytes of address space; 40 megapixels take half a gigabyte at their worst
_PROCESSOR_SECONDS = 90  # for one file, over all threads
_FUNCTIONS = {
    "probe": streams.probe,
    "codecs": streams.codecs,
    "read_image": pictures.read_image,
    "read_audio": streams.read_audio,
    "read_video": streams.read_video,
    "video_length": streams.video_length,
    "read_frames": streams.read_frames,
}


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not land among the answers
    _limit_process()
    for line in sys.stdin.buffer:
        question = json.loads(line)
        _limit_processor()
        with contextlib.suppress(BrokenPipeError):
            answer(question, answers)


def answer(question: dict[str, Any], out: BinaryIO) -> None:
    path = Path(question["path"])
    arrays: list[np.ndarray] = []
    try:
        header = {"value": _describe(_FUNCTIONS[question["function"]](path, **question["arguments"]), arrays)}
    except MediaError as error:
        header = _refusal(error)
    except MemoryError:
        header = _refusal(MediaError("{file} takes more memory to read than a file may.", file=shown(path)))
    except Exception as error:  # a decoder's own error that no one foresaw: still one file's, not the chat's
        name = type(error).__name__
        header = _refusal(MediaError("{file} could not be read ({error}).", file=shown(path), error=name))
    text = json.dumps(header).encode()
    out.write(len(text).to_bytes(4, "big") + text)
    for array in arrays:
        out.write(np.ascontiguousarray(array).data)
    out.flush()


def _refusal(error: MediaError) -> dict[str, Any]:
    """What `Sentence.rebuilt` takes."""
    return {"error": [str(error), error.sentence.pattern, error.sentence.values]}


def _describe(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"shape": value.shape, "dtype": value.dtype.str}
    return [_describe(item, arrays) for item in value] if isinstance(value, tuple) else value


def _limit_process() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # systems without such limits have the clock's
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _limit_processor() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + _PROCESSOR_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
