"""What people say after something was made: change it, do it again, carry it over, or just a word about it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from nextgpt_core.conversation import MODALITIES, Message
from nextgpt_core.pocket.captions import COLOURS, MOTIONS, PLACES
from nextgpt_core.pocket.dialogues import answers
from nextgpt_core.pocket.dialogues.requests import NOUNS, RequestWriter, Wish
from nextgpt_core.pocket.dialogues.subjects import Subjects, moved, recoloured
from nextgpt_core.pocket.dialogues.wordings import Wordings, pairs


class LaterTurns:
    """`wishes` are always what was made last."""

    def __init__(self, rng: Random, wordings: Wordings, ask: RequestWriter, subjects: Subjects) -> None:
        self._rng = rng
        self._wordings = wordings
        self._ask = ask
        self._subjects = subjects

    def next(self, wishes: Sequence[Wish]) -> tuple[str, list[Wish], Message | None]:
        """(what the user says, what the talk is about now, the reply unless media are made)."""
        rng, ask = self._rng, self._ask
        modality, caption = wishes[-1]
        others = [other for other in MODALITIES if other not in dict(wishes)] or MODALITIES
        kind = rng.random()
        if kind < 0.12:
            words, reply = self.remark(wishes)
            return words, list(wishes), reply
        if kind < 0.24 and len(wishes) == 1:
            return ask.finish(ask.choose(f"{modality}.again")), [(modality, caption)], None
        if kind < 0.5:
            after = rng.choice(others)
            return ask.of_it([after], "next"), [(after, caption)], None
        if kind < 0.6:
            after = rng.sample(MODALITIES, 2)
            words = ask.finish(ask.choose("+".join(after) + ".next")) if rng.random() < 0.4 else ask.of_it(after)
            return words, [(m, caption) for m in after], None
        if kind < 0.68:
            after = self._subjects.modality()
            fresh = self._subjects.simple(after)
            return ask.one(after, fresh), [(after, fresh)], None
        if modality == "audio":
            after = rng.choice(others)
            return ask.of_it([after], "next"), [(after, caption)], None
        if kind < 0.76 and len(wishes) == 2:
            number = rng.choice((0, 1))
            modality, caption = wishes[number]
            if modality != "audio":
                colour = rng.choice(COLOURS)
                said = ask.choose(("first", "second")[number], k=colour)
                return ask.finish(said), [(modality, recoloured(caption, colour))], None
        if kind < 0.8 and modality == "image":
            motion = rng.choice(MOTIONS)
            return ask.finish(f"now make a video of it {motion}"), [("video", f"{caption} {motion}")], None
        if kind < 0.9:
            colour = rng.choice(COLOURS)
            return ask.finish(ask.choose("recolour", k=colour)), [(modality, recoloured(caption, colour))], None
        place = rng.choice(PLACES)
        return ask.finish(ask.choose("move", k=place)), [(modality, moved(caption, place))], None

    def remark(self, wishes: Sequence[Wish]) -> tuple[str, Message]:
        """What people say of something that was made, and an answer that makes nothing."""
        rng, ask = self._rng, self._ask
        modality, caption = wishes[-1]
        noun, kind = NOUNS[modality][0], rng.random()
        if kind < 0.4:
            return ask.written(ask.choose("thanks", x=noun)), answers.said(ask.choose("thanks.reply"))
        if kind < 0.6:
            reply = ask.choose("asked.reply", n=answers.PLAIN[modality], c=caption)
            return ask.written(ask.choose("asked")), answers.said(reply)
        use = rng.choice(("critique", "enough", "enough", f"{'heard' if modality == 'audio' else 'seen'}.enough"))
        words, answer = rng.choice(pairs(self._wordings, use))
        return ask.written(words.format(x=noun)), answers.said(answer.format(x=noun))
