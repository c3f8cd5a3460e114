"""What the assistant says in training: promises, each with its run, names of what was shown, and words beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from nextgpt_core.conversation import Media, Message, Modality, Text
from nextgpt_core.pocket.dialogues.requests import Wish

PLAIN: dict[Modality, str] = {"image": "a picture", "video": "a video", "audio": "a sound"}
_COUNTED = {1: "a {}", 2: "two {}s"}
_PROMISE: dict[Modality, str] = {
    "image": "Here is a picture of {c}.",
    "video": "Here is a video of {c}.",
    "audio": "Here is the sound of {c}.",
}
_OPENINGS = ("", "Sure! ", "Of course. ")
_NAMED: dict[Modality, tuple[str, ...]] = {
    "image": ("This is a picture of {c}.", "This picture shows {c}.", "I see {c} in the picture."),
    "video": ("This is a video of {c}.", "This video shows {c}.", "I see {c} in the clip."),
    "audio": ("This is the sound of {c}.", "I can hear {c}.", "This sounds like {c}."),
}


def made(rng: Random | None, wishes: Sequence[Wish], words: str = "", first: bool = False) -> Message:
    """A promise and a run for each wish, and `words` before or after them; without `rng` in the plainest way.

    What consists of several begins with a list of it. A small model loses the third wish over the captions of the
    first two; it misses fewer when it names them right after the request, and then keeps to its own list.
    """
    text = rng.choice(_OPENINGS) if rng and wishes else ""
    text += _listed([modality for modality, _ in wishes], bool(words), first)
    if words and first and wishes:
        text += f"{words} "
    parts: list[Text | Media] = []
    for modality, caption in wishes:
        promise = _PROMISE[modality].format(c=caption)
        text += f" And {promise[0].lower()}{promise[1:]}" if parts else promise
        parts += [Text(text), Media(modality, Path(), caption)]
        text = ""
    if words and not (first and wishes):
        parts.append(Text(f" {words}" if wishes else words))
    return Message("assistant", tuple(parts))


def _listed(modalities: Sequence[Modality], words: bool, first: bool) -> str:
    """ "A picture, two sounds, some words: ", if it is more than one thing.

    Without "and", which would have to foresee that just one more comes.
    """
    if len(modalities) + words < 2:
        return ""
    listed = [
        _COUNTED[modalities.count(modality)].format(PLAIN[modality][2:]) for modality in dict.fromkeys(modalities)
    ]
    if words:
        listed.insert(0 if first else len(listed), "some words")
    text = ", ".join(listed)
    return f"{text[0].upper()}{text[1:]}: "


def named(rng: Random, shown: Sequence[Wish]) -> str:
    """A sentence for each file: what it shows."""
    return " ".join(rng.choice(_NAMED[modality]).format(c=caption) for modality, caption in shown)


def said(text: str) -> Message:
    return Message("assistant", (Text(text),))
