"""Understanding: whether photos of kinds never trained on are named."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from nextgpt_core.conversation import ChatOptions, Media, Message, Sampling, Text
from nextgpt_core.model import NextGPT

QUESTION = "What is in this picture?"
_NEVER = {"image": "never", "video": "never", "audio": "never"}


def held_out_photos(folder: Path) -> list[tuple[Path, str]]:
    """(file, name) of the classes that training leaves out: a tenth, those whose index ends in 7."""
    with (folder / "labels.jsonl").open(encoding="utf-8") as file:
        labels = [json.loads(line) for line in file]
    return [(folder / label["file"], label["label"]) for label in labels if label["class_index"] % 10 == 7]


def evaluate_photos(model: NextGPT, photos: Sequence[tuple[Path, str]]) -> dict[str, object]:
    """photos: (file, name). The share of answers that hold the name or one of its words, and every answer."""
    answers = []
    for number, (path, name) in enumerate(tqdm(photos, desc="photos")):
        message = Message("user", (Media("image", path), Text(QUESTION)))
        options = ChatOptions(sampling=Sampling(max_tokens=40), seed=0, wanted=_NEVER, scope=f"photo {number}")
        answer = list(model.chat([message], options))[-1].message.text
        answers.append({"name": name, "answer": answer, "named": names(answer, name)})
    return {"count": len(answers), "named": sum(a["named"] for a in answers) / len(answers), "answers": answers}


def names(answer: str, name: str) -> bool:
    """Whether a word of the name stands in the answer, alone or as a plural."""
    said = re.findall(r"[a-z]+", answer.lower())
    words = [word for word in re.findall(r"[a-z]+", name.lower()) if len(word) > 2]
    return any(word in said or word + "s" in said for word in words)
