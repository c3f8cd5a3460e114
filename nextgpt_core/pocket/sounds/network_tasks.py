"""What is trained for sounds, as a task of `pocket.training`: the denoiser, from stored latents as the pictures' does.

The autoencoder is a principal component analysis, and the vocoder has nothing to learn.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from nextgpt_core.decoders.folder import save_folder
from nextgpt_core.decoders.sound_unet import SoundUNet2DConditionModel
from nextgpt_core.decoders.vocoder import BANDS, HOP
from nextgpt_core.pocket.denoiser_task import DROP, DenoiserTask, new_scheduler
from nextgpt_core.pocket.sounds.waves import LENGTH

FRAMES = LENGTH // HOP


class SoundDenoiserTask(DenoiserTask):
    """The pictures' task for a UNet that takes its condition, one vector, as AudioLDM's class embedding.

    What it is asked for are sounds that are known (`sound_unet`): conditions are as they were taught, or none at all.
    """

    towards_noise = -0.5  # sounds begin from some that are known

    def disturb(self, condition: Tensor) -> Tensor:
        return condition * (torch.rand(len(condition), 1, 1, device=condition.device) >= DROP)

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
