"""The training loop: batches in, a checkpoint folder out; resumed, it goes on as if never stopped.

accelerate owns devices, processes and precision; a stage says what is trained, `terms` what the loss is made of. The
loop keeps its state (optimizer, step, trained weights in float32) beside the log in `out`, and writes a finished
checkpoint at the end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from nextgpt_core import checkpoint
from nextgpt_core.model import NextGPT
from nextgpt_core.training.data import Blend, Conversation
from nextgpt_core.training.log import TrainingLog
from nextgpt_core.training.stages import Stage, set_trainable
from nextgpt_core.training.terms import Terms


@dataclass(frozen=True)
class LoopConfig:
    steps: int
    warmup: int = 20
    accumulate: int = 1
    clip: float = 1.0
    weight_decay: float = 0.0
    save_minutes: float = 5.0
    log_every: int = 10
    bits: int = 16  # of the finished checkpoint's weights


def train(model: NextGPT, stage: Stage, blend: Blend, config: LoopConfig, out: Path) -> None:
    """Trains in place and saves to `out`; when `out` holds a state of the same run, goes on from there.

    Raises ValueError for a batch too small to give every process a part.
    """
    if model.device.type == "cpu":
        model.language_model.base.set_attn_implementation("eager")  # the fused kernel's backward pass is slower here
    accelerator = Accelerator(
        gradient_accumulation_steps=config.accumulate,
        mixed_precision="bf16" if model.language_model.base.dtype == torch.bfloat16 else "no",
        # A batch without a modality leaves that one's projectors unused.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if blend.batch_size < accelerator.num_processes:
        raise ValueError(f"A batch of {blend.batch_size} is too small for {accelerator.num_processes} processes.")
    optimizer = torch.optim.AdamW(
        set_trainable(model, stage), betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
    )
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    state_path = out / "training_state.pt"
    done = _restore(state_path, model, optimizer)
    terms_of = Terms(model, stage, accelerator)
    log = TrainingLog(out, config.steps, config.log_every, done) if accelerator.is_main_process else None
    batches = _shared(blend.batches(done * config.accumulate), accelerator)
    saved = time.monotonic()
    wrapped.train()
    for step in range(done, config.steps):
        rate = schedule(step, config)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate
        for _ in range(config.accumulate):
            batch = next(batches)
            with accelerator.accumulate(wrapped):
                terms = terms_of(wrapped(batch), batch)
                accelerator.backward(sum(stage.losses[name] * value for name, value in terms.items()))
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], config.clip)
                optimizer.step()
                optimizer.zero_grad()
        values = {name: accelerator.reduce(value.detach(), "mean").item() for name, value in terms.items()}
        if log:
            log.step(step + 1, values, rate, blend.batch_size * config.accumulate)
        if time.monotonic() - saved > 60 * config.save_minutes and accelerator.is_main_process:
            _save_state(state_path, model, optimizer, step + 1)
            saved = time.monotonic()
    if accelerator.is_main_process:
        _save_state(state_path, model, optimizer, config.steps)
        checkpoint.save(model, out, config.bits)
    accelerator.wait_for_everyone()


def _shared(batches: Iterator[list[Conversation]], accelerator: Accelerator) -> Iterator[list[Conversation]]:
    """Each process takes its slice of every batch, so that the global batch does not depend on their number."""
    for batch in batches:
        yield batch[accelerator.process_index :: accelerator.num_processes]


def schedule(step: int, config: LoopConfig) -> float:
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
