"""Training the denoiser on stored latents and conditions: v-prediction, guidance-trained, robust to a rough condition.

At chat time the condition comes from an output projector and is only about right. So training disturbs it: sometimes
only the sentence vector is left, and all vectors get noise of a random size.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn

from nextgpt_core.decoders.folder import save_folder
from nextgpt_core.decoders.sentence_condition import unit_rms
from nextgpt_core.decoders.sketch_unet import NOISE, SketchUNet2DConditionModel
from nextgpt_core.pocket.shards import Shards

DROP = 0.1  # share of captions that are left out, for guidance
SENTENCE_ONLY = 0.2  # share of conditions without their token vectors
CONDITION_NOISE = 0.5  # the largest deviation of the noise on a condition of unit root mean square
UNET_BITS = {"": 6, "sketch.painter.": 8}  # of a weight on disk: rounding is seen where things are known


def new_unet(latent_channels: int, size: int, width: int) -> SketchUNet2DConditionModel:
    """About 22 million parameters on 8×8 latents, conditioned on vectors of `width`.

    Beside the cross-attention, a pooled condition joins the timestep's embedding, which every block sees from the first
    step on: in an equal number of steps the caption then matters twice as much (loss with another caption less loss).
    Untrained it adds nothing to what is expected around a sketch.
    """
    unet = SketchUNet2DConditionModel(
        sample_size=size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=(128, 256),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=(4, 8),
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet


def new_scheduler() -> DDIMScheduler:
    """The noise that training adds: a cosine schedule whose last step is pure noise."""
    return DDIMScheduler(
        **NOISE,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


class DenoiserTask:
    """A `training.Task` over `rows` of shards, in which a row may stand several times.

    Latents are pictures' (channels, h, w) or clips' (channels, frames, h, w), and the network is one for them.
    `weights` (channels,) says how much an error in each latent channel counts. `write` exports a network and `draw`
    paints a sample sheet from it, each to a path. `shared_noise` is what part of a clip's noise its frames share
    (see `VideoDecoder`).
    """

    # Shift of the timesteps' logistic normal: what is drawn is decided while little is seen of it.
    towards_noise: ClassVar[float] = 1.0

    def __init__(
        self,
        network: UNet2DConditionModel | UNet3DConditionModel,
        shards: Shards,
        rows: Tensor,
        weights: Tensor,
        write: Callable[[nn.Module, Path], None],
        draw: Callable[[nn.Module, Path], None],
        shared_noise: float = 0.0,
    ) -> None:
        self.network, self.rows, self._shared = network, len(rows), shared_noise
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if not torch.cuda.is_available():
            network.set_attn_processor(AttnProcessor())  # fused attention's gradient is several times slower on a CPU
        self._shards, self._rows, self._write, self._draw = shards, rows, write, draw
        self._weights = weights / weights.mean()
        self._alphas = new_scheduler().alphas_cumprod

    def loss(self, network: nn.Module, rows: Tensor, device: torch.device) -> Tensor:
        latents, condition, *known = (part.to(device) for part in self.read(self._rows[rows]))
        condition = self.disturb(condition)
        times = (torch.sigmoid(torch.randn(len(rows)) + self.towards_noise) * 1000).long().clamp_(0, 999)
        rest = [1] * (latents.ndim - 2)
        alpha = self._alphas[times].view(-1, 1, *rest).to(device)
        noise = torch.randn_like(latents)
        if self._shared:
            common = torch.randn_like(latents[:, :, :1])
            noise = self._shared**0.5 * common + (1 - self._shared) ** 0.5 * noise
        noised = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
        predicted = self.predict(network, noised, times.to(device), condition, *known)
        return ((predicted.float() - velocity).square() * self._weights.view(1, -1, *rest).to(device)).mean()

    def read(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Latents and conditions of rows of the shards, and what else `predict` is to know."""
        return self._shards.read(rows)

    def disturb(self, condition: Tensor) -> Tensor:
        """What conditions are like when they come from a language model."""
        return disturb(condition)

    def predict(self, network: nn.Module, noised: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """What the network says of noised latents; conditions (b, length, width)."""
        return network(noised, times, encoder_hidden_states=condition, return_dict=False)[0]

    def draw_samples(self, network: nn.Module, path: Path) -> None:
        self._draw(network, path)

    def export(self, network: nn.Module, folder: Path) -> None:
        self._write(network, folder)


def disturb(condition: Tensor, drop: float = DROP) -> Tensor:
    """What training makes of a condition (b, length, width): rougher, shorter, or nothing at all."""
    batch = len(condition)
    present = (condition.abs().amax(-1, keepdim=True) > 0).float()
    sigma = torch.rand(batch, 1, 1, device=condition.device) * CONDITION_NOISE
    condition = unit_rms(condition + sigma * torch.randn_like(condition)) * present
    alone = (torch.rand(batch, 1, 1, device=condition.device) < SENTENCE_ONLY).float()
    tail = torch.ones(1, condition.shape[1], 1, device=condition.device)
    tail[:, 0] = 0
    kept = (torch.rand(batch, 1, 1, device=condition.device) >= drop).float()
    return condition * (1 - alone * tail) * kept


def write_decoder(
    folder: Path,
    unet: UNet2DConditionModel,
    autoencoder: nn.Module,
    length: int,
    width: int,
) -> None:
    """The folder of a `StableDiffusionPipeline`; the unconditional condition is all zeros."""
    components = {
        "unet": unet,
        "vae": autoencoder,
        "scheduler": new_scheduler(),
        "text_encoder": None,
        "tokenizer": None,
        "safety_checker": None,
        "feature_extractor": None,
    }
    save_folder(
        folder, "StableDiffusionPipeline", components, torch.zeros(1, length, width), {"unet": UNET_BITS, "vae": 6}
    )
