"""Lets a larger language model reword what users say: `python -m nextgpt_core rewrite FILE --address URL …`.

Any address that speaks OpenAI's chat completions will do, such as that of a server on the same machine; nothing is
sent anywhere unless this command is given one. Only users' words are reworded: what the assistant says and makes
stays, so that captions keep their runs. An answer that is not as many sentences as were sent leaves a conversation as
it is. A key, if the server wants one, is read from the environment's OPENAI_API_KEY.
"""

from __future__ import annotations

import argparse
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.training.data import Conversation, DataError, read_conversations, write_conversations

_INSTRUCTION = (
    "Reword each message of this JSON list the way different people would type it: vary length, tone and politeness. "
    "Keep exactly what is asked for, every thing, colour, number and place, and which of picture, video and sound is "
    "wanted, if any. Answer with a JSON list of as many strings and nothing else."
)
_SECONDS = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="JSONL conversations")
    parser.add_argument("--out", type=Path, required=True, help="the JSONL file to write")
    parser.add_argument("--address", required=True, metavar="URL", help="the server's, up to and with /v1")
    parser.add_argument("--model", required=True, metavar="NAME", help="the model's name there")


def run(args: argparse.Namespace) -> int:
    rewriter = Rewriter(args.address, args.model)
    conversations = read_conversations(args.data)
    reworded = [rewriter(conversation) for conversation in tqdm(conversations, unit="conversation")]
    write_conversations(reworded, args.out)
    kept = sum(a == b for a, b in zip(conversations, reworded, strict=True))
    print(f"{len(reworded)} conversations in {args.out}, {kept} of them as they were")
    return 0


class Rewriter:
    def __init__(self, address: str, model: str) -> None:
        self._url = address.rstrip("/") + "/chat/completions"
        self._model = model

    def __call__(self, conversation: Conversation) -> Conversation:
        """The conversation with users' words reworded, or unchanged. Raises DataError if the server does not answer."""
        said = [part.text for m in conversation if m.role == "user" for part in m.parts if isinstance(part, Text)]
        if not said:
            return conversation
        reworded = _strings(self._ask(said), len(said))
        if reworded is None:
            return conversation
        following = iter(reworded)
        return tuple(replace(m, parts=_with_words(m, following)) if m.role == "user" else m for m in conversation)

    def _ask(self, said: Sequence[str]) -> str:
        messages = [
            {"role": "system", "content": _INSTRUCTION},
            {"role": "user", "content": json.dumps(said, ensure_ascii=False)},
        ]
        body = json.dumps({"model": self._model, "messages": messages, "temperature": 1.0}).encode()
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self._url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return json.load(answer)["choices"][0]["message"]["content"]
        except (urllib.error.URLError, TimeoutError) as error:
            raise DataError(
                f"{self._url} does not answer: {error}. Is the server running, and its name right?"
            ) from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(f"{self._url} does not answer as chat completions do: {error!r}.") from error


def _strings(answer: str, count: int) -> list[str] | None:
    """The list that the answer is, if it is one of `count` strings that are not empty."""
    try:
        values = json.loads(answer)
    except ValueError:
        return None
    fits = isinstance(values, list) and len(values) == count
    return values if fits and all(isinstance(v, str) and v.strip() for v in values) else None


def _with_words(message: Message, following: Iterator[str]) -> tuple[Text | Media, ...]:
    return tuple(Text(next(following)) if isinstance(part, Text) else part for part in message.parts)
