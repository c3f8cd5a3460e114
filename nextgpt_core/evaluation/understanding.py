"""Understanding: whether what is shown is named, on files of kinds or combinations that training left out.

The model is asked in words and forbidden to make media; an answer is right that holds the name, one of its words, or,
for a clip's motion, a word for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from nextgpt_core.conversation import Media, Message, Modality, Text
from nextgpt_core.evaluation.images import object_pairs
from nextgpt_core.evaluation.replies import greedy_replies
from nextgpt_core.evaluation.videos import draw_cases
from nextgpt_core.media import write_image, write_video
from nextgpt_core.model import NextGPT
from nextgpt_core.pocket.captions import article
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.clips import FPS, render_clip
from nextgpt_core.pocket.images import open_sprites
from nextgpt_core.pocket.scenes import Item, Scene, render

QUESTIONS: dict[Modality, str] = {
    "image": "What is in this picture?",
    "video": "What happens in this video?",
    "audio": "What do you hear?",
}
MOTIONS = {
    "rise": "up upwards rising rises off soaring soars flying flies",
    "fall": "down falling falls dropping drops sinking sinks",
    "drive": "left right driving drives running runs walking walks swimming swims going goes",
    "return": "back forth",
    "bounce": "bouncing bounces jumping jumps hopping hops",
    "spin": "spinning spins turning turns rotating rotates",
    "swing": "swinging swings dancing dances swaying sways waving waves",
    "grow": "growing grows bigger larger big",
    "shrink": "shrinking shrinks smaller small",
    "fade": "fading fades disappearing disappears vanishing vanishes appearing appears showing shows",
    "blink": "blinking blinks flashing flashes",
    "follow": "following follows chasing chases behind after",
    "zoom": "zoom zooms zooming",
    "pan": "pan pans panning past across camera",
}


@dataclass(frozen=True)
class Shown:
    """A file and the words of which the answer must hold one."""

    media: Media
    name: str
    accepted: frozenset[str]


def held_out_files(folder: Path, modality: Modality) -> list[Shown]:
    """What training leaves out of a folder with labels.jsonl: a tenth, of the photos' classes or of the recordings."""
    with (folder / "labels.jsonl").open(encoding="utf-8") as file:
        labels = [json.loads(line) for line in file]
    return [
        Shown(Media(modality, folder / label["file"]), label["label"], _words([label["label"]]))
        for number, label in enumerate(labels)
        if label.get("class_index", number) % 10 == 7
    ]


def held_out_scenes(data: Path, out: Path, count: int) -> list[Shown]:
    """Pictures of one thing each, in a style in which training never showed it, written to `out`."""
    sprites, hues = open_sprites(data)
    synonyms = {concept.name: (concept.name, *concept.synonyms) for concept in load_catalog()}
    shown = []
    for number, (name, style) in enumerate(object_pairs(sprites, count)):
        path = out / f"scene{number:03d}.png"
        scene = Scene("single", article(name), (Item(name, style, None, 0.5, 0.5, 0.8),), "white")
        write_image(render(scene, sprites, hues), path, {"Description": name})
        shown.append(Shown(Media("image", path), name, _words(synonyms[name])))
    return shown


def held_out_motions(data: Path, out: Path, count: int) -> list[Shown]:
    """Clips of things in motions in which training never showed them, written to `out`; the motion is what counts."""
    sprites, hues = open_sprites(data)
    cases = [case for case in draw_cases(sprites, hues, max(3 * count, 96)) if not case.seen]  # about half are
    shown = []
    for number, case in enumerate(Random(0).sample(cases, min(count, len(cases)))):
        path, kind = out / f"motion{number:03d}.mp4", case.clip.motion.kind
        write_video(render_clip(case.clip, sprites, hues), path, FPS, {"Description": case.clip.scene.caption})
        shown.append(Shown(Media("video", path), case.clip.scene.caption, frozenset(MOTIONS[kind].split())))
    return shown


def evaluate_understanding(model: NextGPT, shown: Sequence[Shown]) -> dict[str, object]:
    """The share of answers that hold an accepted word, None of no files, and every answer."""
    asked = [[Message("user", (item.media, Text(QUESTIONS[item.media.modality])))] for item in shown]
    replies = greedy_replies(model, asked, most_tokens=40, media=False)
    answers = [
        {
            "file": str(item.media.path),
            "name": item.name,
            "answer": (text := "".join(reply.parts)),
            "named": names(text, item.accepted),
        }
        for item, reply in zip(shown, replies, strict=True)
    ]
    named = sum(a["named"] for a in answers) / len(answers) if answers else None
    return {"count": len(answers), "named": named, "answers": answers}


def names(answer: str, accepted: Iterable[str]) -> bool:
    """Whether an accepted word stands in the answer, alone or as a plural."""
    said = re.findall(r"[a-z]+", answer.lower())
    return any(word in said or word + "s" in said for word in accepted)


def _words(phrases: Iterable[str]) -> frozenset[str]:
    """Their words, less those too short to say anything."""
    return frozenset(word for phrase in phrases for word in re.findall(r"[a-z]+", phrase.lower()) if len(word) > 2)
