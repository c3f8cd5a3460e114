"""Conversations that switch modality, written by a grammar over the pocket world.

Requests come in many wordings and in every combination of wanted media; the reply repeats what is asked for and lets
one signal run follow each promise. Some turns refer back ("now make it move"), some show a file. What people say when
they want no medium is the business of `replay`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from nextgpt_core.conversation import Media, Message, Modality, Text
from nextgpt_core.pocket.captions import COLOURS, MOTIONS, PLACES, CaptionSampler, article

NOUNS: dict[Modality, tuple[str, ...]] = {
    "image": ("picture", "image", "drawing", "photo", "illustration", "painting", "pic", "sketch"),
    "video": ("video", "clip", "animation", "movie", "short film", "video clip", "gif"),
    "audio": ("sound", "audio clip", "recording", "sound effect", "audio", "noise"),
}
_OPENINGS = ("", "", "", "", "please ", "can you ", "could you ", "could you please ", "I want you to ", "would you ",
             "hey, ", "hi! ", "I'd like you to ", "now ", "ok, ", "let's see, ", "go ahead and ", "will you ")  # fmt: skip
_CLOSINGS = ("", "", "", "", ".", ".", "!", " please", ", please.", " for me", " for me, please", " thanks", "?")
_MAKE: dict[Modality, tuple[str, ...]] = {
    "image": ("draw {c}", "draw me {c}", "paint {c}", "sketch {c}", "show me {c}", "make a {n} of {c}", "create a {n} of {c}",
              "generate a {n} of {c}", "give me a {n} of {c}", "show me a {n} of {c}", "produce a {n} showing {c}",
              "illustrate {c}", "render {c}", "make me a {n} with {c}", "let me see {c}", "design a {n} of {c}",
              "draw a {n} of {c}", "send me a {n} of {c}", "picture {c}", "get me a {n} of {c}"),
    "video": ("make a {n} of {c}", "create a {n} of {c}", "generate a {n} of {c}", "show me a {n} of {c}", "animate {c}",
              "give me a {n} of {c}", "film {c}", "produce a {n} showing {c}", "make me a {n} with {c}",
              "send me a {n} of {c}", "render a {n} of {c}", "shoot a {n} of {c}", "let me watch {c}",
              "show {c} in a {n}", "let me see a {n} of {c}"),
    "audio": ("make the sound of {c}", "play {c}", "play the sound of {c}", "let me hear {c}", "create a {n} of {c}",
              "generate a {n} of {c}", "give me a {n} of {c}", "produce the sound of {c}", "send me a {n} of {c}",
              "play me a {n} of {c}", "make a {n} of {c}", "imitate {c}", "record {c}", "let me listen to {c}",
              "make a noise like {c}", "play a {n} of {c}"),
}  # fmt: skip
_WISHES: dict[Modality, tuple[str, ...]] = {
    "image": ("I want a {n} of {c}", "I'd like to see {c}", "I need a {n} of {c}", "I would love a {n} of {c}", "{n} of {c}",
              "what does {c} look like?", "a {n} of {c}", "how about a {n} of {c}?", "do you have a {n} of {c}?",
              "I wonder what {c} looks like", "{c}, as a {n}", "may I see {c}?", "can I have a {n} of {c}?",
              "my daughter wants to see {c}", "I'm making a card and need a {n} of {c}"),
    "video": ("I want a {n} of {c}", "I'd like to watch {c}", "I need a {n} of {c}", "{n} of {c}", "a {n} of {c}",
              "I'd love to see {c} in motion", "how about a {n} of {c}?", "can I have a {n} of {c}?",
              "I want to watch a {n} of {c}", "{c}, as a {n}", "what would {c} look like on {n}?"),
    "audio": ("I want to hear {c}", "I'd like to hear {c}", "what does {c} sound like?", "how does {c} sound?", "{n} of {c}",
              "I need a {n} of {c}", "a {n} of {c}", "how about the sound of {c}?", "can I hear {c}?", "sound of {c}",
              "I need {c} for my film", "do you know what {c} sounds like?", "I'd love to listen to {c}"),
}  # fmt: skip
_REPLIES: dict[Modality, tuple[str, ...]] = {
    "image": ("Here is a picture of {c}.", "Sure! Here is a picture of {c}.", "Of course. Here is a picture of {c}."),
    "video": ("Here is a video of {c}.", "Sure! Here is a video of {c}.", "Of course. Here is a video of {c}."),
    "audio": ("Here is the sound of {c}.", "Sure! Here is the sound of {c}.", "Of course. Here is the sound of {c}."),
}
_MORE = {"image": "And here is a picture of {c}.", "video": "And here is a video of {c}.", "audio": "And here is the sound of {c}."}
_SHOWN: dict[Modality, tuple[str, ...]] = {
    "image": ("What is in this picture?", "What is this?", "What do you see?", "Describe this picture.", "What's in the image?",
              "What does this photo show?", "Tell me what this is.", "Can you name what is in the picture?", "Who or what is this?",
              "What am I looking at?", "Please describe the image.", "Do you recognise this?", ""),
    "video": ("What happens in this video?", "What is in this clip?", "Describe this video.", "What do you see?", "What is this?", ""),
    "audio": ("What do you hear?", "What is this sound?", "What animal is this?", "Describe this sound.", "What makes this noise?",
              "What is in this recording?", "Can you tell what this is?", ""),
}  # fmt: skip
_NAMED: dict[Modality, tuple[str, ...]] = {
    "image": ("This is a picture of {c}.", "This picture shows {c}.", "I see {c}."),
    "video": ("This is a video of {c}.", "This video shows {c}.", "I see {c}."),
    "audio": ("This is the sound of {c}.", "I hear {c}.", "This sounds like {c}."),
}


class DialogueWriter:
    """Writes conversations about what `captions` draws; `shown` holds (file, modality, what it shows) to ask about."""

    def __init__(
        self, rng: Random, captions: CaptionSampler, shown: Sequence[tuple[Path, Modality, str]] = ()
    ) -> None:
        self._rng = rng
        self._captions = captions
        self._shown = list(shown)

    def single(self) -> list[Message]:
        """One request for one medium."""
        modality = self._modality()
        caption = self._captions(modality)
        return [self._user(self.request(modality, caption)), self.reply([(modality, caption)])]

    def several(self) -> list[Message]:
        """One request for two or three media: of one thing, or each of its own."""
        rng = self._rng
        modalities = rng.sample(("image", "video", "audio"), rng.choice((2, 2, 3)))
        subject = self._captions.image()
        if rng.random() < 0.5:
            wanted = [(m, subject) for m in modalities]
            nouns = [f"{article(rng.choice(NOUNS[m]))}" for m in modalities]
            words = rng.choice(("make {n} of {c}", "give me {n} of {c}", "I want {n} of {c}", "show me {n} of {c}", "create {n} of {c}"))
            request = self._dress(words.format(n=_listed(nouns), c=subject))
        else:
            wanted = [(m, self._captions(m)) for m in modalities]
            parts = [rng.choice(_MAKE[m]).format(c=c, n=rng.choice(NOUNS[m])) for m, c in wanted]
            request = self._dress(rng.choice((" and ", ", then ", " and also ", ". Also ")).join(parts))
        return [self._user(request), self.reply(wanted)]

    def follow_up(self) -> list[Message]:
        """A first medium, then one to three turns that change it, repeat it, or carry it to another modality."""
        rng = self._rng
        modality = self._modality()
        caption = self._captions(modality)
        messages = [self._user(self.request(modality, caption)), self.reply([(modality, caption)])]
        for _ in range(rng.choice((1, 1, 2, 3))):
            words, modality, caption = self._next(modality, caption)
            messages += [self._user(self._dress(words)), self.reply([(modality, caption)])]
        return messages

    def about_a_file(self) -> list[Message]:
        """Somebody shows a file and asks what it is; sometimes they want another like it."""
        rng = self._rng
        path, modality, caption = rng.choice(self._shown)
        question = rng.choice(_SHOWN[modality])
        parts: list[Text | Media] = [Media(modality, path)]
        if question:
            parts.append(Text(question))
        messages = [Message("user", tuple(parts))]
        if rng.random() < 0.85:
            messages.append(self._assistant(rng.choice(_NAMED[modality]).format(c=caption)))
            if rng.random() < 0.75:
                return messages
            parts = []
        made = self._modality()
        words = {
            "image": ("draw it", "make a picture of it", "draw me another one like this", "show me a picture of that"),
            "video": ("make a video of it", "animate it", "make it move", "I'm more into this, make a video of it"),
            "audio": ("what does it sound like?", "make the sound of it", "let me hear it"),
        }[made]
        request = self._dress(rng.choice(words))
        if parts:
            messages = [Message("user", (Media(modality, path), Text(request)))]
        else:
            messages.append(self._user(request))
        return [*messages, self.reply([(made, caption)])]

    def caption_only(self) -> list[Message]:
        """The shortest way from a caption to a run, without a request: most of what the alignment learns from."""
        modality = self._modality()
        return [self.reply([(modality, self._captions(modality))], _REPLIES[modality][:1])]

    def request(self, modality: Modality, caption: str) -> str:
        rng = self._rng
        noun = rng.choice(NOUNS[modality])
        if rng.random() < 0.12:  # people leave articles out; the reply puts them back
            caption = caption.removeprefix("a ").removeprefix("an ")
        if rng.random() < 0.35:
            return self._case(rng.choice(_WISHES[modality]).format(c=caption, n=noun))
        return self._dress(rng.choice(_MAKE[modality]).format(c=caption, n=noun))

    def reply(self, wanted: Sequence[tuple[Modality, str]], openings: Sequence[str] | None = None) -> Message:
        parts: list[Text | Media] = []
        for number, (modality, caption) in enumerate(wanted):
            words = _MORE[modality] if number else self._rng.choice(openings or _REPLIES[modality])
            parts += [Text(words.format(c=caption)), Media(modality, Path(), caption)]
        return Message("assistant", tuple(parts))

    def _next(self, modality: Modality, caption: str) -> tuple[str, Modality, str]:
        """(what the user says, the medium that answers, its caption)."""
        rng = self._rng
        same = NOUNS[modality][0]
        choices: list[Callable[[], tuple[str, Modality, str]]] = [
            lambda: (rng.choice(("another one", "again", "one more", f"make another {same}", "once more")), modality, caption),
            lambda: (rng.choice(("and a picture of it", "now draw it", "draw that", "show me a picture of it")), "image", caption),
            lambda: (rng.choice(("now make it move", "animate it", "make a video of it", "turn it into a clip")), "video", caption),
            lambda: (rng.choice(("what does it sound like?", "now the sound of it", "let me hear it")), "audio", caption),
        ]
        if modality != "audio":
            choices += [lambda: self._recoloured(modality, caption), lambda: self._moved(modality, caption)] * 2
        if modality == "image":
            motion = rng.choice(MOTIONS)
            choices.append(lambda: (f"now make a video of it {motion}", "video", f"{caption} {motion}"))
        return rng.choice(choices)()

    def _recoloured(self, modality: Modality, caption: str) -> tuple[str, Modality, str]:
        rng, colour = self._rng, self._rng.choice(COLOURS)
        words = caption.split()
        old = next((i for i, word in enumerate(words) if word in COLOURS), None)
        if old is not None:
            words[old] = colour
        elif words[0] in ("a", "an", "two", "three"):
            words.insert(1, colour)
        else:
            words.insert(0, colour)
        if words[0] in ("a", "an"):
            words[0] = "an" if words[1][0] in "aeiou" else "a"
        said = (f"make it {colour}", f"now in {colour}", f"the same in {colour}", f"I'd prefer it {colour}", f"can it be {colour}?")
        return rng.choice(said), modality, " ".join(words)

    def _moved(self, modality: Modality, caption: str) -> tuple[str, Modality, str]:
        rng, place = self._rng, self._rng.choice(PLACES)
        bare = next((caption[: -len(p) - 1] for p in sorted(PLACES, key=len, reverse=True) if caption.endswith(" " + p)), caption)
        said = (f"now {place}", f"put it {place}", f"the same {place}", f"and {place}?", f"how about {place}?")
        return rng.choice(said), modality, f"{bare} {place}"

    def _modality(self) -> Modality:
        return self._rng.choices(("image", "video", "audio"), (5, 3, 3))[0]

    def _dress(self, words: str) -> str:
        rng = self._rng
        closing = "" if words.endswith("?") else rng.choice(_CLOSINGS)
        return self._case(rng.choice(_OPENINGS) + words + closing)

    def _case(self, words: str) -> str:
        style = self._rng.random()
        words = re.sub(r"\ba (?=[aeio])", "an ", words)
        return words if style < 0.3 else words.lower() if style < 0.4 else words[0].upper() + words[1:]

    def _user(self, text: str) -> Message:
        return Message("user", (Text(text),))

    def _assistant(self, text: str) -> Message:
        return Message("assistant", (Text(text),))


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
