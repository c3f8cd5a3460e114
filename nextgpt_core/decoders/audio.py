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

_FADE = 128  # samples
_LOUDEST = 0.95


class AudioDecoder(LatentDiffusionDecoder):
    """`generate` gives (n,) float32 at `sampling_rate`; targets are log-mel spectrograms (b, 1, time, bins).

    The condition is one row, a CLAP embedding of length 1 or ours, which the UNet takes as its class label.
    """

    pipeline_class = AudioLDMPipeline
    callback = "callback"
    arguments = {**LatentDiffusionDecoder.arguments, "seconds": ("audio_length_in_s", float)}

    @property
    def sampling_rate(self) -> int:
        return self.pipeline.vocoder.config.sampling_rate

    def save(self, sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> Media:
        """As 16-bit WAV, see `presentable`."""
        path = path.with_name(path.name + ".wav")
        media.write_audio(presentable(sample), self.sampling_rate, path, metadata)
        return Media("audio", path)

    def _condition(self, prompt_embeds: Tensor) -> Tensor:
        return prompt_embeds.squeeze(1)

    def _encode(self, captions: list[str]) -> Tensor:
        embeds = self.pipeline._encode_prompt(captions, self.pipeline.device, 1, False)  # (b, width), of length 1
        return embeds.unsqueeze(1)

    def _predict(self, noised: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        return self.pipeline.unet(noised, times, encoder_hidden_states=None, class_labels=condition, return_dict=False)[
            0
        ]

    def _sample(self, output: Any) -> np.ndarray:
        return output.audios[0].astype(np.float32)


def presentable(sample: np.ndarray) -> np.ndarray:
    """A waveform (n,) without clicks at its ends, and turned down where it would be clipped: no sample over 0.95."""
    fade = np.minimum(1, np.arange(1, len(sample) + 1) / _FADE) * np.minimum(1, np.arange(len(sample), 0, -1) / _FADE)
    sample = sample * fade.astype(np.float32)
    return sample * np.float32(min(1.0, _LOUDEST / max(_LOUDEST, float(np.abs(sample).max()))))
