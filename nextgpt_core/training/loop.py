"""The training loop: batches in, a checkpoint folder out; resumed, it goes on as if never stopped.

accelerate owns devices, processes and precision; a stage says what is trained. The loop keeps its state (optimizer,
step, trained weights in float32) beside the log in `out`, and writes a finished checkpoint at the end.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from nextgpt_core import checkpoint
from nextgpt_core.conversation import Modality
from nextgpt_core.model import Losses, NextGPT
from nextgpt_core.training.data import Blend, Conversation
from nextgpt_core.training.losses import alignment_loss
from nextgpt_core.training.stages import Stage, set_trainable


@dataclass(frozen=True)
class LoopConfig:
    steps: int
    warmup: int = 20
    accumulate: int = 1
    clip: float = 1.0
    weight_decay: float = 0.0
    save_minutes: float = 5.0
    log_every: int = 10


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


def train(model: NextGPT, stage: Stage, blend: Blend, config: LoopConfig, out: Path) -> None:
    """Trains in place and saves to `out`; when `out` holds a state of the same run, goes on from there."""
    if model.device.type == "cpu":
        model.language_model.base.set_attn_implementation("eager")  # the fused kernel's backward pass is slower here
    accelerator = Accelerator(
        gradient_accumulation_steps=config.accumulate,
        mixed_precision="bf16" if model.language_model.base.dtype == torch.bfloat16 else "no",
    )
    optimizer = torch.optim.AdamW(
        set_trainable(model, stage), betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
    )
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    state_path = out / "training_state.pt"
    done = _restore(state_path, model, optimizer)
    conditions = Conditions(model)
    log = _Log(out, config, accelerator.is_main_process)
    batches = _shared(blend.batches(done * config.accumulate), accelerator)
    saved = time.monotonic()
    wrapped.train()
    for step in range(done, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * _schedule(step, config)
        for _ in range(config.accumulate):
            batch = next(batches)
            with accelerator.accumulate(wrapped):
                named = named_losses(wrapped(batch), stage, conditions)
                accelerator.backward(sum(stage.losses[name] * value for name, value in named.items()))
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], config.clip)
                optimizer.step()
                optimizer.zero_grad()
        log.step(step + 1, named, len(batch) * config.accumulate * accelerator.num_processes)
        if time.monotonic() - saved > 60 * config.save_minutes and accelerator.is_main_process:
            _save_state(state_path, model, optimizer, step + 1)
            saved = time.monotonic()
    if accelerator.is_main_process:
        _save_state(state_path, model, optimizer, config.steps)
        checkpoint.save(model, out)


def named_losses(losses: Losses, stage: Stage, conditions: Conditions) -> dict[str, Tensor]:
    """The stage's losses by name; captions of modalities without a decoder have no target and bear none."""
    named = {"text": losses.text}
    if "caption" in stage.losses:
        terms = [
            alignment_loss(projected, conditions(modality, captions), captions)
            for modality, (projected, captions) in losses.projected.items()
            if len(captions) > 1
        ]
        if terms:
            named["caption"] = torch.stack(terms).mean()
    return named


def _shared(batches: Iterator[list[Conversation]], accelerator: Accelerator) -> Iterator[list[Conversation]]:
    """Each process takes its slice of every batch, so that the global batch does not depend on their number."""
    for batch in batches:
        yield batch[accelerator.process_index :: accelerator.num_processes]


def _schedule(step: int, config: LoopConfig) -> float:
    """Linear warm-up, then a cosine down to nothing."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    return 0.5 * (1 + math.cos(math.pi * (step - config.warmup) / max(config.steps - config.warmup, 1)))


def _save_state(path: Path, model: NextGPT, optimizer: torch.optim.Optimizer, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trained = {name: value.detach().cpu() for name, value in checkpoint.trained_tensors(model).items()}
    unfinished = path.with_suffix(".unfinished")
    rng = torch.get_rng_state()
    torch.save({"step": step, "trained": trained, "optimizer": optimizer.state_dict(), "rng": rng}, unfinished)
    unfinished.replace(path)


def _restore(path: Path, model: NextGPT, optimizer: torch.optim.Optimizer) -> int:
    if not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    checkpoint.load_trained(model, state["trained"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    return state["step"]


class _Log:
    """A line of figures now and then, on the terminal and in `log.jsonl`."""

    def __init__(self, out: Path, config: LoopConfig, main: bool) -> None:
        self._path, self._config, self._main = out / "log.jsonl", config, main
        self._sums: dict[str, list[float]] = {}
        self._samples, self._began = 0, time.monotonic()
        out.mkdir(parents=True, exist_ok=True)

    def step(self, step: int, losses: dict[str, Tensor], samples: int) -> None:
        for name, value in losses.items():
            self._sums.setdefault(name, []).append(value.item())
        self._samples += samples
        if step % self._config.log_every or not self._main:
            return
        seconds = time.monotonic() - self._began
        figures = {name: round(sum(values) / len(values), 4) for name, values in self._sums.items()}
        rate = self._samples / seconds
        left = (self._config.steps - step) * seconds / self._config.log_every
        line = {"step": step, **figures, "samples_per_second": round(rate, 2), "time": round(time.time(), 1)}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        losses_text = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(f"{step}/{self._config.steps}  {losses_text}  {rate:.1f} samples/s  {left / 60:.0f} min left", flush=True)
        self._sums, self._samples, self._began = {}, 0, time.monotonic()
