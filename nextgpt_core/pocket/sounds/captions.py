"""Captions of sounds, made of what was played: the thing, how fast, how loud, how far, and what else is heard."""

from __future__ import annotations

from nextgpt_core.pocket.sounds.instruments import Piece
from nextgpt_core.pocket.sounds.kinds import Kind
from nextgpt_core.pocket.sounds.waves import Rng

MANNERS = {"distant": "in the distance", "near": "nearby", "quiet": "quietly", "loud": "very loudly"}
TOGETHER = ("and", "with")
IN_TURN = (", then", "and then", "followed by")


def plain(kind: Kind, rng: Rng) -> str:
    """A phrase for the kind: its plainest one half of the time."""
    return kind.phrases[0] if rng.random() < 0.5 else str(rng.choice(kind.phrases))


def piece(kind: Kind, played: Piece, rng: Rng) -> str:
    """A caption for a piece of music, which may leave out what goes without saying."""
    if rng.random() < 0.25:
        return plain(kind, rng)
    phrase = plain(kind, rng)
    noun = _noun(phrase)
    if played.shape == "beat":
        return _pick(rng, f"{_article(played.tempo)}{noun} rhythm", f"{phrase} playing{_adverb(played.tempo)}")
    if played.shape == "note":
        return _pick(rng, f"a long {noun} note", f"a single {played.register} {noun} note".replace("  ", " "))
    if played.shape == "chords":
        return _pick(rng, f"{played.tempo} {noun} chords".strip(), f"{phrase} playing chords{_adverb(played.tempo)}")
    register = f" {played.register}" if played.register and rng.random() < 0.7 else ""
    words = _article(played.tempo) if played.tempo else ("a " if register else _article(noun, only=True))
    if played.tempo:
        return _pick(
            rng,
            f"{words}{register.lstrip()}{' ' if register else ''}{noun} melody",
            f"{phrase} playing a{register} melody{_adverb(played.tempo)}",
        )
    return _pick(rng, f"{words}{register.lstrip()}{' ' if register else ''}{noun} melody", f"{phrase} playing music")


def tempo_caption(kind: Kind, tempo: str) -> str:
    """What the judge asks for: "a slow piano melody", "a fast snare drum rhythm"."""
    return f"a {tempo} {_noun(kind.phrases[0])} {'rhythm' if kind.source == 'drum' else 'melody'}"


def register_caption(kind: Kind, register: str) -> str:
    """Likewise: "a low cello melody"."""
    return f"a {register} {_noun(kind.phrases[0])} melody"


def with_manner(caption: str, manner: str) -> str:
    return f"{caption} {MANNERS[manner]}"


def both(first: str, second: str, in_turn: bool, rng: Rng) -> str:
    link = str(rng.choice(IN_TURN if in_turn else TOGETHER))
    return f"{first}{'' if link[0] == ',' else ' '}{link} {second}"


def _noun(phrase: str) -> str:
    return phrase.removeprefix("an ").removeprefix("a ")


def _adverb(tempo: str) -> str:
    return {"slow": " slowly", "fast": " fast", "": ""}[tempo]


def _article(word: str, only: bool = False) -> str:
    """ "a slow ", "an organ "'s "an ", or "a " where there is no word."""
    if not word:
        return "a "
    article = "an " if word[0] in "aeiou" else "a "
    return article if only else f"{article}{word} "


def _pick(rng: Rng, *choices: str) -> str:
    return str(rng.choice(choices))
