"""What fits a GPU: the plan that is made from sizes alone, before anything is loaded.

`measure` counts parameters from the headers of weights on disk, or takes the published counts of what is not fetched
yet. `plan` goes from roomy to tight and takes the first tier whose expected peak fits. What it says of the language
model's bits `checkpoint` carries out, what it says of encoders and decoders `seats`. Weights are counted to the byte;
what a pass needs beside them is an estimate from the shapes it handles.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from torch import nn

from nextgpt_core import weights
from nextgpt_core.config import Config, ConfigError, DecoderConfig, EncoderConfig, Source, load_config
from nextgpt_core.conversation import Modality
from nextgpt_core.projectors import InputProjector, OutputProjector

if TYPE_CHECKING:
    from transformers import LlamaConfig

logger = logging.getLogger(__name__)
CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
GIB = 2**30

# Parameters of the models that the 7b profile names, for planning before they are fetched.
PUBLISHED_ENCODERS = {"imagebind": 719_065_088}
PUBLISHED_DECODERS = {
    "stable-diffusion": {"unet": 859_520_964, "vae": 83_653_863, "safety_checker": 303_966_208},
    "text-to-video": {"unet": 1_411_233_860, "vae": 83_653_863},
    "audioldm": {"unet": 739_139_080, "vae": 55_376_873, "vocoder": 55_264_897},
}
_NOT_KEPT = "text_encoder"  # decoders drop it once the unconditional condition is known

_FEATURES = 1024  # ImageBind's; a narrower encoder's projector is a little smaller
_RUNTIME = GIB  # CUDA's context, the libraries' workspaces and what the allocator cannot use
_BITS_PER_WEIGHT = {16: 16.0, 8: 8.1, 4: 4.5}  # with their scales: one a row in 8 bits, one for 64 values in 4
# Channels that are alive at the widest place of a pass, for each position of its finest level: a UNet's skips and
# feed-forward, and three maps of an autoencoder's last stage.
_UNET_CHANNELS, _VAE_CHANNELS = 6000, 3 * 256
_LANGUAGE_CHANNELS = 15  # widths of the language model that a layer's pass has alive at once: feed-forward and states


@dataclass(frozen=True)
class Sizes:
    """Parameters of each part. `linear` layers can be quantised, `tables` (embedding and head) never are; then the
    LoRA `adapter` stays apart. `kv_bytes`: of one token.
    """

    linear: int
    tables: int
    adapter: int
    kv_bytes: int
    width: int
    projectors: int
    encoders: int
    decoders: Mapping[Modality, Mapping[str, int]]


@dataclass(frozen=True)
class Tier:
    """Parts that do not stay on the GPU wait in the host's memory and are moved in one at a time."""

    language_bits: int
    encoders_stay: bool
    decoders_stay: bool


# Moving a part takes a fraction of a second; quantising slows every token and costs some quality. So parts move first.
TIERS = (
    Tier(16, True, True),
    Tier(16, True, False),
    Tier(16, False, False),
    Tier(8, True, False),
    Tier(8, False, False),
    Tier(4, True, False),
    Tier(4, False, False),
)


@dataclass(frozen=True)
class Plan:
    """Bytes throughout. `phases`: what is expected to be in use in each phase of a turn; the largest is the peak."""

    tier: Tier
    gpu: int
    cache_bytes: int
    resident: Mapping[str, int]
    phases: Mapping[str, int]

    @property
    def peak(self) -> int:
        return max(self.phases.values())


class DoesNotFitError(RuntimeError):
    """Not even the tightest tier fits; the message says what it needs."""


def plan(config: Config, sizes: Sizes, gpu: int) -> Plan:
    """The roomiest plan that fits `gpu` bytes; raises DoesNotFitError."""
    for tier in TIERS:
        candidate = plan_tier(config, sizes, gpu, tier)
        if candidate.peak <= gpu:
            return candidate
    raise DoesNotFitError(
        f"{config.name} does not fit: the tightest plan needs {candidate.peak / GIB:.1f} GiB, "
        f"the GPU has {gpu / GIB:.1f}. A smaller checkpoint, or a machine without this GPU, will do."
    )


def plan_tier(config: Config, sizes: Sizes, gpu: int, tier: Tier) -> Plan:
    """What `tier` would take."""
    language = round(sizes.linear * _BITS_PER_WEIGHT[tier.language_bits] / 8) + 2 * sizes.tables
    if tier.language_bits < 16:
        language += 4 * sizes.adapter
    # UNets compute in halves, everything else of a decoder in float32.
    decoders = {
        modality: sum(count * (2 if name == "unet" else 4) for name, count in parts.items())
        for modality, parts in sizes.decoders.items()
    }
    encoders = 2 * sizes.encoders
    resident = {"language model": language, "projectors": 4 * sizes.projectors}
    if tier.encoders_stay:
        resident["encoders"] = encoders
    if tier.decoders_stay:
        resident |= {f"{modality} decoder": size for modality, size in decoders.items()}
    cache_bytes = min(config.language_model.cache_bytes, gpu // 24)
    always = sum(resident.values()) + cache_bytes + _RUNTIME
    context = config.language_model.context
    turn = context * sizes.kv_bytes  # the keys and values of the turn itself, beside those of finished turns
    phases = {
        "seeing and hearing": always + (0 if tier.encoders_stay else encoders) + _encoding_bytes(sizes),
        "speaking": always + turn + context * sizes.width * _LANGUAGE_CHANNELS * 2,
    }
    for modality, size in decoders.items():
        moved_in = 0 if tier.decoders_stay else size
        phases[f"making {modality}"] = always + turn + moved_in + working_bytes(config.decoders[modality])
    return Plan(tier, gpu, cache_bytes, resident, phases)


def working_bytes(decoder: DecoderConfig) -> int:
    """What one generation needs beside the weights: the larger of the UNet's pass and the last decoding, in bytes.

    The UNet works on all frames, with and without guidance, in halves; the autoencoder frame by frame in float32.
    """
    settings = {"height": 512, "width": 512, "frames": 1, "seconds": 10, **decoder.settings}
    if decoder.kind == "audioldm":  # a picture of 100 spectra a second, 64 bands high, a quarter of that as latents
        frames, height, width, factor = 1, settings["seconds"] * 100, 64, 4
    else:
        frames, height, width, factor = settings["frames"], settings["height"], settings["width"], 8
    unet = 2 * frames * (height / factor) * (width / factor) * _UNET_CHANNELS * 2
    return round(max(unet, height * width * _VAE_CHANNELS * 4))


def _encoding_bytes(sizes: Sizes) -> int:
    """ImageBind's widest pass: 15 views of 257 tokens, a dozen maps of 1280 channels in halves; 0 without encoders."""
    return 15 * 257 * 1280 * 12 * 2 if sizes.encoders else 0


def measure(config: Config, folder: Path) -> Sizes:
    """Counts parameters; `folder` is the checkpoint's. Nothing is fetched and no weight is read.

    Raises WeightsError for a part that is neither on this machine nor among the published ones.
    """
    language = _language_config(config, folder)
    vocabulary = config.language_model.vocabulary or language.vocab_size
    tables = (1 if language.tie_word_embeddings else 2) * vocabulary * language.hidden_size
    layers, lora = language.num_hidden_layers, config.language_model.lora
    linear = _linear_shapes(language)
    with torch.device("meta"):
        projectors: list[nn.Module] = [
            InputProjector(_FEATURES, language.hidden_size, projector.tokens)
            for projector in config.input_projectors.values()
        ]
        projectors += [
            OutputProjector(language.hidden_size, config.signals[modality].count, config.output_projectors[name])
            for modality, name in config.writes.items()
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
    counts = {part.name: _parameters(part) for part in sorted(path.iterdir()) if part.is_dir()}
    return {name: count for name, count in counts.items() if count and name != _NOT_KEPT}


def _parameters(part: Path) -> int:
    """Of a component's folder, from the headers of its weights: safetensors where there are, pickles else."""
    total = 0
    for file in sorted(part.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            shapes = [tensors.get_slice(key).get_shape() for key in tensors.keys() if not key.endswith(":scale")]  # noqa: SIM118
        total += sum(math.prod(shape) for shape in shapes)
    if not total:
        for file in sorted(part.glob("*.bin")):
            state = torch.load(file, map_location="meta", weights_only=True, mmap=True)
            total += sum(tensor.numel() for tensor in state.values())
    return total


def _on_disk(source: Source, folder: Path) -> Path | None:
    try:
        return weights.resolve(source, folder, offline=True)
    except weights.WeightsError:
        return None


def plan_for_device(config: Config, folder: Path, device: str) -> Plan | None:
    """The plan for what is free on a CUDA device now; None for other devices. The encoders are fetched for it."""
    if not device.startswith("cuda"):
        return None
    for encoder in config.encoders.values():
        weights.resolve(encoder.source, folder)
    free, _ = torch.cuda.mem_get_info(device)
    chosen = plan(config, measure(config, folder), free)
    logger.info("%s", describe(chosen))
    return chosen


def describe(plan: Plan) -> str:
    """The plan for people: what stays, what moves, and what each phase takes."""
    bits = {16: "in 16 bits", 8: "quantised to 8 bits", 4: "quantised to 4 bits"}[plan.tier.language_bits]
    stays = {True: "stay on the GPU", False: "wait in the host's memory and are moved in one at a time"}
    lines = [
        f"language model {bits}",
        f"encoders {stays[plan.tier.encoders_stay]}",
        f"decoders {stays[plan.tier.decoders_stay]}",
        f"finished turns' keys and values take up to {plan.cache_bytes / GIB:.1f} GiB",
        "",
        "always on the GPU",
        *(f"  {name:<20}{size / GIB:6.1f} GiB" for name, size in plan.resident.items()),
        "expected in use while",
        *(
            f"  {name:<20}{size / GIB:6.1f} GiB{' (peak)' if size == plan.peak else ''}"
            for name, size in plan.phases.items()
        ),
    ]
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", default="7b", metavar="DIR", help="a folder, or a name in checkpoints/")
    parser.add_argument("--gpu", type=float, required=True, metavar="GB", help="the GPU's memory: 80, 48, 24, 16, 12")


def run(args: argparse.Namespace) -> int:
    folder = Path(args.checkpoint) if Path(args.checkpoint).is_dir() else CHECKPOINTS / args.checkpoint
    try:
        config = load_config(folder)
        chosen = plan(config, measure(config, folder), usable(args.gpu))
    except (ConfigError, DoesNotFitError, weights.WeightsError) as error:
        print(error, file=sys.stderr)
        return 1
    print(describe(chosen))
    return 0


def usable(gigabytes: float) -> int:
    """Bytes for us of a card sold with so many: drivers and error correction hold back a twentieth."""
    return round(0.95 * gigabytes * GIB)
