"""Tiny random components for each decoder, of the classes that the real ones are made of."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel, UNet3DConditionModel
from transformers import (
    ClapTextConfig,
    ClapTextModelWithProjection,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

PIPELINES = {"image": "StableDiffusionPipeline", "video": "TextToVideoSDPipeline", "audio": "AudioLDMPipeline"}
SETTINGS = {
    "image": {"steps": 3, "guidance_scale": 4.0, "height": 16, "width": 16},
    "video": {"steps": 3, "guidance_scale": 4.0, "height": 16, "width": 16, "frames": 2, "fps": 8},
    "audio": {"steps": 3, "guidance_scale": 2.5, "seconds": 0.032},
}
LENGTH, WIDTH = 12, 16


def components(modality: str, prediction_type: str = "epsilon") -> dict[str, Any]:
    torch.manual_seed(0)
    scheduler = DDIMScheduler(
        num_train_timesteps=100, clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        prediction_type=prediction_type, timestep_spacing="trailing",
    )  # fmt: skip
    parts: dict[str, Any] = {"scheduler": scheduler, "vae": _autoencoder(1 if modality == "audio" else 3)}
    parts |= {"image": _for_images, "video": _for_videos, "audio": _for_audio}[modality]()
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return parts


def _autoencoder(channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=channels, out_channels=channels, block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.7,
    )  # fmt: skip


def _for_images() -> dict[str, Any]:
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=8, norm_num_groups=4, cross_attention_dim=WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    return {"unet": unet, "safety_checker": None, "feature_extractor": None} | _clip()


def _for_videos() -> dict[str, Any]:
    unet = UNet3DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=8, norm_num_groups=4, cross_attention_dim=WIDTH,
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"), up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
        attention_head_dim=4,
    )  # fmt: skip
    return {"unet": unet} | _clip()


def _for_audio() -> dict[str, Any]:
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=8, norm_num_groups=4, cross_attention_dim=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        class_embed_type="simple_projection", projection_class_embeddings_input_dim=WIDTH, class_embeddings_concat=True,
    )  # fmt: skip
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=8, sampling_rate=16000, upsample_initial_channel=16, upsample_rates=[2, 2],
            upsample_kernel_sizes=[4, 4], resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1, 3, 5]] * 2,
            normalize_before=False,
        )
    )  # fmt: skip
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *ascii_lowercase]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = RobertaTokenizer(vocabulary, [], model_max_length=24)
    text_encoder = ClapTextModelWithProjection(
        ClapTextConfig(
            vocab_size=len(vocabulary), hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=2, projection_dim=WIDTH, max_position_embeddings=32, pad_token_id=1,
        )
    )  # fmt: skip
    return {"unet": unet, "vocoder": vocoder, "tokenizer": tokenizer, "text_encoder": text_encoder}


def _clip() -> dict[str, Any]:
    letters = [*ascii_lowercase, *(f"{letter}</w>" for letter in ascii_lowercase)]
    vocabulary = {token: i for i, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary), hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=LENGTH,
            bos_token_id=vocabulary["<|startoftext|>"], eos_token_id=vocabulary["<|endoftext|>"],
        )
    )  # fmt: skip
    return {"tokenizer": CLIPTokenizer(vocabulary, [], model_max_length=LENGTH), "text_encoder": text_encoder}
