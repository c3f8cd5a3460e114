"""One loop for everything that the pocket decoders train: autoencoders and denoisers, on a CPU or a GPU.

It knows a `Task` (a network, a loss of a batch of row numbers, a sample sheet, an export) and not what it is about.
A run lives in a folder: `state/` to resume from, `log.jsonl` with the loss against wall time, `samples/`, `export/`.
Resumed runs equal unbroken ones to the bit on one device: the order of rows follows from the step alone.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from nextgpt_core.hardware import pick_device, pick_dtype


class Task(Protocol):
    """What is trained. `rows` is how many examples there are; a batch is a tensor of their numbers."""

    network: nn.Module
    rows: int

    def loss(self, network: nn.Module, rows: Tensor, device: torch.device) -> Tensor: ...
    def draw_samples(self, network: nn.Module, path: Path) -> None: ...  # a picture file
    def export(self, network: nn.Module, folder: Path) -> None: ...


@dataclass(frozen=True)
class Plan:
    """How long and how fast: until `steps` are made or `minutes` are over, whichever comes first.

    The learning rate rises over `warmup` steps, stays, and falls to 0 in the last quarter. Minutes count over all
    sittings of a run; only a plan without them gives the same network on a faster machine.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 100
    average: float = 0.999
    weight_decay: float = 0.01
    precision: str | None = None  # of accelerate's; none is whichever the hardware is fast in
    minutes: float = math.inf
    save_minutes: float = 8.0
    seed: int = 0


class _Progress:
    """What else a resumed run must know."""

    def __init__(self) -> None:
        self.step, self.seconds = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def train(task: Task, folder: Path, plan: Plan) -> nn.Module:
    """Trains until `plan.steps`, resuming from `folder` if it holds a state; returns the averaged network."""
    fast = "no" if pick_dtype(pick_device("auto")) == torch.float32 else "bf16"
    accelerator = Accelerator(mixed_precision=plan.precision or fast)
    torch.manual_seed(plan.seed)
    decay = {True: [], False: []}
    for parameter in filter(lambda p: p.requires_grad, task.network.parameters()):
        decay[parameter.ndim > 1].append(parameter)
    groups = [{"params": decay[True]}, {"params": decay[False], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, plan.learning_rate, (0.9, 0.99), weight_decay=plan.weight_decay, fused=True)
    network, optimizer = accelerator.prepare(task.network, optimizer)
    average = EMAModel(task.network.parameters(), decay=plan.average, use_ema_warmup=True, power=0.75, foreach=True)
    average.to(accelerator.device)
    progress = _Progress()
    accelerator.register_for_checkpointing(progress, average)
    if (folder / "state").is_dir():
        accelerator.load_state(str(folder / "state"))
    folder.mkdir(parents=True, exist_ok=True)

    began = saved = time.monotonic()
    before, losses = progress.seconds, []
    while (done := max(progress.step / plan.steps, progress.seconds / 60 / plan.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * min(1.0, (progress.step + 1) / plan.warmup, 4 * (1 - done))
        rows = batch_rows(progress.step, plan.batch, task.rows, plan.seed)
        with accelerator.autocast():
            loss = task.loss(network, rows, accelerator.device)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(task.network.parameters())
        progress.step += 1
        progress.seconds = before + time.monotonic() - began
        losses.append(loss.item())
        if progress.step % 25 == 0:
            line = {"step": progress.step, "seconds": round(progress.seconds, 1), "loss": round(fmean(losses), 5)}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            losses.clear()
        if time.monotonic() - saved > 60 * plan.save_minutes:
            _save(accelerator, task, average, progress.step, folder)
            saved = time.monotonic()
    _save(accelerator, task, average, progress.step, folder)
    average.copy_to(task.network.parameters())
    return task.network.eval()


def batch_rows(step: int, batch: int, rows: int, seed: int) -> Tensor:
    """The row numbers of a step, (batch,): each epoch is another shuffle, and which one follows from the step alone."""
    first = step * batch
    numbers: list[Tensor] = []
    while sum(map(len, numbers)) < batch:
        epoch, offset = divmod(first + sum(map(len, numbers)), rows)
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        numbers.append(order[offset:])
    return torch.cat(numbers)[:batch]


def _save(accelerator: Accelerator, task: Task, average: EMAModel, step: int, folder: Path) -> None:
    """The state to resume from, replaced whole; a sample sheet and an export of the averaged weights."""
    new, old = folder / "state.new", folder / "state"
    shutil.rmtree(new, ignore_errors=True)
    accelerator.save_state(str(new))
    shutil.rmtree(old, ignore_errors=True)
    new.rename(old)
    random_state = torch.get_rng_state()
    average.store(task.network.parameters())
    average.copy_to(task.network.parameters())
    task.network.eval()
    (folder / "samples").mkdir(exist_ok=True)
    task.draw_samples(task.network, folder / "samples" / f"{step:06d}.jpg")
    task.export(task.network, folder / "export")
    task.network.train()
    average.restore(task.network.parameters())
    torch.set_rng_state(random_state)
