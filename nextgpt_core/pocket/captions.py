"""Captions of things that may be asked for: far more than the catalog pictures, and in the same words.

The second training stage needs no pictures, only captions, so this module makes many: a thing, coloured, counted, in
a place, beside another, moving, sounding. Words that no decoder has drawn still get a sensible place in the condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from nextgpt_core.conversation import Modality
from nextgpt_core.pocket.catalog import load_catalog

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey", "golden")
PLACES = (
    "on a beach", "in the night sky", "in a meadow", "in a room", "in the snow", "in the sea", "in a city",
    "in a forest", "in the rain", "at sunset", "at night", "on a mountain", "in the garden", "on a table", "in space",
    "by a lake", "in the desert", "under a rainbow", "in the kitchen", "on a beach at night", "in a meadow at sunset",
    "in a city at night", "in a snowy forest", "on a green hill",
)  # fmt: skip
SIZES = ("big", "small", "tiny", "huge")
MOODS = ("happy", "sad", "cute", "old", "funny", "angry", "sleepy", "beautiful", "little", "shiny", "friendly", "new")
STYLES = ("a drawing of", "a painting of", "an icon of", "a cartoon of", "a sketch of")
RELATIONS = ("to the left of", "to the right of", "above", "on", "next to", "and", "with")
SIDES = ("to the left of", "to the right of", "left of", "right of", "on the left of", "on the right of")
COUNTS = ("two", "three")
MOTIONS = (
    "flying up", "falling down", "driving from left to right", "driving from right to left", "bouncing", "spinning",
    "swinging", "growing", "shrinking", "fading away", "blinking", "running", "jumping", "dancing", "taking off",
    "moving to the left", "moving to the right", "shaking", "rolling", "floating", "swimming", "waving",
)  # fmt: skip
PACES = ("slowly", "quickly", "")
SOUNDS = (
    "a dog barking", "a cat meowing", "a rooster crowing", "a cow mooing", "a lion roaring", "birds singing",
    "a frog croaking", "a horse galloping", "a sheep bleating", "a donkey braying", "a monkey screeching",
    "a wolf howling", "an owl hooting", "bees buzzing", "crickets chirping", "a duck quacking", "a pig grunting",
    "rain", "heavy rain", "wind", "a thunderstorm", "thunder", "ocean waves", "a river", "a waterfall", "a fire crackling",
    "dripping water", "footsteps", "applause", "a crowd cheering", "laughter", "a baby crying", "a heartbeat",
    "a clock ticking", "an alarm clock", "a doorbell", "a door closing", "a door creaking", "a telephone ringing",
    "a church bell", "a siren", "a police siren", "a car horn", "a car engine", "a motorcycle", "a train", "a train whistle",
    "a helicopter", "a plane taking off", "a ship horn", "a laser", "an explosion", "a gunshot", "fireworks", "a whistle",
    "glass breaking", "a hammer", "a saw", "typing on a keyboard", "a camera click", "a cash register", "a vacuum cleaner",
    "a piano", "a slow piano melody", "a fast piano melody", "a guitar", "an electric guitar", "a violin", "a cello",
    "a flute", "a trumpet", "a saxophone", "a clarinet", "an organ", "an accordion", "a harp", "a banjo", "a harmonica",
    "a xylophone", "a choir", "a synthesizer", "a bass guitar", "drums", "a fast drum beat", "a slow drum beat",
    "a snare drum", "a cymbal", "a gong", "church organ music", "a music box", "a marching band", "jazz", "calm music",
)  # fmt: skip
# Things beyond the catalog, so that projections do not end where the pictures do.
THINGS = (
    "waterfall", "beach volleyball", "surfing", "surfer", "sandcastle", "palm tree", "lighthouse", "village", "farm",
    "windmill", "robot dog", "dinosaur", "treasure chest", "pirate ship", "space station", "planet", "galaxy", "pancakes",
    "spaghetti", "wedding cake", "campfire", "tent", "bridge", "harbour", "market", "library", "classroom", "astronaut cat",
    "knight", "wizard", "dragon", "castle", "snowman", "ice skater", "football match", "concert", "street musician",
    "lemonade", "sunflower field", "vineyard", "waves", "island", "volcano", "cave", "jungle", "coral reef", "submarine",
    "hot air balloon", "steam train", "tractor", "fire engine", "race car", "sailing boat", "kayak", "cable car", "puppy",
    "kitten", "polar bear", "peacock", "hummingbird", "jellyfish", "starfish", "seahorse", "grandmother", "chef", "doctor",
    "teacher", "farmer", "ballerina", "clown", "magician", "princess", "king", "queen", "superhero", "alien", "monster",
)  # fmt: skip
_UNSAID = ("face-", "heart", "hand", "emotion", "time", "place-map", "office", "money", "sound")


def article(noun: str) -> str:
    """ "an apple", "a dog", "sunglasses": plural and mass nouns stay bare."""
    if (noun.endswith("s") and not noun.endswith(("ss", "us", "is", "bus"))) or noun in ("rain", "snow", "wind"):
        return noun
    return f"an {noun}" if noun[0].lower() in "aeiou" and not noun.startswith(("uni", "eu", "one")) else f"a {noun}"


def plural(noun: str) -> str:
    """ "slices of pizza", "children", "dogs with a hat"; what is said of several already stays: "folded hands"."""
    mark = next((mark for mark in _MARKS if mark in noun), None)
    head, _, tail = noun.partition(mark) if mark else (noun, "", "")
    ending = next((one for one in _PLURALS if head.endswith(one)), None)
    if ending is not None:
        head = head.removesuffix(ending) + _PLURALS[ending]
    elif head.endswith(("ss", "us", "is", "as", "os", "sh", "ch", "x")):
        head += "es"
    elif head.endswith("s"):
        pass
    elif head.endswith("y") and head[-2:-1] not in "aeiou":
        head = head[:-1] + "ies"
    else:
        head += "s"
    return f"{head}{mark}{tail}" if mark else head


_MARKS = (" with ", " of ", " in ", " on ", " at ", " and ", " holding ", " blowing ")
_PLURALS = {
    "human": "humans", "man": "men", "person": "people", "people": "people", "child": "children", "mouse": "mice",
    "tooth": "teeth", "foot": "feet", "goose": "geese", "sheep": "sheep", "fish": "fish", "deer": "deer",
    "leaf": "leaves", "wolf": "wolves", "knife": "knives", "loaf": "loaves", "shelf": "shelves", "scarf": "scarves",
    "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes", "hero": "heroes", "volcano": "volcanoes",
}  # fmt: skip


class CaptionSampler:
    """Draws captions; half of them come from `learned`, what the modality's decoder learns from, where it is given."""

    def __init__(self, rng: Random, learned: Mapping[Modality, Callable[[], str]] | None = None) -> None:
        self._rng = rng
        self._learned = learned or {}
        catalog = [c for c in load_catalog() if not c.group.startswith(_UNSAID)]
        names = [name for c in catalog for name in (c.name, *c.synonyms)]
        self.nouns = [name for name in names if name.replace(" ", "").isalpha() and len(name.split()) <= 3]
        self.nouns += [noun for noun in THINGS if noun not in self.nouns]

    def __call__(self, modality: Modality) -> str:
        if modality in self._learned and self._rng.random() < 0.5:
            return self._learned[modality]()
        return {"image": self.image, "video": self.video, "audio": self.audio}[modality]()

    def noun(self) -> str:
        return self._rng.choice(self.nouns)

    def image(self) -> str:
        rng = self._rng
        caption = self.thing()
        shape = rng.random()
        if shape < 0.3:
            caption = f"{caption} {rng.choice(PLACES)}"
        elif shape < 0.5:
            caption = f"{caption} {rng.choice(RELATIONS)} {self.thing()}"
            if rng.random() < 0.3:
                caption = f"{caption} {rng.choice(PLACES)}"
        return f"{rng.choice(STYLES)} {caption}" if rng.random() < 0.06 else caption

    def pair(self) -> str:
        """Two things that must not be mixed up: which stands where, and in which colour, often two different ones."""
        rng = self._rng
        colours = rng.sample(COLOURS, 2) if rng.random() < 0.7 else ("", "")
        first, second = (article(f"{colour} {self.noun()}".strip()) for colour in colours)
        caption = f"{first} {rng.choice(SIDES if rng.random() < 0.6 else RELATIONS)} {second}"
        return f"{caption} {rng.choice(PLACES)}" if rng.random() < 0.15 else caption

    def thing(self) -> str:
        """One to three of a thing, plain, coloured, or with another adjective."""
        rng, noun = self._rng, self.noun()
        if noun.endswith(("s", "ing")):
            return article(noun)
        kind = rng.random()
        if kind < 0.3:
            noun = f"{rng.choice(COLOURS)} {noun}"
        elif kind < 0.45:
            noun = f"{rng.choice(SIZES + MOODS)} {noun}"
        return article(noun) if rng.random() < 0.8 else f"{rng.choice(COUNTS)} {plural(noun)}"

    def video(self) -> str:
        rng = self._rng
        words = [self.thing(), rng.choice(MOTIONS), rng.choice(PACES)]
        if rng.random() < 0.3:
            words.append(rng.choice(PLACES))
        return " ".join(filter(None, words))

    def audio(self) -> str:
        rng = self._rng
        first = rng.choice(SOUNDS)
        if rng.random() < 0.2:
            return f"{first} {rng.choice(('and', 'with', 'and then'))} {rng.choice(SOUNDS)}"
        return f"{first} {rng.choice(('in the distance', 'nearby'))}" if rng.random() < 0.1 else first
