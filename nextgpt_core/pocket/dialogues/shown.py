"""Files to show and to ask about: photos and recordings with labels, and pictures and clips of drawn scenes.

The drawn ones say of what they show what can be recognised (`names`), the thing and how it moves: a model that is
taught to say a style or a place that nobody tells it makes it up. The labelled ones are read from a folder's
`labels.jsonl`. A tenth of these is held out: of the photos' classes, of each folder's recordings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tqdm import tqdm

from nextgpt_core.conversation import Modality
from nextgpt_core.media import write_image, write_video
from nextgpt_core.pocket.captions import article
from nextgpt_core.pocket.clips import FPS, Clip, ClipSampler, render_clip
from nextgpt_core.pocket.images import open_sprites
from nextgpt_core.pocket.motion import CAMERA
from nextgpt_core.pocket.motion_phrases import briefly
from nextgpt_core.pocket.scenes import Scene, SceneSampler, render

Labelled = list[tuple[Path, str]]
_SELF = ("a picture", "an image", "a drawing", "a video", "a clip", "an animation")  # captions that say what they are


@dataclass(frozen=True)
class Drawing:
    """How scenes of a modality are drawn from the pocket's world, and written."""

    sampler: type[SceneSampler]
    scene: Callable[[Scene | Clip], Scene]  # what bears the caption
    recognised: Callable[[Scene | Clip], str]  # what can be told by looking at it
    write: Callable[[Scene | Clip, Path, Path], None]  # (drawn, the world's folder, file)
    suffix: str


def _write_picture(scene: Scene, data: Path, path: Path) -> None:
    write_image(render(scene, *open_sprites(data)), path, {"Description": scene.caption})


def _write_clip(clip: Clip, data: Path, path: Path) -> None:
    write_video(render_clip(clip, *open_sprites(data)), path, FPS, {"Description": clip.scene.caption})


def _thing(scene: Scene) -> str:
    return article(scene.items[0].concept)


def _moving(clip: Clip) -> str:
    words = briefly(clip.motion.kind, clip.motion.direction, clip.motion.pace)
    return f"{_thing(clip.scene)}{',' if clip.motion.kind in CAMERA else ''} {words}"


DRAWINGS: dict[Modality, Drawing] = {
    "image": Drawing(SceneSampler, lambda scene: scene, _thing, _write_picture, ".png"),
    "video": Drawing(ClipSampler, lambda clip: clip.scene, _moving, _write_clip, ".mp4"),
}


def labelled(folder: Path | None) -> Labelled:
    """(file, what it shows), less what is held out."""
    if folder is None:
        return []
    items = []
    with (folder / "labels.jsonl").open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            label = json.loads(line)
            if label.get("class_index", number) % 10 != 7:  # evaluation.understanding judges by these
                items.append((folder.resolve() / label["file"], article(label["label"])))
    return items


def captions(modality: Modality, data: Path, seed: int) -> Iterator[str]:
    """Endless captions of what the modality's decoder learns from, without the words that say what it is."""
    drawing = DRAWINGS[modality]
    sampler = drawing.sampler(*open_sprites(data), Random(f"captions {seed}"))
    while True:
        if not (caption := drawing.scene(sampler()).caption).startswith(_SELF):
            yield caption


def drawn(modality: Modality, data: Path, out: Path, count: int) -> Labelled:
    """Writes `count` drawings of a thing below `out`, those that are there excepted; paths are relative to `out`."""
    drawing = DRAWINGS[modality]
    sampler = drawing.sampler(*open_sprites(data), Random(f"shown {modality}"))
    (out / "shown").mkdir(parents=True, exist_ok=True)
    items: Labelled = []
    for number in tqdm(range(count), desc=f"{modality} to show"):
        while len(drawing.scene(made := sampler()).items) != 1:
            pass
        path = Path("shown", f"{number:05d}{drawing.suffix}")
        if not (out / path).is_file():
            drawing.write(made, data, out / path)
        items.append((path, drawing.recognised(made)))
    return items
