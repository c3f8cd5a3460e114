"""A model that follows a script: the same events as NextGPT, with real small files, and waits where it is told to.

The last message's words choose what happens: `picture`, `clip` and `sound` are made in that order, `slow` makes every
step take a moment, `hold` stays at the third word or step until the test sets `go`, `fail` fails the media, `crash`
raises, `memory` raises as a full GPU does.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nextgpt_core import media
from nextgpt_core.config import Config, DecoderConfig, LanguageModelConfig, LoraConfig, Source, TemplateConfig
from nextgpt_core.conversation import (
    ChatOptions,
    Event,
    Media,
    MediaFailed,
    MediaProgress,
    MediaReady,
    MediaStarted,
    Message,
    Modality,
    Provenance,
    Sentence,
    Text,
    TextDelta,
    Timings,
    TurnDone,
)

STEPS = 10
STEP_SECONDS = 0.05  # that a step is said to have taken
ASKED_BY: dict[Modality, str] = {"image": "picture", "video": "clip", "audio": "sound"}
_SETTINGS: dict[Modality, dict[str, float]] = {
    "image": {"steps": STEPS, "guidance_scale": 3.0, "height": 64, "width": 64},
    "video": {"steps": STEPS, "guidance_scale": 3.0, "height": 64, "width": 64, "frames": 8},
    "audio": {"steps": STEPS, "guidance_scale": 2.0, "seconds": 1.0},
}
_NOWHERE = Source(("file:nowhere",))
CONFIG = Config(
    name="scripted",
    language_model=LanguageModelConfig(
        _NOWHERE, LoraConfig(1, 1.0, ()), TemplateConfig("", ("", ""), ("", ""), {}, ("",))
    ),
    signals={},
    encoders={},
    input_projectors={},
    reads={"image": "nowhere", "video": "nowhere", "audio": "nowhere"},
    output_projectors={},
    writes={},
    decoders={modality: DecoderConfig("scripted", _NOWHERE, settings) for modality, settings in _SETTINGS.items()},
)


class ScriptedModel:
    """`seen` records every call's messages and options; `pause` is the wait of a slow step, in seconds."""

    config = CONFIG

    def __init__(self, pause: float = 0.15) -> None:
        self.pause = pause
        self.seen: list[tuple[list[Message], ChatOptions]] = []
        self.go = threading.Event()
        self.forget: set[str] = set()  # words that a medium made again does not heed
        self._seeds = itertools.count(7)
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    def chat(self, messages: Sequence[Message], options: ChatOptions) -> Iterator[Event]:
        with self._lock:
            self.seen.append((list(messages), options))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            yield from self._chat(messages, options)
        finally:
            with self._lock:
                self.running -= 1

    def _chat(self, messages: Sequence[Message], options: ChatOptions) -> Iterator[Event]:
        asked = messages[-1]
        for item in asked.media:
            media.probe(item.path)
        words = asked.text.split()
        pause = self.pause if "slow" in words else 0.0
        parts: list[Text | Media] = []
        making = [modality for modality in ASKED_BY if self._wants(modality, words, options)]

        def say(text: str) -> Iterator[Event]:
            for count, word in enumerate(text.split(" "), start=1):
                time.sleep(pause)
                if not making:
                    self._hold(words, count)
                yield TextDelta(word + " ")
            parts.append(Text(text + " "))

        if "crash" in words:
            yield from say("Here it")
            raise RuntimeError("scripted crash")
        if "memory" in words:
            raise MemoryError("scripted out of memory")
        turn = sum(message.role == "user" for message in messages)
        files = "".join(f" I got {'an' if m.modality != 'video' else 'a'} {m.modality}." for m in asked.media)
        yield from say(f"Answer {turn} to: {asked.text}.{files}")
        for index, modality in enumerate(making):
            caption = f"A {ASKED_BY[modality]} of {asked.text}"
            made = yield from self._make(index, modality, caption, words, options)
            parts += made
        yield TurnDone(Message("assistant", tuple(parts)), Timings(0.1, 10, 10, 5, 50.0))

    def remake(self, messages: Sequence[Message], index: int, options: ChatOptions) -> Iterator[Event]:
        with self._lock:
            self.seen.append((list(messages), options))
        medium = messages[-1].media[index]
        words = [word for word in messages[-2].text.split() if word not in self.forget]
        if "crash-again" in words:
            raise RuntimeError("scripted crash")
        yield from self._make(index, medium.modality, medium.caption, words, options)

    def received(self, item: Media) -> tuple[np.ndarray, int]:
        if item.modality == "audio":
            return media.read_audio(item.path, 16_000), 16_000
        frames = media.read_video(item.path, 8)[0] if item.modality == "video" else [media.read_image(item.path)]
        small = [Image.fromarray(np.asarray(frame)).resize((20, 20)) for frame in frames]
        return np.stack([np.asarray(frame) for frame in small]), 0

    def _make(
        self, index: int, modality: Modality, caption: str, words: list[str], options: ChatOptions
    ) -> Iterator[Event]:
        settings = {**_SETTINGS[modality], **options.decoding.get(modality, {})}
        steps = int(settings["steps"])
        yield MediaStarted(index, modality, caption, steps)
        for step in range(1, steps + 1):
            time.sleep(self.pause if "slow" in words else 0.005)
            yield MediaProgress(index, step, steps)
            self._hold(words, step)
        if "fail" in words:
            yield MediaFailed(
                index, modality, Sentence("The {kind} could not be made. The log says why.", kind=modality)
            )
            return []
        seed = (options.seed if options.seed is not None else next(self._seeds)) + index
        item = Media(modality, make(modality, options.out_dir, settings, seed), caption)
        yield MediaReady(index, item, Provenance("scripted", modality, caption, seed, settings, steps * STEP_SECONDS))
        return [item]

    def _wants(self, modality: Modality, words: list[str], options: ChatOptions) -> bool:
        wanted = options.wanted.get(modality, "auto")
        return wanted == "always" or (wanted == "auto" and ASKED_BY[modality] in words)

    def _hold(self, words: list[str], count: int) -> None:
        if "hold" in words and count == 3:
            self.go.wait(60)


def make(modality: Modality, folder: Path, settings: dict[str, float], seed: int = 7) -> Path:
    """Writes a real file: coloured noise, a moving bar, a tone."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{modality}-{uuid.uuid4().hex}"
    random = np.random.default_rng(seed)
    if modality == "audio":
        times = np.arange(int(16_000 * settings["seconds"])) / 16_000
        path = path.with_suffix(".wav")
        media.write_audio(0.3 * np.sin(2 * np.pi * (330 + 10 * seed) * times).astype(np.float32), 16_000, path, {})
        return path
    height, width = int(settings["height"]), int(settings["width"])
    picture = np.full((height, width, 3), random.integers(60, 230, 3), np.uint8)
    picture[height // 4 : -height // 4, width // 4 : -width // 4] = random.integers(0, 255, 3)
    if modality == "image":
        path = path.with_suffix(".png")
        media.write_image(picture, path, {})
        return path
    clip = np.stack([np.roll(picture, 4 * i, axis=1) for i in range(int(settings["frames"]))])
    path = path.with_suffix(".mp4")
    media.write_video(clip, path, 8, {})
    return path
