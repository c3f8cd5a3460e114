"""Examples that answer at one click: one for each kind of turn that the checkpoint can do.

What is said to the model is English, which every checkpoint speaks; the words around it are the visitor's.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nextgpt_core.config import Config
from nextgpt_core.page.show.figures import file_url
from nextgpt_core.page.words import Words

FOLDER = Path(__file__).parents[3] / "assets" / "examples"


@dataclass(frozen=True)
class Example:
    """`kind` is the key of its heading in the words."""

    kind: str
    text: str
    file: Path | None = None


_READS = {
    "image": Example("example_read_image", "What is in this picture?", FOLDER / "sailing-boat.jpg"),
    "video": Example("example_read_video", "What happens in this clip?", FOLDER / "bouncing-ball.mp4"),
    "audio": Example("example_read_audio", "What do you hear?", FOLDER / "bells.wav"),
}
_MAKES = {
    "image": Example("example_make_image", "Draw a red apple"),
    "video": Example("example_make_video", "Show me a clip of waves rolling onto a beach"),
    "audio": Example("example_make_audio", "Let me hear a dog barking"),
}
_THINGS = {"image": "a picture", "video": "a clip", "audio": "the sound"}


def examples(config: Config) -> list[Example]:
    made = [modality for modality in _MAKES if modality in config.decoders]
    found = [_MAKES[modality] for modality in made]
    if len(made) > 1:
        things = [_THINGS[modality] for modality in made]
        found.append(Example("example_several", f"Give me {', '.join(things[:-1])} and {things[-1]} of a thunderstorm"))
    found += [_READS[modality] for modality in _READS if modality in config.reads]
    return [*found, Example("example_text", "What is the capital of France?")]


def cards(examples: Sequence[Example], words: Words) -> str:
    """What an empty conversation shows."""
    shown = "".join(_card(number, example, words) for number, example in enumerate(examples))
    welcome, tagline = html.escape(words["welcome"]), html.escape(words["tagline"])
    return f'<div class="welcome"><h2>{welcome}</h2><p>{tagline}</p><div class="cards">{shown}</div></div>'


def _card(number: int, example: Example, words: Words) -> str:
    picture = example.file is not None and example.file.suffix == ".jpg"
    thumbnail = f'<img src="{file_url(example.file)}" alt="">' if picture else ""
    return (
        f'<button class="do card {example.kind}" type="button" name="example" value="{number}">{thumbnail}'
        f"<b>{html.escape(words[example.kind])}</b><span>{html.escape(example.text)}</span></button>"
    )
