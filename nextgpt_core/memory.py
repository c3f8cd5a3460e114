"""What fits a GPU: the plan that is made from `sizes` alone, before anything is loaded.

`plan` goes from roomy to tight and takes the first tier whose expected peak fits. What it says of the language model's
bits `checkpoint` carries out, what it says of encoders and decoders `seats`. Weights are counted to the byte; what a
pass needs beside them is an estimate from the shapes it handles.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from nextgpt_core import weights
from nextgpt_core.config import Config, DecoderConfig
from nextgpt_core.sizes import Sizes, measure

logger = logging.getLogger(__name__)
GIB = 2**30

_RUNTIME = GIB  # CUDA's context, the libraries' workspaces and what the allocator cannot use
_BITS_PER_WEIGHT = {16: 16.0, 8: 8.1, 4: 4.5}  # with their scales: one a row in 8 bits, one for 64 values in 4
# Channels that are alive at the widest place of a pass, for each position of its finest level: a UNet's skips and
# feed-forward, and three maps of an autoencoder's last stage.
_UNET_CHANNELS, _VAE_CHANNELS = 6000, 3 * 256
_LANGUAGE_CHANNELS = 15  # widths of the language model that a layer's pass has alive at once: feed-forward and states


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
        working = working_bytes(config.decoders[modality], sizes.latent_scales[modality])
        phases[f"making {modality}"] = always + turn + moved_in + working
    return Plan(tier, gpu, cache_bytes, resident, phases)


def working_bytes(decoder: DecoderConfig, latent_scale: int) -> int:
    """What one generation needs beside the weights: the larger of the UNet's pass and the last decoding, in bytes.

    The UNet works on all frames, with and without guidance, in halves; the autoencoder frame by frame in float32. The
    widths are Stable Diffusion's, the spectra a second AudioLDM's: an upper bound for decoders as small as pocket's.
    """
    settings = {"height": 512, "width": 512, "frames": 1, "seconds": 10, **decoder.settings}
    if decoder.kind == "audioldm":  # a picture of 100 spectra a second, 64 bands high
        frames, height, width = 1, settings["seconds"] * 100, 64
    else:
        frames, height, width = settings["frames"], settings["height"], settings["width"]
    unet = 2 * frames * (height / latent_scale) * (width / latent_scale) * _UNET_CHANNELS * 2
    return round(max(unet, height * width * _VAE_CHANNELS * 4))


def _encoding_bytes(sizes: Sizes) -> int:
    """ImageBind's widest pass: 15 views of 257 tokens, a dozen maps of 1280 channels in halves; 0 without encoders."""
    return 15 * 257 * 1280 * 12 * 2 if sizes.encoders else 0


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
