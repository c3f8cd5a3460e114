"""What conversations are about: captions that name nothing held out, and the same in another colour or place."""

from __future__ import annotations

from random import Random

from nextgpt_core.conversation import MODALITIES, Modality
from nextgpt_core.pocket.captions import COLOURS, PLACES, SOUNDS, CaptionSampler, article
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.dialogues.wordings import mentions_held_out

_SOUNDING = ("animal-", "musical-instrument", "transport-")


class Subjects:
    """Draws what a request is about, from what `captions` draws."""

    def __init__(self, rng: Random, captions: CaptionSampler) -> None:
        self._rng = rng
        self._captions = captions
        groups = [name for c in load_catalog() if c.group.startswith(_SOUNDING) for name in (c.name, *c.synonyms)]
        self._sounding = [name for name in groups if not mentions_held_out(name) and not name.endswith("face")]

    def modality(self) -> Modality:
        return self._rng.choices(MODALITIES, (5, 3, 3))[0]

    def caption(self, modality: Modality) -> str:
        """A caption without held-out names."""
        while mentions_held_out(caption := self._captions(modality)):
            pass
        return caption

    def simple(self, modality: Modality) -> str:
        """A caption that can be given a colour or a place."""
        while (
            " of " in (caption := self.caption(modality))
            or "," in caption
            or (modality == "image" and " in 3d" in caption)
        ):
            pass
        return caption

    def noun(self) -> str:
        while mentions_held_out(noun := self._captions.noun()):
            pass
        return noun

    def for_all_senses(self) -> str:
        """What may be seen, watched and heard."""
        rng, kind = self._rng, self._rng.random()
        if kind < 0.3:
            return self.simple("image")
        if kind < 0.5:
            while mentions_held_out(sound := rng.choice(SOUNDS)):
                pass
            return sound
        noun = rng.choice(self._sounding)
        return article(f"{rng.choice(COLOURS)} {noun}" if rng.random() < 0.2 else noun)

    def pair(self) -> str:
        """Two things in one picture."""
        while mentions_held_out(caption := self._captions.pair()):
            pass
        return caption


def recoloured(caption: str, colour: str) -> str:
    """The same in another colour, or in one if it had none."""
    words = caption.split()
    old = next((i for i, word in enumerate(words) if word in COLOURS), None)
    if old is not None:
        words[old] = colour
    else:
        words.insert(1 if words[0] in ("a", "an", "the", "two", "three") else 0, colour)
    if words[0] in ("a", "an"):
        words[0] = "an" if words[1][0] in "aeiou" else "a"
    return " ".join(words)


def moved(caption: str, place: str) -> str:
    """The same at another place, or at one if it had none."""
    bare = next(
        (caption[: -len(p) - 1] for p in sorted(PLACES, key=len, reverse=True) if caption.endswith(" " + p)), caption
    )
    return f"{bare} {place}"
