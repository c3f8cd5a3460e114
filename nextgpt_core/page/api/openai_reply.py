"""Writes an answer in OpenAI's words: one `chat.completion`, or the chunks of a stream.

Text is the message's `content`. Pictures, videos and sounds are its `media`: content parts with data: URLs, so that an
answer is whole in itself and nothing of it stays here. Each part carries its caption, where among the text's characters
it stands (`offset`), and how it came to be. A message of ours can be sent back as it is, and its parts as a user's.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

from nextgpt_core.conversation import (
    Event,
    MediaFailed,
    MediaProgress,
    MediaReady,
    Notice,
    Provenance,
    TextDelta,
    Timings,
    TurnDone,
)

MIME = {".png": "image/png", ".mp4": "video/mp4", ".wav": "audio/wav"}


class Reply:
    """One answer, from the first event to the last; `longest` is how many tokens it may have."""

    def __init__(self, model: str, longest: int) -> None:
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self._longest = longest
        self._text = ""
        self._lists: dict[str, list[Any]] = {"media": [], "failed": [], "notices": []}
        self._timings: Timings | None = None

    def deltas(self, events: Sequence[Event]) -> Iterator[dict[str, Any]]:
        """What the events add, as a chunk's `delta`: content, media, failed, notices or progress."""
        for event in events:
            if isinstance(event, TextDelta):
                self._text += event.text
                yield {"content": event.text}
            elif isinstance(event, MediaReady):
                yield self._add("media", media_part(event, len(self._text)))
            elif isinstance(event, MediaFailed):
                yield self._add("failed", {"modality": event.modality, "reason": event.reason})
            elif isinstance(event, Notice):
                yield self._add("notices", event.text)
            elif isinstance(event, MediaProgress):
                yield {"progress": {"medium": event.index, "step": event.step, "steps": event.steps}}
            elif isinstance(event, TurnDone):
                self._timings = event.timings

    @property
    def done(self) -> bool:
        return self._timings is not None

    def completion(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self._text, "refusal": None, **self._lists}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish()}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}

    def opening(self) -> dict[str, Any]:
        return self.chunk({"role": "assistant", "content": ""})

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def closing(self, usage: bool) -> list[dict[str, Any]]:
        end = self.chunk({}, self._finish())
        return [end, {**end, "choices": [], "usage": self._usage()}] if usage else [end]

    def _add(self, name: str, item: Any) -> dict[str, Any]:
        self._lists[name].append(item)
        return {name: [item]}

    def _finish(self) -> str:
        return "length" if self._timings and self._timings.new_tokens >= self._longest else "stop"

    def _usage(self) -> dict[str, Any]:
        timings = self._timings or Timings(0.0, 0, 0, 0, 0.0)
        return {
            "prompt_tokens": timings.prompt_tokens,
            "completion_tokens": timings.new_tokens,
            "total_tokens": timings.prompt_tokens + timings.new_tokens,
            "prompt_tokens_details": {"cached_tokens": timings.prompt_tokens - timings.fed_tokens},
        }


def media_part(ready: MediaReady, offset: int) -> dict[str, Any]:
    """A content part of type image_url, video_url or audio_url that holds the file."""
    item, origin = ready.media, ready.provenance
    kind = f"{item.modality}_url"
    return {
        "type": kind,
        kind: {"url": f"data:{MIME[item.path.suffix]};base64,{encoded(ready)}"},
        "caption": item.caption,
        "offset": offset,
        "provenance": told(origin),
    }


def told(origin: Provenance) -> dict[str, Any]:
    """How a medium came to be, as JSON."""
    settings = dict(origin.settings)
    return {"model": origin.model, "seed": origin.seed, "settings": settings, "seconds": round(origin.seconds, 3)}


def encoded(ready: MediaReady) -> str:
    return base64.b64encode(ready.media.path.read_bytes()).decode()
