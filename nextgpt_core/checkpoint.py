"""Checkpoint folders: `config.json` beside `trained.safetensors`, which holds what was trained and nothing frozen.

Loading is strict both ways: a missing, extra or misshapen key is an error that names it.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core import weights
from nextgpt_core.base_model import load_base
from nextgpt_core.config import Config, load_config, save_config
from nextgpt_core.hardware import pick_device, pick_dtype
from nextgpt_core.language_model import LanguageModel
from nextgpt_core.memory import Plan, plan_for_device
from nextgpt_core.model import NextGPT
from nextgpt_core.storage import load_tensors, save_tensors

logger = logging.getLogger(__name__)
TRAINED = "trained.safetensors"
TABLES = ("model.embed_tokens.weight", "lm_head.weight")
POCKET = Path(__file__).parent.parent / "checkpoints" / "pocket"


class CheckpointError(ValueError):
    """The trained weights do not fit the config; the message names the keys."""


def load(folder: Path | str = POCKET, device: str = "auto", training: bool = False) -> NextGPT:
    """The model of a checkpoint folder, ready to chat; with `training` the LoRA stays apart instead of merged."""
    folder, device = Path(folder), pick_device(device)
    config = load_config(folder)
    plan = None if training else plan_for_device(config, folder, device)
    model = build(folder, config, device, plan, chat=not training)
    path = folder / TRAINED
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {TRAINED}. Train it first: python -m nextgpt_core train --help.")
    load_trained(model, load_tensors(path))
    if not training:
        if plan is None or plan.tier.language_bits == 16:  # sums in fewer bits would lose what the adapter adds
            model.language_model.merge_lora()
            model.language_model.make_lean(config.language_model.cpu_bits)
        model.requires_grad_(False)
    return model.train(training)


def build(folder: Path, config: Config, device: str = "auto", plan: Plan | None = None, chat: bool = False) -> NextGPT:
    """A model with frozen weights loaded and trained ones fresh: where training starts from nothing.

    Without a memory plan everything is loaded in full and stays on the device. With `chat` the trained weights are to
    follow and nothing is to be trained, which needs less of everything.
    """
    device = pick_device(device)
    language = config.language_model
    path = weights.resolve(language.source, folder)
    words = weights.resolve(language.tokenizer, folder) if language.tokenizer else None
    bits = plan.tier.language_bits if plan else 16
    base, tokenizer = load_base(
        path, weights.cache_folder(), pick_dtype(device), words, language.vocabulary, bits, device, chat
    )
    if bits == 16:
        base.to(device)
    signal_count = sum(signal.count for signal in config.signals.values())
    language_model = LanguageModel(base, signal_count, config.language_model.lora).to(device)
    model = NextGPT(config, folder, language_model, tokenizer, plan)
    model.input_projectors.to(device)
    model.output_projectors.to(device)
    return model


def save(model: NextGPT, folder: Path, bits: int = 16) -> None:
    """Writes the config, what was trained, in `bits` a weight: 16, 8 or 6, and the decoders that lie beside it."""
    write(model, trained_tensors(model), folder, bits)


def write(model: NextGPT, trained: dict[str, Tensor], folder: Path, bits: int = 16) -> None:
    """The same with other values for the names of `trained_tensors`.

    What the config takes from the model's own folder is copied unless it is there, so that a checkpoint is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_config(model.config, folder)
    save_tensors(trained, folder / TRAINED, bits=bits)
    for part in weights.own_parts(model.config):
        there, here = folder / part, model.folder / part
        if here.is_dir() and not there.exists():
            shutil.copytree(here, there)
        elif here.is_file() and not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here, there)


def trained_tensors(model: NextGPT) -> dict[str, Tensor]:
    """What a checkpoint holds: LoRA, signal rows and projectors, by their names in the model."""
    language_model = model.language_model
    tensors: dict[str, Tensor] = {
        "language_model.signal_embedding": language_model.signal_embedding,
        "language_model.signal_head": language_model.signal_head,
    }
    tensors |= {f"language_model.base.{name}": value for name, value in language_model.lora_parameters().items()}
    if model.config.language_model.vocabulary:
        tensors |= {f"language_model.base.{name}": language_model.base.get_parameter(name) for name in TABLES}
    for group in ("input_projectors", "output_projectors"):
        tensors |= {
            f"{group}.{name}": value for name, value in getattr(model, group).state_dict(keep_vars=True).items()
        }
    return tensors


def load_trained(model: NextGPT, found: dict[str, Tensor]) -> None:
    """Copies `found` into the model, every key used once, every shape equal; raises CheckpointError otherwise."""
    expected = trained_tensors(model)
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} is not expected" for name in found if name not in expected]
    faults += [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(f"{TRAINED} does not fit config.json: {'; '.join(faults[:5])}{more}.")
    with torch.no_grad():
        for name, value in expected.items():
            value.copy_(found[name])
