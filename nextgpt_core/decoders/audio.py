"""Sounds, by AudioLDM's pipeline: a mel spectrogram is denoised, and a vocoder makes the waveform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import AudioLDMPipeline
from torch import Tensor

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.decoders.latent_diffusion import LatentDiffusionDecoder


class AudioDecoder(LatentDiffusionDecoder):
    """`generate` gives (n,) float32 at `sampling_rate`; targets are log-mel spectrograms (b, 1, time, bins).

    The condition is one row: a CLAP embedding of length 1, which the UNet takes as its class label.
    """

    pipeline_class = AudioLDMPipeline
    callback = "callback"
    arguments = {
        "steps": ("num_inference_steps", int),
        "guidance_scale": ("guidance_scale", float),
        "seconds": ("audio_length_in_s", float),
    }

    @property
    def sampling_rate(self) -> int:
        return self.pipeline.vocoder.config.sampling_rate

    def save(self, sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> Media:
        path = path.with_name(path.name + ".wav")
        media.write_audio(sample, self.sampling_rate, path, metadata)
        return Media("audio", path)

    def _condition(self, prompt_embeds: Tensor) -> Tensor:
        return prompt_embeds.squeeze(1)

    def _encode(self, captions: list[str]) -> Tensor:
        embeds = self.pipeline._encode_prompt(captions, self.pipeline.device, 1, False)  # (b, width), of length 1
        return embeds.unsqueeze(1)

    def _predict(self, noised: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        return self.pipeline.unet(
            noised, times, encoder_hidden_states=None, class_labels=condition, return_dict=False
        )[0]

    def _sample(self, output: Any) -> np.ndarray:
        return output.audios[0].astype(np.float32)
