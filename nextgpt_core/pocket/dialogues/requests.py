"""Requests in words: one medium or several, of a thing that is named, or of "it" that was shown or made before.

What is asked for comes from outside; this finds words, politeness, haste and slips. The same code asks in training and
in the routing matrix, there with wordings and names that training never saw.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from nextgpt_core.conversation import Modality
from nextgpt_core.pocket.captions import article
from nextgpt_core.pocket.dialogues.wordings import Wordings

Wish = tuple[Modality, str]  # a medium and its caption
NOUNS: dict[Modality, tuple[str, ...]] = {
    "image": ("picture", "image", "drawing", "photo", "illustration", "painting", "pic", "sketch"),
    "video": ("video", "clip", "animation", "movie", "short film", "video clip", "gif"),
    "audio": ("sound", "audio clip", "recording", "sound effect", "audio", "noise"),
}
_OPENINGS = ("", "", "", "", "please ", "can you ", "could you ", "could you please ", "I want you to ", "would you ",
             "hey, ", "hi! ", "I'd like you to ", "now ", "ok, ", "let's see, ", "go ahead and ", "will you ", "pls ",
             "can u ", "would you mind to ", "I need you to ", "do me a favour and ", "you could ", "so, ")  # fmt: skip
_CLOSINGS = ("", "", "", "", ".", ".", "!", " please", ", please.", " for me", " for me, please", " thanks", "?", " :)")
_BARE_CLOSINGS = ("", "", ".", "!")  # where politeness stands already
_POLITE = re.compile(r"\b(please|pls|plz|thx|thanks|for me)$")
_SLIPS = {"please": "plz", "you": "u", "picture": "pictrue", "image": "imgae", "video": "vidoe", "sound": "soudn",
          "want": "wnat", "make": "mkae", "draw": "darw", "show": "shwo", "recording": "recroding", "would": "woud",
          "animate": "aniamte", "animation": "animaton", "listen": "listn", "hear": "haer", "give": "giv"}  # fmt: skip


class RequestWriter:
    def __init__(self, rng: Random, wordings: Wordings) -> None:
        self._rng = rng
        self._wordings = wordings

    def one(self, modality: Modality, caption: str) -> str:
        """One medium of what the caption says."""
        rng = self._rng
        if rng.random() < 0.12:  # people leave articles out; the reply puts them back
            caption = caption.removeprefix("a ").removeprefix("an ")
        if rng.random() < 0.4:
            return self.finish(self.choose(f"{modality}.say", c=caption, n=self._noun(modality)))
        return self.finish(self._do(modality, caption), opening=True)

    def of_one_thing(self, modalities: Sequence[Modality], caption: str) -> str:
        """Several media of the same thing, in the order given."""
        rng, kind = self._rng, self._rng.random()
        combination = f"{'+'.join(modalities)}.say"
        if kind < 0.2 and combination in self._wordings:
            return self.finish(self.choose(combination, c=caption))
        if kind < 0.6:
            nouns = _listed([self._named(m) for m in modalities], rng)
            use = rng.choice(("nouns.do", "nouns.say"))
            return self.finish(self.choose(use, c=caption, N=nouns), opening=use == "nouns.do")
        clauses = [self._do(modalities[0], caption), *(self.choose(f"{m}.it") for m in modalities[1:])]
        return self.finish(self._join(clauses), opening=True)

    def of_each(self, wishes: Sequence[Wish]) -> str:
        """Several media, each of its own thing or of the one before ("animate it"), in the order given."""
        if self._rng.random() < 0.4:
            nouns = [f"{article(self._noun(m))} of {c}" for m, c in wishes]
            return self.finish(self.choose("several.lead", l=_listed(nouns, self._rng)))
        named = [None, *(caption for _, caption in wishes)]
        clauses = [
            self.choose(f"{m}.it") if c == before and self._rng.random() < 0.8 else self._do(m, c)
            for (m, c), before in zip(wishes, named, strict=False)
        ]
        return self.finish(self._join(clauses), opening=True)

    def with_words(self, modalities: Sequence[Modality], thing: str) -> tuple[str, bool]:
        """Media of a thing, and some words about it; and whether the words are asked for first."""
        if self._rng.random() < 0.4:
            request = self._join([self.choose(f"{m}.it") for m in modalities])
            return self.finish(self.choose("words.head", t=thing, r=request)), True
        asked = self.one(modalities[0], thing) if len(modalities) == 1 else self.of_one_thing(modalities, thing)
        tail = self.choose("words.tail")
        return re.sub(r"[.!?:) ]*$", "", asked) + (tail if tail[0] in ".," else f" {tail}"), False

    def of_it(self, modalities: Sequence[Modality], kind: str = "like") -> str:
        """Media of what was shown (`kind` like) or made before (next)."""
        if len(modalities) == 1:
            return self.finish(self.choose(f"{modalities[0]}.{kind}"))
        return self.finish(self.clauses(modalities, words=False)[0])

    def of_files(self, modalities: Sequence[Modality], words: bool) -> tuple[str, bool]:
        """Media of what is shown, with `words` also what it is; and whether the words are asked for first."""
        if not words:
            return self.of_it(modalities), False
        asked, first = self.clauses(modalities, words)
        return self.finish(asked), first

    def clauses(self, modalities: Sequence[Modality], words: bool) -> tuple[str, bool]:
        """ "animate it and say what it is", bare, for another sentence; and whether words are asked for first."""
        clauses = [self.choose(f"{m}.it") for m in modalities]
        first = False
        if words:
            first = self._rng.choice((0, len(clauses))) == 0
            clauses.insert(0 if first else len(clauses), self.choose("describe.it"))
        return (self._join(clauses) if len(clauses) < 4 else ", ".join(clauses)), first

    def choose(self, use: str, **slots: str) -> str:
        return self._rng.choice(self._wordings[use]).format(**slots)

    def finish(self, words: str, opening: bool = False) -> str:
        """A request with politeness, case and slips, as people write."""
        if opening:
            words = self._rng.choice(_OPENINGS) + words
        if not words.endswith(("?", ".", "!")):
            words += self._rng.choice(_BARE_CLOSINGS if _POLITE.search(words) else _CLOSINGS)
        words = self.written(words)
        return f"{self.choose('preamble')} {words}" if self._rng.random() < 0.06 else words

    def written(self, words: str) -> str:
        """Case and slips alone."""
        rng = self._rng
        words = re.sub(r"\ba (?=[aeio])", "an ", words)
        if rng.random() < 0.06:
            words = " ".join(_SLIPS.get(word, word) for word in words.split(" "))
        style = rng.random()
        return words if style < 0.3 else words.lower() if style < 0.4 else words[:1].upper() + words[1:]

    def _join(self, clauses: Sequence[str]) -> str:
        if len(clauses) == 1:
            return clauses[0]
        slots = {slot: clause.rstrip("?.") for slot, clause in zip("abd", clauses, strict=False)}
        return self.choose("join" if len(clauses) == 2 else "join3", **slots)

    def _do(self, modality: Modality, caption: str) -> str:
        return self.choose(f"{modality}.do", c=caption, n=self._noun(modality))

    def _noun(self, modality: Modality) -> str:
        return self._rng.choice(NOUNS[modality])

    def _named(self, modality: Modality) -> str:
        noun = self._noun(modality)
        return f"the {noun}" if modality == "audio" and self._rng.random() < 0.4 else article(noun)


def _listed(words: Sequence[str], rng: Random) -> str:
    """ "a picture, a clip and a sound", with the joints and articles that people use."""
    if rng.random() < 0.12:
        words = [re.sub(r"^(an?|the) ", "", word) for word in words]
    joint = rng.choice((" and ", " and ", " and ", ", and ", " plus ", " as well as ", " + ", " & ", " and also "))
    listed = f"{', '.join(words[:-1])}{joint}{words[-1]}"
    return f"both {listed}" if len(words) == 2 and joint == " and " and rng.random() < 0.2 else listed
