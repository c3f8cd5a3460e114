"""The whole evaluation: routing, alignment, understanding and plain text in one object of figures.

What cannot be judged here, for want of a decoder or of files, is None, and `not_judged` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nextgpt_core.conversation import MODALITIES, Media, Modality
from nextgpt_core.decoders import Decoder
from nextgpt_core.evaluation import images, plain_text, routing, sounds, understanding, videos
from nextgpt_core.evaluation.alignment import ThroughLanguageModel, evaluate_alignment
from nextgpt_core.evaluation.replies import load_untouched
from nextgpt_core.model import NextGPT

_EXAMPLES: dict[Modality, tuple[str, ...]] = {
    "image": ("a red apple", "a dog", "two cats", "a blue car on a beach", "a rocket in the night sky", "a green frog"),
    "video": ("a rocket flying up", "a car driving from left to right", "a ball bouncing"),
    "audio": ("a dog barking", "rain", "a slow piano melody"),
}


class NotJudged(Exception):
    """Something that a figure needs is not here; the message says what, and how to get it."""


@dataclass(frozen=True)
class Sources:
    """What the judges look at. `data` is what `data images` and `data sounds` built, `work` takes what is drawn."""

    data: Path
    work: Path
    photos: Path | None = None
    sounds: Path | None = None
    concepts: int = 40  # things asked for in alignment, shown in understanding
    cases: int = 20  # scenes of each kind in alignment
    prompts: int | None = None  # of the routing matrix, whole without


@dataclass
class Report:
    """`figures` is plain data; `examples` are (caption, straight into the decoder, through the model) by modality."""

    figures: dict[str, Any]
    examples: dict[Modality, list[tuple[str, Media, Media]]] = field(default_factory=dict)


def evaluate_all(model: NextGPT, sources: Sources) -> Report:
    not_judged: dict[str, str] = {}
    made = routing.evaluate_routing(model, routing.some_prompts(sources.prompts))
    untouched = load_untouched(model.folder, str(model.device))
    text = plain_text.evaluate_text(model, untouched)
    del untouched
    figures = {
        "checkpoint": str(model.folder),
        "routing": made,
        "alignment": align_all(model, sources, not_judged),
        "understanding": understand_all(model, sources, not_judged),
        "text": {**text, "unwanted_media": made["unwanted_media"]},
        "not_judged": not_judged,
    }
    examples = {m: _examples(model, m, sources.work) for m in MODALITIES if figures["alignment"][m]}
    return Report(figures, examples)


def align_all(model: NextGPT, sources: Sources, not_judged: dict[str, str]) -> dict[Modality, Any]:
    """The alignment gap of every modality; what can't be judged is None, and `not_judged` gets the reason."""
    return {m: _judged(f"alignment.{m}", not_judged, lambda m=m: _align(model, m, sources)) for m in MODALITIES}


def understand_all(model: NextGPT, sources: Sources, not_judged: dict[str, str]) -> dict[str, Any]:
    """What is named of every kind of file, in the same way."""
    shown = {
        "photos": lambda: _files(sources.photos, "image", "--photos"),
        "scenes": lambda: understanding.held_out_scenes(_drawn(sources), sources.work, sources.concepts),
        "motion": lambda: understanding.held_out_motions(_drawn(sources), sources.work, sources.concepts),
        "sounds": lambda: _files(sources.sounds, "audio", "--sounds"),
    }

    def judge(name: str) -> dict[str, Any] | None:
        name_them = understanding.evaluate_understanding
        return _judged(f"understanding.{name}", not_judged, lambda: name_them(model, shown[name]()))

    return {name: judge(name) for name in shown}


def _judged(name: str, not_judged: dict[str, str], judge: Callable[[], Any]) -> Any:
    try:
        return judge()
    except NotJudged as reason:
        not_judged[name] = str(reason)
        return None


def _align(model: NextGPT, modality: Modality, sources: Sources) -> dict[str, Any]:
    if modality not in model.config.decoders:
        raise NotJudged(f"{model.config.name} has no {modality} decoder.")
    data = sources.data / "sounds" if modality == "audio" else _drawn(sources)
    if not data.is_dir():
        raise NotJudged(f"There is no folder {data}; `python -m nextgpt_core data sounds` builds it.")
    encoder = model.encoder(model.config.input_projectors[model.config.reads[modality]].encoder)
    judges: dict[Modality, Callable[[Decoder], dict[str, Any]]] = {
        "image": lambda decoder: images.evaluate_images(decoder, encoder, data, sources.concepts, sources.cases),
        "video": lambda decoder: videos.evaluate_videos(decoder, encoder, data, sources.concepts),
        "audio": lambda decoder: sounds.evaluate_audio(decoder, encoder, data, sources.cases),
    }
    return evaluate_alignment(model, modality, model.decoder(modality), judges[modality])


def _drawn(sources: Sources) -> Path:
    if not (sources.data / "sprites.npy").is_file():
        raise NotJudged(f"{sources.data} holds no drawn things; `python -m nextgpt_core data images` builds them.")
    return sources.data


def _files(folder: Path | None, modality: Modality, flag: str) -> Sequence[understanding.Shown]:
    if folder is None:
        raise NotJudged(f"Name a folder of files with labels.jsonl: {flag} DIR.")
    return understanding.held_out_files(folder, modality)


def _examples(model: NextGPT, modality: Modality, work: Path) -> list[tuple[str, Media, Media]]:
    decoder = model.decoder(modality)
    made = []
    for number, caption in enumerate(_EXAMPLES[modality]):
        media = []
        for name, way in (("straight", decoder), ("through", ThroughLanguageModel(model, modality, decoder))):
            sample = decoder.generate(way.embed_text([caption]), None, number)
            media.append(decoder.save(sample, work / f"{modality}{number}-{name}", {"Description": caption}))
        made.append((caption, *media))
    return made
