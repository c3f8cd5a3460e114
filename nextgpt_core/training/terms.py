"""The terms of a stage's loss, by name, over a batch that one process or several hold in parts.

Several processes see what one would see of the whole batch: the text term is weighted by its tokens, and the
alignment term contrasts every run with all others, those of other processes as constants. A mean over processes, which
is what their gradients go through, then gives the gradient of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from nextgpt_core import media
from nextgpt_core.conversation import MODALITIES, Media, Modality
from nextgpt_core.model import NextGPT
from nextgpt_core.multimodal import Losses
from nextgpt_core.training.data import Conversation, DataError
from nextgpt_core.training.losses import alignment_loss
from nextgpt_core.training.stages import Stage

Value = TypeVar("Value")


class Terms:
    def __init__(self, model: NextGPT, stage: Stage, accelerator: Accelerator) -> None:
        self._model = model
        self._names = stage.losses
        self._index, self._count = accelerator.process_index, accelerator.num_processes
        self._conditions = Conditions(model)

    def __call__(self, losses: Losses, batch: Sequence[Conversation]) -> dict[str, Tensor]:
        """Terms whose mean over processes is that of the whole batch, and whose gradients' mean is its gradient."""
        # What was projected takes part even where no term follows: processes wait for each other's gradients.
        nothing = 0 * sum((projected.sum() for projected, _ in losses.projected.values()), start=losses.text.detach())
        terms = {"text": losses.text * self._weight(losses.labels) + nothing}
        decoded = [m for m in MODALITIES if m in self._model.config.writes and m in self._model.config.decoders]
        if "caption" in self._names:
            aligned = [self._alignment(m, *losses.projected.get(m, (None, []))) for m in decoded]
            if found := [term for term in aligned if term is not None]:
                terms["caption"] = torch.stack(found).mean()
        if "denoise" in self._names:
            terms["denoise"] = sum(self._denoising(m, losses, batch) for m in decoded)
        return terms

    def _alignment(self, modality: Modality, projected: Tensor | None, captions: list[str]) -> Tensor | None:
        """None where the whole batch has fewer than two runs: a contrast needs two."""
        everyone = self._everyone((None if projected is None else projected.detach().cpu(), captions))
        everyones = [caption for _, some in everyone for caption in some]
        if len(everyones) < 2:
            return None
        device = self._model.device
        parts = [
            projected if process == self._index else found.to(device)
            for process, (found, _) in enumerate(everyone)
            if found is not None
        ]
        loss = alignment_loss(torch.cat(parts), self._conditions(modality, everyones), everyones)
        return loss.detach() + self._count * (loss - loss.detach())  # the value is the whole's, the gradient a part's

    def _denoising(self, modality: Modality, losses: Losses, batch: Sequence[Conversation]) -> Tensor:
        """The decoder's error on targets that have a file; zero where none has."""
        made = [p for messages in batch for m in messages if m.role == "assistant" for p in m.media]
        targets = [item for item in made if item.modality == modality]
        chosen = [i for i, item in enumerate(targets) if item.path != Path()]
        weight = self._weight(len(chosen))
        if not chosen:
            return losses.text * 0
        decoder = self._model.decoder(modality)
        pixels = torch.stack([target_pixels(targets[i], decoder.settings) for i in chosen])
        return weight * decoder.denoising_loss(losses.projected[modality][0][chosen], pixels).to(losses.text.device)

    def _weight(self, items: int) -> float:
        """What this process's mean counts for, so that the mean over processes is that over all items."""
        everyones = sum(self._everyone(items))
        return self._count * items / everyones if everyones else 0.0

    def _everyone(self, value: Value) -> list[Value]:
        if self._count == 1:
            return [value]
        gathered: list[Value] = [value] * self._count
        torch.distributed.all_gather_object(gathered, value)
        return gathered


class Conditions:
    """The decoders' own text conditions of captions, each computed once."""

    def __init__(self, model: NextGPT) -> None:
        self._model = model
        self._known: dict[tuple[Modality, str], Tensor] = {}

    def __call__(self, modality: Modality, captions: list[str]) -> Tensor:
        """(b, length, width) on the model's device."""
        new = sorted({caption for caption in captions if (modality, caption) not in self._known})
        if new:
            with torch.no_grad():
                embedded = self._model.decoder(modality).embed_text(new).half().cpu()
            self._known |= {(modality, caption): e for caption, e in zip(new, embedded, strict=True)}
        return torch.stack([self._known[modality, caption] for caption in captions]).float().to(self._model.device)


def target_pixels(item: Media, settings: dict[str, float]) -> Tensor:
    """The file in the decoder's size, in -1…1: (3, h, w) of a picture, (frames, 3, h, w) of a clip.

    Raises DataError for a sound, whose decoder learns from spectrograms of its own making.
    """
    if item.modality == "audio":
        raise DataError(f"{item.path}: the loss `denoise` takes pictures and clips, not sounds.")
    size = int(settings["width"]), int(settings["height"])
    if item.modality == "image":
        frames = [np.asarray(media.read_image(item.path))]
    else:
        frames = list(media.read_video(item.path, int(settings["frames"]))[0])
    resized = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames]
    pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels[0] if item.modality == "image" else pixels
