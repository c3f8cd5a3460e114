"""Held-out prompts for each of 15 inputs and 15 outputs: every non-empty set of text, image, video and audio.

Prompts are worded with what training never saw: held-out wordings wherever a use has some, and names of things and
sounds that no training request holds (`pocket.dialogues.wordings`). An input without text is a file alone, announced
in an earlier turn. "Text" as an output means words that were asked for, beside the captions that go with media.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random

from nextgpt_core.conversation import MODALITIES, Media, Message, Modality, Text
from nextgpt_core.pocket.captions import SOUNDS, article
from nextgpt_core.pocket.dialogues.requests import RequestWriter
from nextgpt_core.pocket.dialogues.wordings import held_out_names, load_wordings

KINDS = ("text", *MODALITIES)
SETS = tuple(frozenset(some) for size in range(1, 5) for some in combinations(KINDS, size))
_EXAMPLES: dict[Modality, str] = {"image": "sailing-boat.jpg", "video": "bouncing-ball.mp4", "audio": "bells.wav"}
_EACH, _EACH_OF_TEXT = 6, 16  # prompts a cell: typed requests are what people mostly send


@dataclass(frozen=True)
class Prompt:
    """`wanted` holds "text" where words are asked for beside captions."""

    messages: tuple[Message, ...]
    shown: frozenset[str]
    wanted: frozenset[str]


def name(kinds: frozenset[str]) -> str:
    return "+".join(kind for kind in KINDS if kind in kinds)


def example(modality: Modality) -> Media:
    """A file of our own to show; which one does not matter for what is to be made."""
    return Media(modality, Path(__file__).parents[2] / "assets" / "examples" / _EXAMPLES[modality])


def matrix_prompts(seed: int = 0) -> list[Prompt]:
    """1,500: 16 for each output of a typed request, 6 for every other cell."""
    writer = _Writer(Random(seed))
    return [
        Prompt(writer.messages(shown, wanted), shown, wanted)
        for shown in SETS
        for wanted in SETS
        for _ in range(_EACH_OF_TEXT if shown == {"text"} else _EACH)
    ]


class _Writer:
    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._ask = RequestWriter(rng, load_wordings(held_out=True))
        names = sorted(held_out_names())
        self._sounds = [sound for sound in names if sound in SOUNDS]
        self._things = [article(thing) for thing in names if thing not in SOUNDS]

    def messages(self, shown: frozenset[str], wanted: frozenset[str]) -> tuple[Message, ...]:
        media = self._rng.sample(MODALITIES, 3)
        files = tuple(example(m) for m in media if m in shown)
        made, words = [m for m in media if m in wanted], "text" in wanted
        if not files:
            return (_user(self._named(made, words)),)
        if "text" in shown:
            return (Message("user", (*files, Text(self._of_files(files, made, words)))),)
        announced = self._ask.finish(self._ask.choose("announce", r=self._ask.clauses(made, words)[0]))
        return (
            _user(announced),
            Message("assistant", (Text(self._ask.choose("announce.reply")),)),
            Message("user", files),
        )

    def _named(self, made: Sequence[Modality], words: bool) -> str:
        rng, ask, thing = self._rng, self._ask, self._rng.choice(self._things)
        if not made:
            return ask.written(ask.choose(rng.choice(("remark", "question")), t=thing))
        if words:
            return ask.with_words(made, thing)[0]
        if len(made) == 1:
            return ask.one(made[0], rng.choice(self._sounds) if made[0] == "audio" else thing)
        if rng.random() < 0.5:
            return ask.of_one_thing(made, thing)
        return ask.of_each([(m, rng.choice(self._sounds if m == "audio" else self._things)) for m in made])

    def _of_files(self, files: Sequence[Media], made: Sequence[Modality], words: bool) -> str:
        if made:
            return self._ask.of_files(made, words)[0]
        return self._ask.finish(self._ask.choose("all.shown" if len(files) > 1 else f"{files[0].modality}.shown"))


def _user(text: str) -> Message:
    return Message("user", (Text(text),))
