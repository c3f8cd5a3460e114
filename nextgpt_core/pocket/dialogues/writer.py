"""Conversations that switch modality, written by a grammar over the pocket world.

Requests come from `requests`, in every combination of shown and wanted media, or as they are from `people`; the reply
repeats what is asked for and lets one signal run follow each promise, with further words only where words were asked
for. Some turns refer back ("now make it move"), some show files, some want nothing made. What the untouched model
answers is `replay`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from random import Random

from nextgpt_core.conversation import MODALITIES, Media, Message, Modality, Text
from nextgpt_core.pocket.captions import CaptionSampler, article
from nextgpt_core.pocket.dialogues import answers
from nextgpt_core.pocket.dialogues.later import LaterTurns
from nextgpt_core.pocket.dialogues.people import IT, load_people
from nextgpt_core.pocket.dialogues.requests import RequestWriter, Wish
from nextgpt_core.pocket.dialogues.subjects import Subjects
from nextgpt_core.pocket.dialogues.wordings import load_facts, load_wordings, pairs

Shown = Mapping[Modality, Sequence[tuple[Path, str]]]  # files, and what each shows
_WORDS = "text"
_WANTED = tuple(some for size in range(1, 5) for some in combinations((*MODALITIES, _WORDS), size) for _ in range(size))
_BY_THE_SEA = ("beach volleyball", "beach volleyball on a sunny day", "beach volleyball at sunset", "surfing")
_OUTINGS = {
    "at the seaside": _BY_THE_SEA,
    "by the sea": _BY_THE_SEA,
    "at the beach": _BY_THE_SEA,
    "in the mountains": ("skiing in the mountains", "a tent on a mountain", "a cable car", "a waterfall"),
    "at the weekend": ("a picnic in a meadow", "a bicycle in the forest", "a museum", "a hot air balloon"),
    "with the children": ("a sandcastle", "a kite in the sky", "a snowman in the snow", "an ice cream in the garden"),
    "in the city": ("a concert at night", "a street musician in the city", "a library", "a market"),
    "outdoors": ("a campfire at night", "a kayak on a lake", "a football match", "a bicycle on a green hill"),
}  # fmt: skip
_ASKS_WHAT_IT_IS = re.compile(
    r"\b(what('s| is| exactly is| on earth is)|what (it|an? [\w -]+) is|defin|expla|meant by)", re.I
)
_WHEN = ("", "", " this summer", " this winter", " tomorrow", " next week", " on Sunday")


class DialogueWriter:
    """Writes conversations about what `captions` draws; `shown` holds files to ask about."""

    def __init__(self, rng: Random, captions: CaptionSampler, shown: Shown | None = None) -> None:
        self._rng = rng
        self._captions = captions
        self._shown = {modality: files for modality, files in (shown or {}).items() if files}
        self._facts = load_facts()
        self._wordings = load_wordings()
        self._ask = RequestWriter(rng, self._wordings)
        self._subjects = Subjects(rng, captions)
        self._later = LaterTurns(rng, self._wordings, self._ask, self._subjects)

    def kinds(self) -> dict[str, Callable[[], list[Message]]]:
        """By name, each a way to write one conversation; what needs files is there if they are."""
        kinds = {
            "captions": self.caption_only,
            "single": self.single,
            "several": self.several,
            "pairs": self.pairs,
            "follow_up": self.follow_up,
            "talk": self.talk,
            "words": self.with_words,
            "people": self.people,
        }
        if self._shown:
            kinds |= {"files": self.about_files, "announced": self.announced}
        return kinds

    def caption_only(self) -> list[Message]:
        """The shortest way from a caption to a run, without a request: most of what the alignment learns from."""
        modality = self._subjects.modality()
        return [answers.made(None, [(modality, self._captions(modality))])]

    def single(self) -> list[Message]:
        """One request for one medium."""
        if self._rng.random() < 0.04:
            return self._suggestion()
        modality = self._subjects.modality()
        caption = self._subjects.caption(modality)
        return [_user(self._ask.one(modality, caption)), answers.made(self._rng, [(modality, caption)])]

    def several(self) -> list[Message]:
        """One request for two or three media: of one thing, two of one and a third of another, or each of its own."""
        return self._turn(self._several())

    def pairs(self) -> list[Message]:
        """One request for a picture of two things: what is easily lost between a caption and its run."""
        return self._turn([("image", self._subjects.pair())])

    def with_words(self) -> list[Message]:
        """Media of a thing, and some words about it."""
        rng, thing = self._rng, self._rng.choice(list(self._facts))
        modalities = rng.sample(MODALITIES, rng.choice((1, 1, 2, 2, 3)))
        request, words_first = self._ask.with_words(modalities, thing)
        known = self._facts[thing]
        words = known.definition if _ASKS_WHAT_IT_IS.search(request) else known.fact
        return [_user(request), answers.made(rng, [(m, thing) for m in modalities], words, words_first)]

    def people(self) -> list[Message]:
        """A request in people's own words, with files where it speaks of some."""
        said = self._rng.choice([one for one in load_people() if self._shown.keys() >= set(one.shown)])
        files = [(modality, *self._file(modality, len(said.shown))) for modality in said.shown]
        subject = " and ".join(caption for _, _, caption in files)
        wishes = [(modality, subject if caption == IT else caption) for modality, caption in said.wishes]
        words = answers.named(self._rng, [(m, caption) for m, _, caption in files]) if files else said.words
        request = Message("user", (*(Media(m, path) for m, path, _ in files), Text(said.prompt)))
        return [request, answers.made(self._rng, wishes, words if said.told else "", said.words_first)]

    def follow_up(self) -> list[Message]:
        """Something made or told of, then turns that change it, repeat it, carry it over, or only talk."""
        rng = self._rng
        if rng.random() < 0.15:
            thing, modality = rng.choice(list(self._facts)), self._subjects.modality()
            wishes = [(modality, thing)]
            asked = _user(self._ask.of_it([modality], "next"))
            messages = [*self._told(thing), asked, answers.made(rng, wishes)]
        else:
            wishes = self._some(0.25)
            messages = [*(self._chat() if rng.random() < 0.15 else []), *self._turn(wishes)]
        for _ in range(rng.choice((1, 1, 2, 3))):
            words, wishes, reply = self._later.next(wishes)
            messages += [_user(words), reply or answers.made(self._rng, wishes)]
        return messages

    def about_files(self) -> list[Message]:
        """Somebody shows one to three files, with or without words; sometimes turns stand before or after."""
        rng, files, subject = self._rng, *self._files()
        parts = [Media(modality, path) for modality, path, _ in files]
        named = answers.named(rng, [(modality, caption) for modality, _, caption in files])
        modalities, words = self._wanted()
        if not modalities or rng.random() < 0.2:
            use = f"{files[0][0]}.shown" if len(files) == 1 else "all.shown"
            asked = [Text(self._ask.finish(self._ask.choose(use)))] if rng.random() < 0.85 else []
            messages = [Message("user", (*parts, *asked)), answers.said(named)]
            if not modalities or rng.random() < 0.4:
                return messages
            after = [
                _user(self._ask.of_it(modalities)),
                answers.made(self._rng, [(m, subject) for m in modalities]),
            ]
            return messages + after
        asked, first = self._ask.of_files(modalities, words)
        reply = answers.made(self._rng, [(m, subject) for m in modalities], named if words else "", first)
        before = self._suggestion() if rng.random() < 0.04 else []
        return [*before, Message("user", (*parts, Text(asked))), reply]

    def announced(self) -> list[Message]:
        """First what to do with a file, then the file, without a word."""
        rng, files, subject = self._rng, *self._files()
        modalities, words = self._wanted()
        asked, first = self._ask.clauses(modalities, words)
        request = self._ask.choose("announce", r=asked)
        named = answers.named(rng, [(modality, caption) for modality, _, caption in files])
        reply = answers.made(rng, [(m, subject) for m in modalities], named if words else "", first)
        return [
            _user(self._ask.finish(request)),
            answers.said(self._ask.choose("announce.reply")),
            Message("user", tuple(Media(modality, path) for modality, path, _ in files)),
            reply,
        ]

    def talk(self) -> list[Message]:
        """No medium is wanted: what the model can do, what something is, a remark, a text, or a word after a medium."""
        rng, kind = self._rng, self._rng.random()
        if kind < 0.4:
            words, answer = rng.choice(pairs(self._wordings, rng.choice(("able", "able", "hello", "cannot"))))
            return [_user(self._ask.written(words)), answers.said(answer)]
        if kind < 0.55:
            return self._told(rng.choice(list(self._facts)))
        if kind < 0.62:
            return self._written()
        if kind < 0.78:
            return self._chat()
        wishes = self._some(0.2)
        messages = self._turn(wishes)
        for _ in range(rng.choice((1, 1, 2))):
            words, reply = self._later.remark(wishes)
            messages += [_user(words), reply]
        return messages

    def _wanted(self) -> tuple[list[Modality], bool]:
        """Media in any order, and whether words are wanted of a file; of the four, many oftener than few."""
        wanted = self._rng.choice(_WANTED)
        return self._rng.sample([m for m in MODALITIES if m in wanted], len(set(wanted) - {_WORDS})), _WORDS in wanted

    def _turn(self, wishes: Sequence[Wish]) -> list[Message]:
        if len(wishes) == 1:
            words = self._ask.one(*wishes[0])
        elif len({caption for _, caption in wishes}) == 1:
            words = self._ask.of_one_thing([m for m, _ in wishes], wishes[0][1])
        else:
            words = self._ask.of_each(wishes)
        return [_user(words), answers.made(self._rng, wishes)]

    def _some(self, several: float) -> list[Wish]:
        """One wish, of something that can be changed later, or with the chance `several` more."""
        if self._rng.random() < several:
            return self._several()
        modality = self._subjects.modality()
        return [(modality, self._subjects.simple(modality))]

    def _several(self) -> list[Wish]:
        rng = self._rng
        modalities = rng.sample(MODALITIES, rng.choice((2, 2, 3)))
        if rng.random() < 0.6:
            subject = self._subjects.for_all_senses()
            return [(m, subject) for m in modalities]
        if len(modalities) == 3 and rng.random() < 0.5:  # two of one thing, the third of another
            subject = self._subjects.for_all_senses()
            return [*((m, subject) for m in modalities[:2]), (modalities[2], self._subjects.caption(modalities[2]))]
        if rng.random() < 0.12:
            modalities = [modalities[0]] * 2
        return [(m, self._subjects.caption(m)) for m in modalities]

    def _told(self, thing: str) -> list[Message]:
        """A question about a thing that wants words only."""
        known = self._facts[thing]
        use, answer = self._rng.choice((("defined", known.definition), ("told", known.fact)))
        return [_user(self._ask.finish(self._ask.choose(use, t=thing))), answers.said(answer)]

    def _written(self) -> list[Message]:
        """A song, a tale or a letter about a thing."""
        thing = self._rng.choice([thing for thing in self._facts if thing.startswith(("a ", "an "))])
        slots = {"t": thing, "n": thing.partition(" ")[2]}
        words, answer = (text.format(**slots) for text in self._rng.choice(pairs(self._wordings, "write")))
        return [_user(self._ask.written(words)), answers.said(answer)]

    def _chat(self) -> list[Message]:
        """A remark or a question in which a medium may be mentioned, but none is asked for."""
        thing = article(self._subjects.noun())
        if self._rng.random() < 0.5:
            words, answer = self._ask.choose("remark", t=thing), self._ask.choose("remark.reply")
        else:
            words, answer = (text.format(t=thing) for text in self._rng.choice(pairs(self._wordings, "question")))
        return [_user(self._ask.written(words)), answers.said(answer)]

    def _suggestion(self) -> list[Message]:
        rng, where = self._rng, self._rng.choice(list(_OUTINGS))
        caption = rng.choice(_OUTINGS[where])
        words = self._ask.choose("suggest", k=where + rng.choice(_WHEN))
        reply = Message(
            "assistant", (Text(self._ask.choose("suggest.reply", c=caption)), Media("image", Path(), caption))
        )
        return [_user(self._ask.written(words)), reply]

    def _files(self) -> tuple[list[tuple[Modality, Path, str]], str]:
        """One to three files of different modalities, mostly one; and what they show, in one phrase."""
        rng = self._rng
        count = min(rng.choice((1, 1, 1, 2, 2, 3)), len(self._shown))
        files = [(modality, *self._file(modality, count)) for modality in rng.sample(sorted(self._shown), count)]
        return files, " and ".join(caption for _, _, caption in files)

    def _file(self, modality: Modality, beside: int) -> tuple[Path, str]:
        """Of several files each shows something simple: a reply names them all, and again in each promise."""
        return min((self._rng.choice(self._shown[modality]) for _ in range(beside)), key=lambda file: len(file[1]))


def _user(text: str) -> Message:
    return Message("user", (Text(text),))
