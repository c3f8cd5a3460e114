"""Sounds, by AudioLDM's pipeline: a mel spectrogram is denoised, and a vocoder makes the waveform.

What a UNet with a reader finds to be two sounds (see `sound_unet`) is made as two, and put together as waveforms. Where
it remembers examples, denoising begins from one of them in as much noise as the setting `strength` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AudioLDMPipeline, DDIMScheduler, DiffusionPipeline
from torch import Tensor

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.decoders import OnStep
from nextgpt_core.decoders.folder import DecoderError
from nextgpt_core.decoders.latent_diffusion import LatentDiffusionDecoder
from nextgpt_core.decoders.sound_unet import EXAMPLES, Sound, SoundUNet2DConditionModel

_FADE = 128  # samples
_OVER = 0.05  # seconds in which the first of two sounds in turn goes out
_LOUDEST = 0.95


class LastSteps(DDIMScheduler):
    """Walks only the last of a schedule's steps, as many as are asked for: those in its last `strength`, a share."""

    strength = 1.0

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        super().set_timesteps(round(num_inference_steps / self.strength), device)
        self.timesteps = self.timesteps[-num_inference_steps:]


class AudioDecoder(LatentDiffusionDecoder):
    """`generate` gives (n,) float32 at `sampling_rate`; targets are log-mel spectrograms (b, 1, time, bins).

    The condition is one row, a CLAP embedding of length 1 or ours, which the UNet takes as its class label. `strength`
    means what it does in image-to-image pipelines: with 1, and where it is not said, sounds begin from noise alone.
    """

    pipeline_class = AudioLDMPipeline
    callback = "callback"
    arguments = {**LatentDiffusionDecoder.arguments, "seconds": ("audio_length_in_s", float)}
    optional_settings = (*LatentDiffusionDecoder.optional_settings, "strength")

    @property
    def sampling_rate(self) -> int:
        return self.pipeline.vocoder.config.sampling_rate

    def save(self, sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> Media:
        """As 16-bit WAV, see `presentable`."""
        path = path.with_name(path.name + ".wav")
        media.write_audio(presentable(sample), self.sampling_rate, path, metadata)
        return Media("audio", path)

    def _make(
        self, prompt_embeds: Tensor, settings: Mapping[str, float], seed: int, on_step: OnStep | None
    ) -> np.ndarray:
        """Two sounds take the steps of both."""
        unet, make = self.pipeline.unet, super()._make
        if not isinstance(unet, SoundUNet2DConditionModel):
            return make(prompt_embeds, settings, seed, on_step)
        parts, in_turn = unet.reader.parts(self._condition(prompt_embeds.to(unet.device)))
        walked, strength = self.pipeline.scheduler.config.num_train_timesteps, settings.get("strength", 1.0)
        if not 0 < strength <= 1 or settings["steps"] / strength > walked:
            raise DecoderError(
                f"The setting strength is {strength:g}; it is more than 0 and at most 1, and at least "
                f"{settings['steps'] / walked:g} with {settings['steps']:g} steps."
            )

        def counted(done: int) -> OnStep | None:
            if on_step is None:
                return None
            return lambda step, steps: on_step(done * steps + step, len(parts) * steps)

        # Seeds that nobody chooses, so that the sounds' noises have nothing to do with each other.
        waves = [
            make(unet.reader.asked(part)[None], settings, seed + (i << 32), counted(i), partial(self._begin, part))
            for i, part in enumerate(parts)
        ]
        return put_together(waves, in_turn, self.sampling_rate)

    def _begin(self, sound: Sound, settings: Mapping[str, float], generator: torch.Generator) -> dict[str, Tensor]:
        """An example of a sound in the noise that the schedule begins with; where there is none, noise alone."""
        unet, scheduler = self.pipeline.unet, self.pipeline.scheduler
        scheduler.strength = settings.get("strength", 1.0) if unet.memory.knows(sound) else 1.0
        if scheduler.strength == 1:
            return {}
        example = unet.memory.recall(sound, int(torch.randint(EXAMPLES, (), generator=generator))).float()
        if (seconds := settings.get("seconds")) is not None:  # a longer sound begins anew, a shorter one ends sooner
            frame = math.prod(self.pipeline.vocoder.config.upsample_rates) / self.sampling_rate  # seconds
            cells = math.ceil(int(seconds / frame) / self.pipeline.vae_scale_factor)  # as the pipeline counts them
            example = example.repeat(1, 1, math.ceil(cells / example.shape[2]), 1)[:, :, :cells]
        noise = torch.randn(example.shape, generator=generator).to(example.device)
        scheduler.set_timesteps(int(settings["steps"]))
        sigma = scheduler.init_noise_sigma  # of the noise alone; the pipeline multiplies all by it
        return {"latents": scheduler.add_noise(example, noise * sigma, scheduler.timesteps[:1]) / sigma}

    def _build_pipeline(self, components: dict[str, Any]) -> DiffusionPipeline:
        if isinstance(components["unet"], SoundUNet2DConditionModel):
            components["scheduler"] = LastSteps.from_config(components["scheduler"].config)
        elif "strength" in self.settings:
            raise DecoderError(f"{self.folder} remembers no sounds to begin from, so there is no setting strength.")
        return super()._build_pipeline(components)

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


def put_together(waves: Sequence[np.ndarray], in_turn: bool, rate: int) -> np.ndarray:
    """One or two waveforms (n,) as one of that length: their sum, or in turn the beginnings of both."""
    if len(waves) == 1 or not in_turn:
        return np.sum(waves, axis=0)
    half = len(waves[0]) // 2
    fade = np.minimum(1, np.arange(half, 0, -1, dtype=np.float32) / (_OVER * rate))
    return np.concatenate([waves[0][:half] * fade, waves[1][: len(waves[1]) - half]])


def presentable(sample: np.ndarray) -> np.ndarray:
    """A waveform (n,) without clicks at its ends, and turned down where it would be clipped: no sample over 0.95."""
    fade = np.minimum(1, np.arange(1, len(sample) + 1) / _FADE) * np.minimum(1, np.arange(len(sample), 0, -1) / _FADE)
    sample = sample * fade.astype(np.float32)
    return sample * np.float32(min(1.0, _LOUDEST / max(_LOUDEST, float(np.abs(sample).max()))))
