"""Converts the released weights (7b_tiva_v0) into a checkpoint folder of ours, once.

The release is one pickle of everything that was trained: the input projector that all modalities share, three output
projectors, LoRA, and the whole embedding and head, beside a tokenizer's files. Each key is used once and each shape
checked. The frozen base, Vicuna-7B v0, is not converted; it is recognised, for on any other base the weights answer
word salad.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from nextgpt_core.checkpoint import TRAINED
from nextgpt_core.config import Config, Source, load_config, save_config
from nextgpt_core.projectors import InputProjector, OutputProjector
from nextgpt_core.sentencepiece_model import read_llama_tokenizer
from nextgpt_core.storage import save_tensors
from nextgpt_core.vicuna_delta import apply_delta
from nextgpt_core.weight_folder import WeightFolder

PROFILE = Path(__file__).parent.parent / "checkpoints" / "7b"
MARKERS = ("<Img>", "</Img>")

_OUTPUT_PROJECTORS = {
    "image": "gen_text_hidden_fcs.0.",
    "video": "gen_text_hidden_fcs_video.0.",
    "audio": "gen_text_hidden_fcs_audio.0.",
}
_RENAMED = {"input": "fc", "queries": "query_embs", "transformer": "tfm", "output": "model"}
_BASE = "llama_model.base_model.model."
_TABLES = {"model.embed_tokens.weight": "signal_embedding", "lm_head.weight": "signal_head"}


class ConversionError(ValueError):
    """The folder cannot be converted; the message says what was found, what was expected and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True)
    official = kinds.add_parser("official", help="the released NExT-GPT weights, 7b_tiva_v0")
    official.add_argument("folder", type=Path, help="holds pytorch_model.pt, added_tokens.json and tokenizer.model")
    official.add_argument("--base", type=Path, required=True, help="Vicuna-7B v0, as a Hugging Face folder")
    official.add_argument("--out", type=Path, required=True, help="the checkpoint folder to write")
    vicuna = kinds.add_parser("vicuna", help="Vicuna-7B v0 from LLaMA-7B and the published vicuna-7b-delta-v0")
    vicuna.add_argument("llama", type=Path, help="LLaMA-7B, as a Hugging Face folder")
    vicuna.add_argument("delta", type=Path, help="vicuna-7b-delta-v0, as a Hugging Face folder")
    vicuna.add_argument("--out", type=Path, required=True, help="the folder to write; 13 GB")


def run(args: argparse.Namespace) -> int:
    try:
        if args.kind == "vicuna":
            apply_delta(args.llama, args.delta, args.out)
            print(f"Wrote {args.out}. Name it as --base of: python -m nextgpt_core convert official")
        else:
            convert(args.folder, args.base, args.out)
            print(f"Wrote {args.out}. Start it with: python -m nextgpt_core chat --checkpoint {args.out}")
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def convert(folder: Path, base: Path, out: Path, profile: Path = PROFILE) -> None:
    """Writes config.json (that of `profile`, with `base` as its language model), trained.safetensors and tokenizer/."""
    for name in ("pytorch_model.pt", "added_tokens.json", "tokenizer.model"):
        if not (folder / name).is_file():
            raise ConversionError(
                f"{folder} has no {name}. Expected are the files of the release 7b_tiva_v0, as they were published."
            )
    config = load_config(profile)
    markers = special_markers(json.loads((folder / "added_tokens.json").read_text(encoding="utf-8")), config)
    sizes = _read_json(base / "config.json", "The base model's folder needs its config.json.")
    state = torch.load(folder / "pytorch_model.pt", map_location="cpu", weights_only=True, mmap=True)
    tensors = to_our_names(state, config, sizes["hidden_size"], sizes["num_hidden_layers"])
    check_base(base, sizes, tensors["language_model.base.model.embed_tokens.weight"])
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer").mkdir(exist_ok=True)
    read_llama_tokenizer(folder / "tokenizer.model", markers).save(str(out / "tokenizer" / "tokenizer.json"))
    save_tensors(tensors, out / TRAINED)
    source = Source(uris=(f"file:{base.resolve()}",))
    save_config(
        dataclasses.replace(config, language_model=dataclasses.replace(config.language_model, source=source)), out
    )


def special_markers(added: dict[str, int], config: Config) -> tuple[str, ...]:
    """Which markers around media are tokens of their own: both, or none.

    Until November 2023 the official code registered them under the names "{'<Img>'}" and "{'</Img>'}", as Python
    prints a set. Under such names the text "<Img>" was never found: training saw it as ordinary subwords, and the two
    rows were never fed. Which of the two a release is, its added_tokens.json tells.
    """
    names = [name for name, _ in sorted(added.items(), key=lambda item: item[1])]
    signals = [f"[{s.name}{i}]" for s in config.signals.values() for i in range(s.count)]
    if names[len(MARKERS) :] != signals:
        raise ConversionError(
            f"added_tokens.json lists {len(names)} tokens, expected two markers and then {', '.join(signals[:2])} … "
            f"{signals[-1]}. Releases with other signal tokens cannot be converted."
        )
    first = tuple(names[: len(MARKERS)])
    if first == MARKERS:
        return MARKERS
    if first == tuple(str({marker}) for marker in MARKERS):
        return ()
    raise ConversionError(f"added_tokens.json begins with {first[0]} and {first[1]}, expected <Img> and </Img>.")


def to_our_names(state: dict[str, Tensor], config: Config, width: int, layers: int) -> dict[str, Tensor]:
    """The release's tensors as trained.safetensors names them; raises ConversionError unless they fit exactly."""
    # The stages' own files name the two tables without LoRA's wrapping.
    state = {key.replace("llama_model.", _BASE, 1) if _is_bare_table(key) else key: t for key, t in state.items()}
    if "llama_proj.weight" not in state:
        raise ConversionError("pytorch_model.pt has no llama_proj.weight, so it is not a NExT-GPT release.")
    expected = _expected(config, width, layers, features=state["llama_proj.weight"].shape[1])
    faults = [f"{key} is missing" for key in expected if key not in state]
    faults += [f"{key} is not expected" for key in state if key not in expected]
    faults += [
        f"{key} is {tuple(state[key].shape)}, expected {shape}"
        for key, (_, shape) in expected.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ConversionError(f"pytorch_model.pt does not fit: {'; '.join(faults[:5])}{more}.")
    tensors = {ours: state[key].detach() for key, (ours, _) in expected.items()}
    for table, signals in _TABLES.items():
        rows = tensors.pop(f"language_model.base.{table}")
        vocabulary = config.language_model.vocabulary
        tensors[f"language_model.base.{table}"] = rows[:vocabulary]
        tensors[f"language_model.{signals}"] = rows[vocabulary:]
    return tensors


def _is_bare_table(key: str) -> bool:
    return key in {f"llama_model.{table}" for table in _TABLES}


def _expected(config: Config, width: int, layers: int, features: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """By the release's names: our name and the shape."""
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}

    def add(theirs: str, ours: str, shape: Iterable[int]) -> None:
        shapes[theirs] = (ours, tuple(shape))

    with torch.device("meta"):
        shared = config.reads["image"]  # the release has one input projector for all modalities
        for key, value in InputProjector(features, width).linear.named_parameters():
            add(f"llama_proj.{key}", f"input_projectors.{shared}.linear.{key}", value.shape)
        for modality, prefix in _OUTPUT_PROJECTORS.items():
            name = config.writes[modality]
            projector = OutputProjector(width, config.signals[modality].count, config.output_projectors[name])
            for key, value in projector.named_parameters():
                part, _, rest = key.partition(".")
                theirs = ".".join(filter(None, (_RENAMED[part], rest)))
                add(prefix + theirs, f"output_projectors.{name}.{key}", value.shape)
    lora = config.language_model.lora
    for layer in range(layers):
        for target in lora.targets:
            for half, shape in (("lora_A", (lora.rank, width)), ("lora_B", (width, lora.rank))):
                key = f"model.layers.{layer}.self_attn.{target}.{half}.default.weight"
                add(_BASE + key, f"language_model.base.{key}", shape)
    rows = config.language_model.vocabulary + sum(signal.count for signal in config.signals.values())
    for table in _TABLES:
        add(_BASE + table, f"language_model.base.{table}", (rows, width))
    return shapes


def check_base(base: Path, sizes: dict[str, Any], trained: Tensor) -> None:
    """Raises ConversionError unless `base` is Vicuna-7B v0. `trained`: (n, width), the release's own embedding.

    Vicuna v0 alone has a 32001st row, for padding. And training moved most rows but little, so rows of the right base
    still point where the release's do, while those of LLaMA-2, trained apart, do not (cosines of 0.02 and less).
    """
    advice = (
        "The release needs Vicuna-7B v0: LLaMA-7B with the published vicuna-7b-delta-v0 applied, "
        "which `python -m nextgpt_core convert vicuna` does."
    )
    rows = WeightFolder(base)["model.embed_tokens.weight"]
    if rows.shape[1] != trained.shape[1]:
        raise ConversionError(f"{base} is {rows.shape[1]} wide, the release {trained.shape[1]}. {advice}")
    words = min(len(rows), len(trained))
    chosen = slice(0, words, max(1, words // 2000))  # two thousand of them tell enough
    alike = cosine_similarity(rows[chosen].float(), trained[chosen].float(), dim=1).median().item()
    if alike < 0.2:
        raise ConversionError(
            f"{base} is not from the same family as the release: their embeddings point apart (cosine {alike:.2f}), "
            f"as those of LLaMA-2 and Vicuna v1.5 do. {advice}"
        )
    if len(rows) == len(trained) - 2:
        raise ConversionError(
            f"{base} has {len(rows)} tokens, as LLaMA itself and Vicuna v1.1 and v1.3 have; Vicuna v0 has one more. "
            f"{advice}"
        )


def _read_json(path: Path, hint: str = "") -> dict[str, Any]:
    if not path.is_file():
        raise ConversionError(f"{path} is missing. {hint}")
    return json.loads(path.read_text(encoding="utf-8"))
