"""Pictures, by Stable Diffusion's pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import DiffusionPipeline, StableDiffusionPipeline

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.decoders.latent_diffusion import LatentDiffusionDecoder, to_bytes


class ImageDecoder(LatentDiffusionDecoder):
    """`generate` gives (h, w, 3) uint8; targets of the denoising loss are pixels (b, 3, h, w) in -1…1."""

    pipeline_class = StableDiffusionPipeline
    callback = "callback_on_step_end"
    arguments = {**LatentDiffusionDecoder.arguments, "height": ("height", int), "width": ("width", int)}

    def save(self, sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> Media:
        path = path.with_name(path.name + ".png")
        media.write_image(sample, path, metadata)
        return Media("image", path)

    def _build_pipeline(self, components: dict[str, Any]) -> DiffusionPipeline:
        checked = components["safety_checker"] is not None
        return self.pipeline_class(**components, requires_safety_checker=checked)

    def _sample(self, output: Any) -> np.ndarray:
        return to_bytes(output.images[0])
