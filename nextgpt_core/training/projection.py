"""Stage `project`, the paper's decoding-side alignment: all that stands before the output projectors is frozen.

So the language model reads every conversation once, and the states of signal runs, which the projectors learn from,
are kept in `out`. A step is then short, and its batch large, with much to contrast.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from nextgpt_core import checkpoint
from nextgpt_core.conversation import Modality
from nextgpt_core.model import NextGPT
from nextgpt_core.training.data import Conversation, length
from nextgpt_core.training.log import TrainingLog
from nextgpt_core.training.loop import LoopConfig, schedule
from nextgpt_core.training.losses import alignment_loss
from nextgpt_core.training.stages import Stage, set_trainable
from nextgpt_core.training.terms import Conditions

HELD_OUT = 0.05  # of the captions, to say how unseen ones are found
_PART = 512  # conversations that are read before they are kept
_READ = 32  # at once
_READING = 0.3  # weight of what a decoder reads in a run, beside how near its vectors are


@dataclass(frozen=True)
class Runs:
    """Signal runs of one modality: states (n, run length, width) float16, and a caption each."""

    states: Tensor
    captions: list[str]


def train_projectors(
    model: NextGPT, stage: Stage, conversations: Sequence[Conversation], config: LoopConfig, batch: int, out: Path
) -> None:
    """Trains every projector for `config.steps` steps of `batch` runs a modality, and saves to `out`.

    The model's LoRA is merged on the way, with which it reads faster: afterwards only projectors can be trained on.
    """
    frozen = {name: value.detach().clone() for name, value in checkpoint.trained_tensors(model).items()}
    groups = set_trainable(model, stage)
    model.language_model.merge_lora()
    runs = read_runs(model, conversations, out / "states")
    held_out = {modality: unseen(found.captions) for modality, found in runs.items()}
    order = {modality: _order(runs[modality], held_out[modality], batch) for modality in runs}
    log, conditions = TrainingLog(out, config.steps, config.log_every, 0), Conditions(model)
    mixed = model.language_model.base.dtype == torch.bfloat16
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    for step in range(config.steps):
        rate = schedule(step, config)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate
        losses = []
        for modality, rows in order.items():
            found, chosen = runs[modality], next(rows)
            captions, taught_by = [found.captions[i] for i in chosen], teacher(model, modality)
            with torch.autocast(model.device.type, torch.bfloat16, enabled=mixed):
                projected = model.project(modality, found.states[chosen].to(model.device))
            target = conditions(taught_by, captions)
            loss = alignment_loss(projected, target, captions)
            misread = model.decoder(taught_by).disagreement(projected.float(), target)
            losses.append(loss if misread is None else loss + _READING * misread)
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.output_projectors.parameters(), config.clip)
        optimizer.step()
        log.step(step + 1, {m: loss.item() for m, loss in zip(order, losses, strict=True)}, rate, batch)
    for modality, found in runs.items():
        print(f"{modality}, unseen captions: {describe(model, modality, found, held_out[modality], conditions)}")
    projectors = {f"output_projectors.{name}": value for name, value in model.output_projectors.named_parameters()}
    checkpoint.write(model, frozen | projectors, out, config.bits)


def teacher(model: NextGPT, modality: Modality) -> Modality | None:
    """Whose decoder says what runs of a modality are to become: its own, or one behind the same projector."""
    writes, decoders = model.config.writes, model.config.decoders
    shared = (other for other in decoders if writes.get(other) == writes.get(modality))
    return modality if modality in decoders else next(shared, None)


def read_runs(model: NextGPT, conversations: Sequence[Conversation], folder: Path) -> dict[Modality, Runs]:
    """The runs of all modalities that have a teacher; parts that are in `folder` are not read again."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for first in tqdm(range(0, len(conversations), _PART), desc="reading", unit="part"):
        path = folder / f"{first // _PART:04d}.pt"
        if not path.is_file():
            unfinished = path.with_suffix(".unfinished")
            torch.save(_read(model, conversations[first : first + _PART]), unfinished)
            unfinished.replace(path)
        parts.append(torch.load(path, weights_only=True))
    return {
        modality: Runs(
            torch.cat([part[modality][0] for part in parts if modality in part]),
            [caption for part in parts if modality in part for caption in part[modality][1]],
        )
        for modality in model.config.writes
        if teacher(model, modality) and any(modality in part for part in parts)
    }


def unseen(captions: Iterable[str]) -> list[int]:
    """The rows of a share of the captions, which training leaves out."""
    distinct = sorted(set(captions))
    random.Random(0).shuffle(distinct)
    left_out = set(distinct[: round(len(distinct) * HELD_OUT)])
    return [i for i, caption in enumerate(captions) if caption in left_out]


@torch.no_grad()
def describe(model: NextGPT, modality: Modality, runs: Runs, rows: Sequence[int], conditions: Conditions) -> str:
    """How near projected sentence vectors are to their captions', how often none is nearer, what is read alike."""
    if not rows:
        return "none were left out"
    captions, taught_by = [runs.captions[i] for i in rows], teacher(model, modality)
    made = model.project(modality, runs.states[rows].to(model.device))
    meant = conditions(taught_by, captions)
    alike = [f"{what} {n:.2f}" for what, n in model.decoder(taught_by).agreement(made, meant).items()]
    projected, target = made[:, 0], meant[:, 0]
    nearest = (F.normalize(projected, dim=-1) @ F.normalize(target, dim=-1).T).argmax(1).tolist()
    found = sum(captions[i] == caption for i, caption in zip(nearest, captions, strict=True)) / len(captions)
    cosine = F.cosine_similarity(projected, target, dim=-1).mean().item()
    said = f"cosine {cosine:.3f}, {found:.3f} found among {len(set(captions))}"
    return f"{said}; read alike: {', '.join(alike)}" if alike else said


@torch.inference_mode()
def _read(model: NextGPT, conversations: Sequence[Conversation]) -> dict[Modality, tuple[Tensor, list[str]]]:
    """Conversations of about the same length at once, so that little is padded."""
    found: dict[Modality, tuple[list[Tensor], list[str]]] = {}
    ordered = sorted(conversations, key=length)
    for first in range(0, len(ordered), _READ):
        for modality, (states, captions) in model.signal_states(ordered[first : first + _READ]).items():
            known = found.setdefault(modality, ([], []))
            known[0].append(states.half().cpu())
            known[1].extend(captions)
    return {modality: (torch.cat(states), captions) for modality, (states, captions) in found.items()}


def _order(runs: Runs, held_out: Sequence[int], batch: int) -> Iterator[list[int]]:
    """Endless batches, every run once a round."""
    left_out, generator = set(held_out), random.Random(0)
    rows = [i for i in range(len(runs.captions)) if i not in left_out]
    while True:
        generator.shuffle(rows)
        for first in range(0, max(1, len(rows) - batch + 1), batch):
            yield rows[first : first + batch]
