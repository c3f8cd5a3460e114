"""Clips, by the text-to-video pipeline of Stable Diffusion's kind (ModelScope, Zeroscope)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, TextToVideoSDPipeline
from torch import Tensor

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.decoders.latent_diffusion import LatentDiffusionDecoder, encode_pixels, to_bytes


class VideoDecoder(LatentDiffusionDecoder):
    """`generate` gives (frames, h, w, 3) uint8; targets are frames (b, frames, 3, h, w) in -1…1.

    The setting `fps` is the file's, in frames a second. `shared_noise` is how much of the noise's variance all frames
    have in common, 0 where it is not said: it keeps what stands still from flickering.
    """

    pipeline_class = TextToVideoSDPipeline
    callback = "callback"
    arguments = {
        **LatentDiffusionDecoder.arguments,
        "height": ("height", int),
        "width": ("width", int),
        "frames": ("num_frames", int),
    }
    other_settings = ("fps",)
    optional_settings = (*LatentDiffusionDecoder.optional_settings, "shared_noise")

    def _start(self, settings: Mapping[str, float], generator: torch.Generator) -> dict[str, Tensor]:
        if not (share := float(settings.get("shared_noise", 0.0))):
            return {}
        unet, scale = self.pipeline.unet, self.pipeline.vae_scale_factor
        height, width = (
            int(settings.get(side, unet.config.sample_size * scale)) // scale for side in ("height", "width")
        )
        shape = (1, unet.config.in_channels, int(settings["frames"]), height, width)
        own = torch.randn(shape, generator=generator)
        common = torch.randn((*shape[:2], 1, *shape[3:]), generator=generator)
        return {"latents": (share**0.5 * common + (1 - share) ** 0.5 * own).to(unet.device)}

    def encode_targets(self, targets: Tensor) -> Tensor:
        latents = encode_pixels(self.pipeline.vae, targets.flatten(0, 1))  # (b · frames, c, h, w)
        return latents.unflatten(0, targets.shape[:2]).transpose(1, 2)  # (b, c, frames, h, w)

    def save(self, sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> Media:
        path = path.with_name(path.name + ".mp4")
        media.write_video(sample, path, self.settings["fps"], metadata)
        return Media("video", path)

    def _build_pipeline(self, components: dict[str, Any]) -> DiffusionPipeline:
        if hasattr(components["vae"], "enable_slicing"):
            components["vae"].enable_slicing()  # frame by frame: all of Zeroscope's at once would take ten gigabytes
        return super()._build_pipeline(components)

    def _sample(self, output: Any) -> np.ndarray:
        return to_bytes(output.frames[0])
