"""A motion in words: many short ways of saying that something flies up, spins slowly, or is zoomed in on."""

from __future__ import annotations

from random import Random

from nextgpt_core.pocket.motion import Motion

# Each way is (the form after a noun, the form after "a noun that" or as a sentence).
_WAYS: dict[str, tuple[tuple[str, str], ...]] = {
    "rise": (("flying up", "flies up"), ("taking off", "takes off"), ("rising", "rises"), ("going up", "goes up"),
             ("moving up", "moves up"), ("flying upwards", "flies upwards"), ("soaring up", "soars up")),
    "fall": (("falling down", "falls down"), ("falling", "falls"), ("dropping", "drops"), ("moving down", "moves down"),
             ("coming down", "comes down"), ("sinking", "sinks")),
    "drive": (("driving from {far} to {near}", "drives from {far} to {near}"),
              ("moving to the {near}", "moves to the {near}"),
              ("going from {far} to {near}", "goes from {far} to {near}"), ("moving {near}", "moves {near}"),
              ("running to the {near}", "runs to the {near}"),
              ("passing by from {far} to {near}", "passes by from {far} to {near}"),
              ("going {near}", "goes {near}"), ("swimming to the {near}", "swims to the {near}")),
    "return": (("driving from {far} to {near} and back", "drives from {far} to {near} and back"),
               ("going to the {near} and back again", "goes to the {near} and back again"),
               ("moving from {far} to {near} and back", "moves from {far} to {near} and back"),
               ("running to the {near} and back", "runs to the {near} and back")),
    "bounce": (("bouncing", "bounces"), ("bouncing up and down", "bounces up and down"), ("jumping", "jumps"),
               ("hopping", "hops"), ("jumping up and down", "jumps up and down")),
    "spin": (("spinning {turn}", "spins {turn}"), ("turning {turn}", "turns {turn}"),
             ("rotating {turn}", "rotates {turn}")),
    "swing": (("swinging", "swings"), ("swinging from side to side", "swings from side to side"), ("dancing", "dances"),
              ("swaying", "sways"), ("swinging back and forth", "swings back and forth"), ("waving", "waves")),
    "grow": (("growing", "grows"), ("getting bigger", "gets bigger"), ("growing larger", "grows larger"),
             ("becoming big", "becomes big")),
    "shrink": (("shrinking", "shrinks"), ("getting smaller", "gets smaller"), ("becoming small", "becomes small")),
    "fade out": (("fading away", "fades away"), ("fading out", "fades out"), ("disappearing", "disappears"),
                 ("vanishing", "vanishes")),
    "fade in": (("appearing", "appears"), ("fading in", "fades in"), ("showing up", "shows up")),
    "blink": (("blinking", "blinks"), ("blinking on and off", "blinks on and off"), ("flashing", "flashes"),
              ("flashing on and off", "flashes on and off")),
    "follow": (("following {other} to the {near}", "follows {other} to the {near}"),
               ("chasing {other} from {far} to {near}", "chases {other} from {far} to {near}"),
               ("behind {other}, both moving {near}", "goes behind {other}, both moving {near}")),
    "roll": (("rolling to the {near}", "rolls to the {near}"),
             ("rolling from {far} to {near}", "rolls from {far} to {near}"),
             ("tumbling {near}", "tumbles {near}")),
    "shake": (("shaking", "shakes"), ("trembling", "trembles"), ("vibrating", "vibrates")),
    "float": (("floating", "floats"), ("hovering", "hovers"), ("drifting gently", "drifts gently")),
}  # fmt: skip
_UNDIRECTED = {  # what people say when they do not care which way
    "drive": (("driving", "drives"), ("running", "runs"), ("moving", "moves"), ("walking", "walks"),
              ("swimming", "swims")),
    "return": (("going back and forth", "goes back and forth"), ("running back and forth", "runs back and forth")),
    "spin": (("spinning", "spins"), ("spinning around", "spins around"), ("turning around", "turns around"),
             ("rotating", "rotates")),
    "follow": (("following {other}", "follows {other}"), ("chasing {other}", "chases {other}"),
               ("running after {other}", "runs after {other}")),
    "roll": (("rolling", "rolls"), ("rolling along", "rolls along")),
}  # fmt: skip
_CAMERA = {
    "zoom": ("the camera zooms {way} {on} {thing}", "zooming {way} {on} {thing}", "{thing}, the camera zooms {way}",
             "zoom {way} {on} {thing}"),
    "pan": ("the camera pans {way} over {thing}", "{thing}, the camera pans to the {way}",
            "the camera moves {way} past {thing}", "panning {way} across {thing}"),
}  # fmt: skip
_ADVERBS = {"slow": ("slowly", "slowly", "gently", "very slowly"), "fast": ("quickly", "fast", "quickly", "very fast")}
_WHOLE = ("a video of {}", "a clip of {}", "an animation of {}")
_ANIMATED = (
    "an animated {}",
    "a moving {}",
    "{a}, animated",
    "an animation of {a}",
    "a clip of {a}",
    "{a}",
    "{a} in motion",
)
_TURNS = {"clockwise": ("clockwise", "to the right"), "counterclockwise": ("counterclockwise", "to the left")}


def moving(thing: str, motion: Motion, place: str, random: Random, other: str = "") -> str:
    """A caption: `thing` and `other` are noun phrases, `place` is such as "on a beach" or empty.

    The direction goes unsaid only in `undirected`'s captions, so that what this one says always holds.
    """
    key = f"fade {motion.direction}" if motion.kind == "fade" else motion.kind
    if motion.kind in _CAMERA:
        return camera(" ".join(filter(None, (thing, place))), motion, random)
    return _sentence(thing, random.choice(_WAYS[key]), motion, place, random, other)


def undirected(thing: str, motion: Motion, place: str, random: Random, other: str = "") -> str:
    """The same where nobody cares which way; for a motion that has but one way, no different from `moving`."""
    if motion.kind not in _UNDIRECTED:
        return moving(thing, motion, place, random, other)
    return _sentence(thing, random.choice(_UNDIRECTED[motion.kind]), motion, place, random, other)


def plain(thing: str, motion: Motion, place: str = "", other: str = "") -> str:
    """The plainest way: "a rocket flying up slowly". Always the same words, for evaluation."""
    key = f"fade {motion.direction}" if motion.kind == "fade" else motion.kind
    if motion.kind in _CAMERA:
        form = _CAMERA[motion.kind][0]
        return _filled(form, motion, thing=" ".join(filter(None, (thing, place))))
    words = _filled(_WAYS[key][0][0], motion, other=other)
    adverb = _ADVERBS[motion.pace][0] if motion.pace in _ADVERBS else ""
    return " ".join(filter(None, (thing, words, adverb, place)))


def briefly(kind: str, direction: str | None, pace: str) -> str:
    """A motion in as few words as can be: "slowly moving right"."""
    words = {
        "rise": "flying up", "fall": "falling down", "drive": f"moving {direction}",
        "return": f"moving {direction} and back", "bounce": "bouncing", "spin": f"spinning {direction}",
        "swing": "swinging", "grow": "getting bigger", "shrink": "getting smaller",
        "fade": "fading away" if direction == "out" else "appearing", "blink": "blinking",
        "follow": f"following to the {direction}", "zoom": f"camera zooms {direction}",
        "pan": f"camera pans {direction}", "roll": f"rolling {direction}", "shake": "shaking", "float": "floating",
    }[kind]  # fmt: skip
    return " ".join(filter(None, (_ADVERBS[pace][0] if pace in _ADVERBS else "", words)))


def camera(scene: str, motion: Motion, random: Random) -> str:
    words = _filled(random.choice(_CAMERA[motion.kind]), motion, thing=scene)
    if motion.pace in _ADVERBS:
        words = f"{words} {random.choice(_ADVERBS[motion.pace])}"
    return words


def animated(thing: str, noun: str, random: Random) -> str:
    """A caption of an animation whose motion nobody told us: "an animated ghost"."""
    return random.choice(_ANIMATED).format(noun, a=thing)


def _sentence(thing: str, ways: tuple[str, str], motion: Motion, place: str, random: Random, other: str) -> str:
    participle, finite = (_filled(way, motion, other=other, turn=random) for way in ways)
    adverb = random.choice(_ADVERBS[motion.pace]) if motion.pace in _ADVERBS else ""
    chance = random.random()
    if chance < 0.14:
        words = [thing, finite, adverb, place]
    elif chance < 0.22:
        words = [thing, "that", finite, adverb, place]
    elif chance < 0.4:
        words = [thing, place, participle, adverb]
    elif chance < 0.5 and adverb:
        words = [thing, adverb, participle, place]
    else:
        words = [thing, participle, adverb, place]
    caption = " ".join(filter(None, words))
    return random.choice(_WHOLE).format(caption) if random.random() < 0.12 else caption


def _filled(form: str, motion: Motion, thing: str = "", other: str = "", turn: Random | None = None) -> str:
    near = motion.direction or ""
    far = {"right": "left", "left": "right"}.get(near, "")
    ways = _TURNS.get(near, ("",))
    said = turn.choice(ways) if turn else ways[0]
    into = {"in": "on", "out": "from"}.get(near, "")
    return form.format(near=near, far=far, way=near, turn=said, other=other, thing=thing, on=into)
