"""What the model got of an upload, as something to look at or to listen to: the resized picture, the frames, the clip.

The encoder itself says what it got; here it becomes a file beside the upload, made once.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.page.show.figures import file_url
from nextgpt_core.page.talk.lane import Model
from nextgpt_core.page.words import Words

_COLUMNS = 4  # frames beside each other


@dataclass(frozen=True)
class Received:
    """A file that shows it, and its measures: width and height, frames, seconds and kilohertz, as the modality has."""

    item: Media
    measures: dict[str, float]

    def html(self, words: Words) -> str:
        line = words[f"received_{self.item.modality}"].format(**{name: f"{x:g}" for name, x in self.measures.items()})
        source, label = file_url(self.item.path), html.escape(line)
        if self.item.modality == "audio":
            element = f'<audio src="{source}" controls preload="metadata" title="{label}"></audio>'
        else:
            element = f'<img src="{source}" alt="{label}">'
        return f'<div class="received">{element}<small>{label}</small></div>'


def received(item: Media, model: Model) -> Received:
    """Raises MediaError where the upload can't be read any more."""
    stem = item.path.with_name(f"received-{item.path.stem}")
    path, measures = stem.with_suffix(".wav" if item.modality == "audio" else ".png"), stem.with_suffix(".json")
    if not (path.is_file() and measures.is_file()):
        sample, rate = model.received(item)
        measures.write_text(json.dumps(_write(sample, rate, path)), encoding="utf-8")
    return Received(Media(item.modality, path), json.loads(measures.read_text(encoding="utf-8")))


def _write(sample: np.ndarray, rate: int, path: Path) -> dict[str, float]:
    """sample: (n,) of a sound, (n, h, w, 3) uint8 of a picture or of frames, which become one sheet."""
    if sample.ndim == 1:
        media.write_audio(sample, rate, path, {})
        return {"seconds": round(len(sample) / rate, 1), "rate": rate / 1000}
    count, height, width, _ = sample.shape
    columns = min(count, _COLUMNS)
    padded = np.concatenate([sample, np.zeros((-count % columns, height, width, 3), np.uint8)])
    rows = [np.concatenate(list(padded[i : i + columns]), axis=1) for i in range(0, len(padded), columns)]
    media.write_image(np.concatenate(rows), path, {})
    return {"width": width, "height": height, "frames": count}
