"""What the three decoders share: a stock diffusers pipeline, driven through `prompt_embeds`.

Generation is the pipeline's own call, with guidance against the stored unconditional condition, so a condition made
by an OutputProjector and one made by the pipeline's text encoder take the same way. A subclass says which pipeline,
how our settings are called there, and how targets become latents; files are written by `media`.

The UNet computes in half precision where the hardware multiplies it; latents, schedule and everything else stay in
float32, and noise is drawn on the CPU, so that one seed means one medium on every device (but for rounding).
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.conversation import Media
from nextgpt_core.decoders import OnStep
from nextgpt_core.decoders.folder import DecoderError, component_names, load_component, load_unconditional
from nextgpt_core.decoders.sketch_unet import Sketch
from nextgpt_core.decoders.sound_unet import SoundReader
from nextgpt_core.hardware import pick_dtype

_TEXT = ("text_encoder", "tokenizer")
Start = Callable[[Mapping[str, float], torch.Generator], dict[str, Tensor]]  # the pipeline's `latents`, or nothing


class LatentDiffusionDecoder(ABC):
    """A `Decoder`; see the protocol in `decoders/__init__.py`.

    `settings` are the defaults of a generation, by our names; `noise` scales the noise that a generation starts from,
    under schedulers such as DDIM that start from noise of unit variance. `text_encoder` gives the folder of a sentence
    encoder for a decoder that stores none of its own; like the pipeline's, it is loaded at the first `embed_text`.
    """

    pipeline_class: ClassVar[type[DiffusionPipeline]]
    callback: ClassVar[str]  # the pipeline's argument that is called after each step
    # Our setting → the pipeline's argument and its type.
    arguments: ClassVar[Mapping[str, tuple[str, type]]] = {
        "steps": ("num_inference_steps", int),
        "guidance_scale": ("guidance_scale", float),
    }
    other_settings: ClassVar[tuple[str, ...]] = ()  # settings that are not the pipeline's
    optional_settings: ClassVar[tuple[str, ...]] = ("noise",)  # of those, the ones that may be left out

    def __init__(
        self, folder: Path, settings: Mapping[str, float], text_encoder: Callable[[], Path] | None = None
    ) -> None:
        known = (*self.arguments, *self.other_settings, *self.optional_settings)
        if unknown := settings.keys() - set(known):
            raise DecoderError(f"Unknown setting {sorted(unknown)[0]!r} for {folder}; there are {', '.join(known)}.")
        if missing := {"steps", *self.other_settings} - settings.keys():
            raise DecoderError(f"The settings for {folder} lack {sorted(missing)[0]!r}.")
        self.folder, self.settings = folder, dict(settings)
        self._text_encoder_folder = text_encoder
        self._embed: Callable[[list[str]], Tensor] | None = None
        self._stored = set(component_names(folder))
        taken = set(inspect.signature(self.pipeline_class).parameters) - {"requires_safety_checker"}
        components = {
            name: load_component(folder, name) if name in self._stored and name not in _TEXT else None for name in taken
        }
        self.pipeline = self._build_pipeline(components)
        self.pipeline.set_progress_bar_config(disable=True)
        self.pipeline.text_encoder = _NoTextEncoder()
        if "noise" in settings:  # less than all of it keeps nearer to the mean; pipelines multiply by this
            self.pipeline.scheduler.init_noise_sigma = float(settings["noise"])
        _compute_in_its_own_dtype(self.pipeline.unet)
        self.unconditional = self._load_unconditional()
        self.prompt_shape: tuple[int, int] = tuple(self.unconditional.shape[1:])

    def embed_text(self, captions: list[str]) -> Tensor:
        """What the pipeline conditions on for each caption, (b, length, width) in float32."""
        if self._embed is None:
            self._embed = self._load_embed()
        with torch.no_grad():
            return self._embed(captions).float()

    @torch.no_grad()
    def generate(
        self,
        prompt_embeds: Tensor,
        settings: Mapping[str, float] | None = None,
        seed: int = 0,
        on_step: OnStep | None = None,
    ) -> np.ndarray:
        """Runs the pipeline on a condition (1, length, width); see `Decoder` for what comes back."""
        if tuple(prompt_embeds.shape) != (1, *self.prompt_shape):
            raise DecoderError(f"The condition is {tuple(prompt_embeds.shape)}, expected {(1, *self.prompt_shape)}.")
        return self._make(prompt_embeds, {**self.settings, **(settings or {})}, seed, on_step)

    def _make(
        self,
        prompt_embeds: Tensor,
        settings: Mapping[str, float],
        seed: int,
        on_step: OnStep | None,
        start: Start | None = None,
    ) -> np.ndarray:
        """One run of the pipeline, with all its settings; `start` stands in for `_start`."""
        arguments = {ours: (name, kind) for ours, (name, kind) in self.arguments.items() if ours in settings}
        device, generator = self.pipeline.unet.device, torch.Generator("cpu").manual_seed(seed)
        output = self.pipeline(
            prompt_embeds=self._condition(prompt_embeds.to(device, torch.float32)),
            negative_prompt_embeds=self._condition(self.unconditional.to(device)),
            generator=generator,
            output_type="np",
            **(start or self._start)(settings, generator),
            **{name: kind(settings[ours]) for ours, (name, kind) in arguments.items()},
            **{self.callback: self._after_step(on_step, int(settings["steps"]))},
        )
        return self._sample(output)

    def denoising_loss(self, prompt_embeds: Tensor, targets: Tensor) -> Tensor:
        """The frozen UNet's mean squared error on noised targets, for the gradient that reaches `prompt_embeds`.

        prompt_embeds: (b, length, width); targets: (b, …) as the subclass's `encode_targets` says. Noise and timesteps
        are drawn afresh; what is predicted (noise, v or the sample) is the scheduler's `prediction_type`.
        """
        with torch.no_grad():
            latents = self.encode_targets(targets.to(self.pipeline.vae.device, torch.float32))
        # Samplers such as Euler scale latents in their own way; the process that a UNet learned is always DDPM's.
        schedule = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        noise = torch.randn(latents.shape, device=latents.device)
        times = torch.randint(0, schedule.config.num_train_timesteps, latents.shape[:1], device=latents.device)
        condition = self._condition(prompt_embeds.to(latents.device))
        predicted = self._predict(schedule.add_noise(latents, noise, times), times, condition)
        kind = schedule.config.prediction_type
        if kind == "v_prediction":
            expected = schedule.get_velocity(latents, noise, times)
        else:
            expected = {"epsilon": noise, "sample": latents}[kind]
        return F.mse_loss(predicted, expected)

    def disagreement(self, made: Tensor, meant: Tensor) -> Tensor | None:
        """How differently conditions (b, length, width) are read, a mean; None where the UNet reads none.

        Its gradient goes to `made`.
        """
        return None if self._reads is None else self._reads.disagreement(made, meant)

    def agreement(self, made: Tensor, meant: Tensor) -> dict[str, float]:
        """In what shares they are read alike, by what is read; empty where the UNet reads none."""
        return {} if self._reads is None else self._reads.agreement(made, meant)

    @property
    def _reads(self) -> Sketch | SoundReader | None:
        """What the UNet reads a condition with before it denoises, where it has such a thing."""
        unet = self.pipeline.unet
        return getattr(unet, "sketch", None) or getattr(unet, "reader", None)

    def encode_targets(self, targets: Tensor) -> Tensor:
        """Scaled latents of training targets, (b, channels, h, w) in -1…1."""
        return encode_pixels(self.pipeline.vae, targets)

    def to(self, device: str) -> LatentDiffusionDecoder:
        unet = self.pipeline.unet
        # What comes back from a GPU only waits on the CPU: bfloat16 would cost it three bits that float16 has.
        waits = device == "cpu" and unet.device.type == "cuda"
        dtype = unet.dtype if waits else unet_dtype(device)
        nn.Module.to(unet, dtype=dtype)  # diffusers' own `to` warns about nothing at all
        for parameter in unet.parameters():
            if parameter.ndim == 4:
                order = torch.contiguous_format if dtype == torch.float32 else torch.channels_last
                parameter.data = parameter.data.contiguous(memory_format=order)
        self.pipeline.to(device)
        return self

    def _build_pipeline(self, components: dict[str, Any]) -> DiffusionPipeline:
        return self.pipeline_class(**components)

    def _condition(self, prompt_embeds: Tensor) -> Tensor:
        """(b, length, width) → the pipeline's own shape."""
        return prompt_embeds

    def _start(self, settings: Mapping[str, float], generator: torch.Generator) -> dict[str, Tensor]:
        """The pipeline's `latents`, where it is not to draw them by itself: of unit variance."""
        return {}

    def _encode(self, captions: list[str]) -> Tensor:
        """(b, length, width) by the pipeline's text encoder, which is in place when this is called."""
        return self.pipeline.encode_prompt(captions, self.pipeline.device, 1, False)[0]

    def _predict(self, noised: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        return self.pipeline.unet(noised, times, encoder_hidden_states=condition, return_dict=False)[0]

    @abstractmethod
    def save(self, sample: np.ndarray, path: Path, metadata: Mapping[str, str]) -> Media:
        """Writes what `generate` gave; `path` has no suffix yet."""

    @abstractmethod
    def _sample(self, output: Any) -> np.ndarray:
        """The pipeline's output → the one medium in it."""

    def _after_step(self, on_step: OnStep | None, steps: int) -> Callable[..., dict[str, Any]]:
        """Called by the pipeline after every step; what `on_step` raises leaves through the pipeline."""
        calls = 0

        def after_step(*_: Any) -> dict[str, Any]:
            nonlocal calls
            calls += 1
            if on_step is not None:
                # A scheduler may walk more timesteps than the steps asked for (PNDM one, Heun twice as many).
                walked = len(self.pipeline.scheduler.timesteps) if self.callback == "callback_on_step_end" else steps
                on_step(math.ceil(calls * steps / walked), steps)
            return {}

        return after_step

    def _load_unconditional(self) -> Tensor:
        if (stored := load_unconditional(self.folder)) is not None:
            return stored
        if not self._stored.issuperset(_TEXT):
            raise DecoderError(f"{self.folder} has neither unconditional.safetensors nor a text encoder to compute it.")
        self._embed = self._load_embed()
        computed = self.embed_text([""])
        # Chatting never needs the text encoder again; training loads it anew.
        self._embed, self.pipeline.text_encoder, self.pipeline.tokenizer = None, _NoTextEncoder(), None
        return computed

    def _load_embed(self) -> Callable[[list[str]], Tensor]:
        if self._text_encoder_folder is not None:
            from nextgpt_core.decoders.sentence_condition import SentenceCondition

            return SentenceCondition(self._text_encoder_folder(), self.prompt_shape[0]).embed
        if not self._stored.issuperset(_TEXT):
            raise DecoderError(
                f"{self.folder} stores no text encoder, so captions can't become conditions. "
                "Name one as this decoder's text_encoder in config.json; only training needs it."
            )
        self.pipeline.tokenizer = load_component(self.folder, "tokenizer")
        self.pipeline.text_encoder = load_component(self.folder, "text_encoder").to(self.pipeline.unet.device)
        return self._encode


def encode_pixels(vae: nn.Module, pixels: Tensor) -> Tensor:
    """(b, channels, h, w) → scaled latents, drawn from the autoencoder's posterior where it has one."""
    encoded = vae.encode(pixels)
    latents = encoded.latent_dist.sample() if hasattr(encoded, "latent_dist") else encoded.latent
    return latents * vae.config.scaling_factor


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """0…1 → uint8, rounded as Pillow's conversion in diffusers does."""
    return (pixels * 255).round().clip(0, 255).astype(np.uint8)


class _NoTextEncoder:
    """Stands where a pipeline looks up its text encoder's dtype, so that conditions and latents stay in float32."""

    dtype = torch.float32


def unet_dtype(device: str) -> torch.dtype:
    """float16 on a GPU; on a CPU bfloat16 where there are instructions for it: without, it is slower than float32.

    Measured with AMX on one busy core, 8x8 latents, 17 M parameters, batch 2, median of 15: 110 ms in float32, 116 in
    bfloat16, 88 in bfloat16 with channels last (no gain in float32); a UNet of AudioLDM's kind: 748, 402, 279 ms.
    """
    if device.startswith("cuda"):
        return torch.float16
    return pick_dtype(device) if device == "cpu" else torch.float32


def _compute_in_its_own_dtype(unet: nn.Module) -> None:
    """Makes a UNet of any precision take and give float32. Timesteps are left alone: bfloat16 can't count to 1000."""

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        def cast(value: Any) -> Any:
            return value.to(module.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        cast_args = tuple(value if position == 1 else cast(value) for position, value in enumerate(args))
        return cast_args, {name: value if name == "timestep" else cast(value) for name, value in kwargs.items()}

    def leave(module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return tuple(value.float() for value in output)
        return type(output)(sample=output.sample.float())

    unet.register_forward_pre_hook(enter, with_kwargs=True)
    unet.register_forward_hook(leave)
