"""What is never trained on, so that it can be asked whether the decoders combine what they know.

A tenth of concept-and-style pairs, of colour-and-object pairs, of object-and-motion pairs and of
object-pair-and-relation triples, chosen by a hash of their names. The default style draws every concept, since people
ask for all of them; the tenth comes from the other styles. Of the names themselves, a tenth stands in captions, but in
no request.
"""

from __future__ import annotations

import hashlib

DEFAULT_STYLE = "fluent-3d"
_OPPOSITES = {"right of": "left of", "below": "above"}


def style_held_out(concept: str, style: str) -> bool:
    return style != DEFAULT_STYLE and _share("style", concept, style) < 0.122  # 5 of 6 styles: a tenth of all pairs


def colour_held_out(concept: str, colour: str) -> bool:
    return _share("colour", concept, colour) < 0.1


def motion_held_out(concept: str, kind: str) -> bool:
    """Whatever the motion's direction and pace; `animated` is the kind of an animation by hand."""
    return _share("motion", concept, kind) < 0.1


def relation_held_out(first: str, relation: str, second: str) -> bool:
    """The same for "a left of b" and "b right of a", and for either order where the relation has no direction."""
    if relation in _OPPOSITES:
        first, relation, second = second, _OPPOSITES[relation], first
    elif relation in ("next to", "and"):
        first, second = sorted((first, second))
    return _share("relation", first, relation, second) < 0.1


def name_held_out(name: str) -> bool:
    """For names of things and of sounds: what the routing matrix asks for."""
    return _share("talk", name) < 0.1


def _share(*words: str) -> float:
    digest = hashlib.sha256("|".join(words).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
