"""How large a profile's parts are, counted before anything is loaded or even fetched.

Parameters are counted from the headers of weights on disk; of what is not there yet the published counts are taken.
What the counts mean for a GPU is `memory`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from nextgpt_core import weights
from nextgpt_core.config import Config, DecoderConfig, EncoderConfig, Source
from nextgpt_core.conversation import Modality
from nextgpt_core.encoders import known_width
from nextgpt_core.projectors import InputProjector, OutputProjector

if TYPE_CHECKING:
    from transformers import LlamaConfig

# Parameters of the models that the 7b profile names, for planning before they are fetched.
PUBLISHED_ENCODERS = {"imagebind": 719_065_088}
PUBLISHED_DECODERS = {
    "stable-diffusion": {"unet": 859_520_964, "vae": 83_653_863, "safety_checker": 303_966_208},
    "text-to-video": {"unet": 1_411_233_860, "vae": 83_653_863},
    "audioldm": {"unet": 739_139_080, "vae": 55_376_873, "vocoder": 55_264_897},
}
PUBLISHED_SCALES = {"stable-diffusion": 8, "text-to-video": 8, "audioldm": 4}
_NOT_KEPT = "text_encoder"  # decoders drop it once the unconditional condition is known
_FEATURES = 1024  # ImageBind's


@dataclass(frozen=True)
class Sizes:
    """Parameters of each part. `linear` layers can be quantised, `tables` (embedding and head) never are; then the
    LoRA `adapter` stays apart. `kv_bytes`: of one token. `latent_scales`: how many pixels of a side, or spectra, are
    one place of a decoder's latents.
    """

    linear: int
    tables: int
    adapter: int
    kv_bytes: int
    width: int
    projectors: int
    encoders: int
    decoders: Mapping[Modality, Mapping[str, int]]
    latent_scales: Mapping[Modality, int]


def measure(config: Config, folder: Path) -> Sizes:
    """Counts parameters; `folder` is the checkpoint's. Nothing is fetched and no weight is read.

    Raises WeightsError for a part that is neither on this machine nor among the published ones.
    """
    language = _language_config(config, folder)
    vocabulary = config.language_model.vocabulary or language.vocab_size
    tables = (1 if language.tie_word_embeddings else 2) * vocabulary * language.hidden_size
    layers, lora = language.num_hidden_layers, config.language_model.lora
    linear = _linear_shapes(language)
    run_lengths = {name: config.signals[modality].count for modality, name in config.writes.items()}
    widths = {name: known_width(encoder.kind) for name, encoder in config.encoders.items()}
    with torch.device("meta"):
        projectors: list[nn.Module] = [
            InputProjector(
                widths.get(projector.encoder) or _FEATURES,
                language.hidden_size,
                projector.tokens,
                projector.recalls,
            )
            for projector in config.input_projectors.values()
        ]
        projectors += [
            OutputProjector(language.hidden_size, count, config.output_projectors[name])
            for name, count in run_lengths.items()
        ]
    return Sizes(
        linear=layers * sum(rows * columns for rows, columns in linear.values()),
        tables=tables,
        adapter=layers * lora.rank * sum(sum(linear[target]) for target in lora.targets),
        kv_bytes=2 * layers * (linear["k_proj"][0] + linear["v_proj"][0]),
        width=language.hidden_size,
        projectors=sum(value.numel() for module in projectors for value in module.parameters()),
        encoders=sum(_encoder_parameters(encoder, folder) for encoder in config.encoders.values()),
        decoders={modality: _decoder_parts(decoder, folder) for modality, decoder in config.decoders.items()},
        latent_scales={modality: _latent_scale(decoder, folder) for modality, decoder in config.decoders.items()},
    )


def _linear_shapes(language: LlamaConfig) -> dict[str, tuple[int, int]]:
    """Of one layer."""
    width, inner = language.hidden_size, language.intermediate_size
    head = width // language.num_attention_heads
    queries, keys = head * language.num_attention_heads, head * language.num_key_value_heads
    return {
        "q_proj": (queries, width),
        "k_proj": (keys, width),
        "v_proj": (keys, width),
        "o_proj": (width, queries),
        "gate_proj": (inner, width),
        "up_proj": (inner, width),
        "down_proj": (width, inner),
    }


def _language_config(config: Config, folder: Path) -> LlamaConfig:
    """That of the weights on disk; transformers' own defaults are the sizes of LLaMA-7B, the base of 7b."""
    from transformers import AutoConfig, LlamaConfig  # seconds, which a chat on a CPU never needs

    path = _on_disk(config.language_model.source, folder)
    if path is None:
        return LlamaConfig()
    if path.is_dir():
        return AutoConfig.from_pretrained(path, local_files_only=True)
    return AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)


def _encoder_parameters(encoder: EncoderConfig, folder: Path) -> int:
    if encoder.kind in PUBLISHED_ENCODERS:
        return PUBLISHED_ENCODERS[encoder.kind]
    return weights.resolve(encoder.source, folder, offline=True).stat().st_size // 4  # float32


def _decoder_parts(decoder: DecoderConfig, folder: Path) -> dict[str, int]:
    path = _on_disk(decoder.source, folder)
    if path is None:
        return PUBLISHED_DECODERS[decoder.kind]
    from nextgpt_core.decoders.folder import DecoderError, component_sizes  # which brings transformers along

    try:
        counts = component_sizes(path)
    except DecoderError as error:
        raise weights.WeightsError(str(error)) from error
    return {name: count for name, count in counts.items() if name != _NOT_KEPT}


def _latent_scale(decoder: DecoderConfig, folder: Path) -> int:
    """By the rule of diffusers' pipelines: each stage of an autoencoder after the first halves the sides."""
    path = _on_disk(decoder.source, folder)
    if path is None:
        return PUBLISHED_SCALES[decoder.kind]
    from nextgpt_core.decoders.folder import component_config

    return 2 ** (len(component_config(path, "vae")["block_out_channels"]) - 1)


def _on_disk(source: Source, folder: Path) -> Path | None:
    try:
        return weights.resolve(source, folder, offline=True)
    except weights.WeightsError:
        return None
