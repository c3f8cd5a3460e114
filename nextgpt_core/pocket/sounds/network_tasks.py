"""What is trained for sounds, as tasks of `pocket.training`: the mel autoencoder, the denoiser.

The autoencoder learns from spectrograms, made louder, quieter and mixed on the way, the denoiser from stored latents
as the pictures' does. The vocoder has nothing to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.decoders.folder import save_folder, save_network
from nextgpt_core.decoders.mel_autoencoder import MelAutoencoder
from nextgpt_core.decoders.sound_unet import SoundUNet2DConditionModel
from nextgpt_core.decoders.vocoder import BANDS, HOP
from nextgpt_core.pocket.denoiser_task import DenoiserTask, new_scheduler
from nextgpt_core.pocket.sounds.spectrograms import sheet
from nextgpt_core.pocket.sounds.waves import LENGTH

FRAMES = LENGTH // HOP
_NOISE = 0.1  # on latents, so that the decoder forgives what a denoiser gets slightly wrong
_SAMPLES = 5


class MelAutoencoderTask:
    """Rows are spectrograms (n, frames, bands) of clips for training; what is trained is the way back from latents."""

    def __init__(self, network: MelAutoencoder, spectrograms: np.ndarray, rows: Sequence[int]) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        for linear in (network.to_latents, network.to_patches):
            linear.requires_grad_(False)  # latents are stored, and must go on meaning what they mean
        self._spectrograms, self._numbers, self.rows = spectrograms, np.asarray(rows), len(rows)

    def loss(self, network: nn.Module, rows: Tensor, device: torch.device) -> Tensor:
        given = disturbed(self.spectrograms(rows)).to(device, memory_format=torch.channels_last)
        return spectrogram_loss(network(given, _NOISE).float(), given)

    def spectrograms(self, rows: Tensor) -> Tensor:
        """(b, 1, frames, bands)."""
        return torch.from_numpy(self._spectrograms[self._numbers[rows.numpy()]].astype(np.float32)).unsqueeze(1)

    @torch.no_grad()
    def draw_samples(self, network: MelAutoencoder, path: Path) -> None:
        given = self.spectrograms(torch.linspace(0, self.rows - 1, _SAMPLES).long())
        sheet([list(given[:, 0]), list(network(given)[:, 0])], [""] * _SAMPLES, path)

    def export(self, network: MelAutoencoder, folder: Path) -> None:
        save_network(network, folder)


class SoundDenoiserTask(DenoiserTask):
    """The pictures' task for a UNet that takes its condition, a sentence vector, as AudioLDM's class embedding."""

    def predict(self, network: nn.Module, noised: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        return network(noised, times, None, class_labels=condition[:, 0], return_dict=False)[0]


def new_sound_unet(latent_channels: int, width: int) -> SoundUNet2DConditionModel:
    """10 million parameters on 16×4 latents; nothing but convolutions, which on so small a grid see everything."""
    return SoundUNet2DConditionModel(
        sample_size=(FRAMES // 16, BANDS // 16),
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=(128, 256),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D", "UpBlock2D"),
        class_embed_type="projection",
        projection_class_embeddings_input_dim=width,
        time_embedding_dim=512,
        resnet_time_scale_shift="scale_shift",
    )


def write_audio_decoder(
    folder: Path, unet: nn.Module, autoencoder: nn.Module, vocoder: nn.Module, width: int, bits: int = 8
) -> None:
    """The folder of an `AudioLDMPipeline`; the unconditional condition is all zeros."""
    components = {
        "unet": unet,
        "vae": autoencoder,
        "vocoder": vocoder,
        "scheduler": new_scheduler(),
        "text_encoder": None,
        "tokenizer": None,
    }
    save_folder(folder, "AudioLDMPipeline", components, torch.zeros(1, 1, width), bits)


def spectrogram_loss(made: Tensor, given: Tensor) -> Tensor:
    """Absolute and squared error, and the error of differences between neighbours at two scales."""
    error = made - given
    loss = error.abs().mean() + 2 * error.square().mean()
    for _ in range(2):
        loss = loss + 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean())
        error = F.avg_pool2d(error, 2)
    return loss


def disturbed(spectrograms: Tensor) -> Tensor:
    """Louder, quieter, shifted in time, and a third of them mixed with another: (b, 1, frames, bands)."""
    batch = len(spectrograms)
    louder = (torch.rand(batch, 1, 1, 1) - 0.8) * 0.5
    shift = int(torch.randint(spectrograms.shape[2], ()))
    spectrograms = spectrograms.roll(shift, 2) + louder * (torch.rand(batch, 1, 1, 1) < 0.5)
    mixed = torch.maximum(spectrograms, spectrograms.flip(0).roll(shift // 2, 2))
    return torch.where(torch.rand(batch, 1, 1, 1) < 0.33, mixed, spectrograms).clamp(min=-1)
