"""A decoder on disk: the folder layout of diffusers, read into components and written from them.

    model_index.json               component name → [library, class]; [null, null] for what is left out
    unet/ vae/ vocoder/ …          config.json and weights each; scheduler/, tokenizer/ … as their library saves them
    unconditional.safetensors      `prompt_embeds` (1, length, width): what guidance steers away from

A component may share weights with another decoder's: `_shared` in the index names that component's folder, relative to
this one, and the sha256 of its weights. What a folder holds itself comes on top; a component that shares all has none.

Weights are stock safetensors (or .bin), or ours in few bits (see `storage`), which are known by their scales.
Classes come from diffusers, transformers or `nextgpt_core.decoders`. What the components do is left to the decoders.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from nextgpt_core.storage import SCALE, SHAPE, Bits, load_tensors, save_tensors

Network = TypeVar("Network")
_OWN = "nextgpt_core.decoders."
_UNCONDITIONAL = "unconditional.safetensors"
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "model.safetensors")


class DecoderError(ValueError):
    """A decoder's folder or settings cannot be used; the message names the place and what was expected."""


def component_names(folder: Path) -> list[str]:
    """The components that the folder holds; what its index sets to null is not among them."""
    return [name for name, (library, _) in _index(folder).items() if library]


def load_component(folder: Path, name: str) -> Any:
    """One component, weights in float32 on the CPU, frozen and in eval mode."""
    library, class_name = _index(folder)[name]
    kind = _class(library, class_name, folder)
    part = folder / name
    if not issubclass(kind, nn.Module):
        return kind.from_pretrained(part)
    if (shared := _shared_weights(folder, name)) is not None:
        own = part / shared.name
        component = _load_stored(kind, _place(folder, name), shared, *([own] if own.is_file() else []))
    elif (ours := next((part / file for file in _WEIGHTS if (part / file).is_file()), None)) and _in_few_bits(ours):
        component = _load_stored(kind, part, ours)
    elif library == "transformers":
        with _no_progress_bars():
            component = kind.from_pretrained(part, dtype=torch.float32)
    else:
        component = kind.from_pretrained(part, torch_dtype=torch.float32)
    return component.eval().requires_grad_(False)


def component_config(folder: Path, name: str) -> dict[str, Any]:
    """The config of one network, by which it is built."""
    return json.loads((_place(folder, name) / "config.json").read_text(encoding="utf-8"))


def load_unconditional(folder: Path) -> Tensor | None:
    """The stored unconditional condition (1, length, width) in float32, or None where the folder has none."""
    path = folder / _UNCONDITIONAL
    if not path.is_file():
        return None
    stored = load_tensors(path)
    if set(stored) != {"prompt_embeds"} or stored["prompt_embeds"].ndim != 3:
        found = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in stored.items())
        raise DecoderError(f"{path} holds {found}; expected prompt_embeds (1, length, width).")
    return stored["prompt_embeds"]


def component_sizes(folder: Path) -> dict[str, int]:
    """Parameters of each network, each one once wherever it lies; only the headers of weights are read.

    Raises DecoderError where the weights that a component shares are not there.
    """
    sizes = {}
    for name in component_names(folder):
        entry, own = _shared_entry(folder, name), sorted((folder / name).glob("*.safetensors"))
        files = [*([_shared_file(folder, name, entry)] if entry else []), *own]
        tensors: dict[str, int] = {}
        for file in files or sorted((folder / name).glob("*.bin")):
            tensors |= _tensor_sizes(file)
        if tensors:
            sizes[name] = sum(tensors.values())
    return sizes


def save_folder(
    folder: Path,
    pipeline: str,
    components: Mapping[str, Any],
    unconditional: Tensor | None,
    bits: int | Mapping[str, Bits] = 8,
    shared: Mapping[str, Path] | None = None,
) -> None:
    """Writes a decoder: `components` by name, None for those left out, and networks in `bits` bits a weight.

    `bits` may be said by component, and is 8 for those that are not named. `shared` names components' folders in
    another decoder of ours: tensors that equal theirs are not written again.
    """
    folder = Path(folder)
    index: dict[str, Any] = {"_class_name": pipeline}
    for name, component in components.items():
        if component is None:
            index[name] = [None, None]
            continue
        its_bits = bits if isinstance(bits, int) else bits.get(name, 8)
        module = type(component).__module__
        index[name] = [module if module.startswith(_OWN) else module.split(".")[0], type(component).__name__]
        if shared and name in shared:
            index.setdefault("_shared", {})[name] = _save_beside(folder / name, component, shared[name], its_bits)
        elif isinstance(component, nn.Module):
            (folder / name).mkdir(parents=True, exist_ok=True)
            is_transformers = index[name][0] == "transformers"
            component.config.save_pretrained(folder / name) if is_transformers else component.save_config(folder / name)
            save_tensors(component.state_dict(), folder / name / _WEIGHTS[is_transformers], its_bits)
        else:
            component.save_pretrained(folder / name)
    if unconditional is not None:
        save_tensors({"prompt_embeds": unconditional}, folder / _UNCONDITIONAL)
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def save_network(network: Any, folder: Path) -> None:
    """Writes one network of diffusers' kind in full precision, as training exports it."""
    network.save_config(folder)
    save_tensors(network.state_dict(), folder / _WEIGHTS[0], bits=32)


def load_network(kind: type[Network], folder: Path) -> Network:
    """Reads what `save_network` wrote, or a component of a decoder, open to training; in eval mode."""
    network = kind.from_config(kind.load_config(folder))
    network.load_state_dict(load_tensors(folder / _WEIGHTS[0]))
    return network.eval()


def _save_beside(part: Path, component: nn.Module, other: Path, bits: Bits) -> dict[str, str]:
    """Writes what differs from the weights in `other`, and returns the entry that says where the rest is."""
    weights = other / _WEIGHTS[0]
    known = load_tensors(weights)
    state = component.state_dict()
    own = {
        name: value for name, value in state.items() if name not in known or not torch.equal(value.cpu(), known[name])
    }
    if own:
        part.mkdir(parents=True, exist_ok=True)
        component.save_config(part)
        save_tensors(own, part / weights.name, bits)
    return {"folder": os.path.relpath(other, part.parent).replace(os.sep, "/"), "sha256": _digest(weights)}


def _shared_weights(folder: Path, name: str) -> Path | None:
    """The file of another decoder that holds the component's shared weights, checked."""
    if (entry := _shared_entry(folder, name)) is None:
        return None
    path = _shared_file(folder, name, entry)
    if _digest(path) != entry["sha256"]:
        raise DecoderError(
            f"{path} is not the file that {folder} was trained with. Put that one back, or train the decoder that "
            "shares it anew."
        )
    return path


def _place(folder: Path, name: str) -> Path:
    """Where the component's config.json lies: one that shares all its weights has none of its own."""
    entry = _shared_entry(folder, name)
    return folder / entry["folder"] if entry and not (folder / name / "config.json").is_file() else folder / name


def _shared_entry(folder: Path, name: str) -> dict[str, str] | None:
    return json.loads((folder / "model_index.json").read_text(encoding="utf-8")).get("_shared", {}).get(name)


def _shared_file(folder: Path, name: str, entry: Mapping[str, str]) -> Path:
    path = folder / entry["folder"] / _WEIGHTS[0]
    if not path.is_file():
        raise DecoderError(f"{folder} shares its {name} with {path.parent}, where there is no {path.name}.")
    return path


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _index(folder: Path) -> dict[str, tuple[str | None, str | None]]:
    path = folder / "model_index.json"
    if not path.is_file():
        raise DecoderError(f"{folder} has no model_index.json. A decoder is a folder as diffusers saves it.")
    values = json.loads(path.read_text(encoding="utf-8"))
    return {name: tuple(value) for name, value in values.items() if isinstance(value, list) and name[0] != "_"}


def _class(library: str, name: str, folder: Path) -> type:
    """Only libraries that hold components are looked into, so that a folder cannot have any other code imported."""
    if library in ("diffusers", "transformers") or library.startswith(_OWN):
        module = library
    elif re.fullmatch("[a-z_]+", library):  # an entry such as ["stable_diffusion", "StableDiffusionSafetyChecker"]
        module = f"diffusers.pipelines.{library}"
    else:
        raise DecoderError(f"{folder}/model_index.json names the library {library!r}, not diffusers or transformers.")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DecoderError(f"{folder}/model_index.json names {library} {name}, which is not there: {error}.") from error


def _in_few_bits(path: Path) -> bool:
    with safe_open(path, framework="pt") as file:
        return any(name.endswith((SCALE, SHAPE)) for name in file.keys())  # noqa: SIM118 (not a dict)


def _tensor_sizes(path: Path) -> dict[str, int]:
    """Tensors' names and how many values each has, read from the headers; their scales do not count."""
    if path.suffix == ".bin":
        return {name: value.numel() for name, value in torch.load(path, "meta", weights_only=True, mmap=True).items()}
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        shapes = {
            name: file.get_tensor(name + SHAPE).tolist() if name + SHAPE in names else file.get_slice(name).get_shape()
            for name in {name.removesuffix(SCALE).removesuffix(SHAPE) for name in names}
        }
    return {name: math.prod(shape) for name, shape in shapes.items()}


def _load_stored(kind: type, part: Path, *paths: Path) -> nn.Module:
    """A network from our own storage, without first filling it with random numbers; later files come on top."""
    with init_empty_weights(include_buffers=False):
        if hasattr(kind, "load_config"):  # diffusers and our own classes
            component = kind.from_config(kind.load_config(part))
        else:
            component = kind(kind.config_class.from_pretrained(part))
    try:
        state = {name: value for path in paths for name, value in load_tensors(path).items()}
        component.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise DecoderError(f"{paths[-1]} does not fit the config.json beside it. {error}") from error
    return component


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
