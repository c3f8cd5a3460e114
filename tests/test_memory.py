"""The memory plan: counts against models on the meta device, tiers by arithmetic, disk before published figures."""

from __future__ import annotations

import argparse
import dataclasses

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlamaForCausalLM,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

from nextgpt_core import memory, memory_command
from nextgpt_core.config import load_config
from nextgpt_core.decoders.folder import save_folder
from nextgpt_core.encoders.imagebind import Network
from nextgpt_core.memory import GIB, TIERS, DoesNotFitError, plan
from nextgpt_core.memory_command import usable
from nextgpt_core.official_checkpoint import PROFILE
from nextgpt_core.projectors import OutputProjector
from nextgpt_core.sizes import PUBLISHED_DECODERS, PUBLISHED_ENCODERS, measure
from nextgpt_core.weights import WeightsError
from tests.decoders import tiny


@pytest.fixture(scope="module")
def config():
    return load_config(PROFILE)


@pytest.fixture
def sizes(config, tmp_path, monkeypatch):
    """Of 7b as published: nothing of it lies on this machine."""
    monkeypatch.setenv("NEXTGPT_CACHE", str(tmp_path))
    return measure(config, tmp_path)


def test_counts_are_those_of_the_models(config, sizes):
    with torch.device("meta"):
        llama = LlamaForCausalLM(LlamaConfig(vocab_size=config.language_model.vocabulary))
        imagebind = Network()
    norms = sum(value.numel() for name, value in llama.named_parameters() if "norm" in name)
    assert sizes.linear + sizes.tables + norms == _count(llama)
    assert sizes.kv_bytes == 2 * 32 * 4096 * 2  # keys and values, layers, width, two bytes
    assert sizes.projectors == 396_045_568 - 33_554_432 - 2 * 32_038 * 4096  # the release without LoRA and tables
    assert sizes.adapter == 33_554_432
    assert PUBLISHED_ENCODERS["imagebind"] == _count(imagebind) == sizes.encoders


def test_the_adapter_of_new_training_is_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTGPT_CACHE", str(tmp_path))
    assert measure(load_config(memory_command.CHECKPOINTS / "7b-new"), tmp_path).adapter == 319_815_680


def test_published_decoders_are_counted_from_their_architecture():
    audio_channels = (256, 512, 768, 1280)
    vae = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
    with torch.device("meta"):
        components = {
            "stable-diffusion": {
                "unet": UNet2DConditionModel(cross_attention_dim=768),
                "vae": _autoencoder(4, latent_channels=4, **vae),
                "safety_checker": CLIPVisionModelWithProjection(
                    CLIPVisionConfig(
                        hidden_size=1024,
                        intermediate_size=4096,
                        num_hidden_layers=24,
                        num_attention_heads=16,
                        patch_size=14,
                        projection_dim=768,
                    )
                ),
            },
            "text-to-video": {
                "unet": UNet3DConditionModel(cross_attention_dim=1024, attention_head_dim=64),
                "vae": _autoencoder(4, latent_channels=4, **vae),
            },
            "audioldm": {
                "unet": UNet2DConditionModel(
                    in_channels=8,
                    out_channels=8,
                    block_out_channels=audio_channels,
                    cross_attention_dim=audio_channels,
                    down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
                    up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
                    class_embed_type="simple_projection",
                    class_embeddings_concat=True,
                    projection_class_embeddings_input_dim=512,
                ),
                "vae": _autoencoder(
                    3,
                    latent_channels=8,
                    in_channels=1,
                    out_channels=1,
                    block_out_channels=(128, 256, 512),
                    layers_per_block=2,
                ),
                "vocoder": SpeechT5HifiGan(
                    SpeechT5HifiGanConfig(
                        model_in_dim=64,
                        upsample_initial_channel=1024,
                        upsample_rates=[5, 4, 2, 2, 2],
                        upsample_kernel_sizes=[16, 16, 8, 4, 4],
                    )
                ),
            },
        }
    counted = {kind: {name: _count(part) for name, part in parts.items()} for kind, parts in components.items()}
    assert counted == PUBLISHED_DECODERS


@pytest.mark.parametrize(
    ("gigabytes", "bits", "encoders_stay", "decoders_stay"),
    [(80, 16, True, True), (48, 16, True, True), (24, 16, True, False), (16, 8, False, False), (12, 4, False, False)],
)
def test_the_usual_cards(config, sizes, gigabytes, bits, encoders_stay, decoders_stay):
    chosen = plan(config, sizes, usable(gigabytes))
    assert chosen.tier == memory.Tier(bits, encoders_stay, decoders_stay)
    assert chosen.peak < gigabytes * GIB


def test_each_tier_is_tighter_than_the_one_before(config, sizes):
    peaks = [memory.plan_tier(config, sizes, 24 * GIB, tier).peak for tier in TIERS]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)


def test_too_small_a_card_is_refused_with_what_it_would_take(config, sizes):
    with pytest.raises(DoesNotFitError, match=r"7b does not fit: the tightest plan needs \d+\.\d GiB, the GPU has 7.6"):
        plan(config, sizes, usable(8))


def test_more_frames_need_more(config):
    video = config.decoders["video"]
    longer = dataclasses.replace(video, settings={**video.settings, "frames": 48})
    assert memory.working_bytes(longer, 8) == 2 * memory.working_bytes(video, 8)


def test_smaller_latents_need_less(config, sizes):
    assert sizes.latent_scales == {"image": 8, "video": 8, "audio": 4}
    video = config.decoders["video"]
    longer = dataclasses.replace(video, settings={**video.settings, "frames": 240})
    assert memory.working_bytes(longer, 16) == memory.working_bytes(longer, 8) / 4


def test_what_lies_on_disk_is_counted_there(config, tmp_path):
    components = tiny.components("audio")
    save_folder(tmp_path / "audioldm-l-full", tiny.PIPELINES["audio"], components, None, bits=8)
    (tmp_path / "vicuna-7b-v0").mkdir()
    LlamaConfig(hidden_size=64, num_attention_heads=4, num_hidden_layers=3, intermediate_size=128).save_pretrained(
        tmp_path / "vicuna-7b-v0"
    )
    counted = measure(config, tmp_path)
    assert counted.linear == 3 * (4 * 64 * 64 + 3 * 64 * 128)
    assert counted.decoders["audio"]["unet"] == sum(
        tensor.numel() for tensor in components["unet"].state_dict().values()
    )
    assert "text_encoder" not in counted.decoders["audio"]
    assert counted.latent_scales == {"image": 8, "video": 8, "audio": 2}  # the tiny one has two stages


@pytest.mark.parametrize("bits", [8, 6])
def test_weights_that_lie_with_another_decoder_are_counted_once(config, tmp_path, monkeypatch, bits):
    """As a clip decoder's: one component is all another's, of one some tensors are its own."""
    monkeypatch.setenv("NEXTGPT_CACHE", str(tmp_path))
    components = {name: tiny.components("audio")[name] for name in ("unet", "vae", "vocoder")}
    expected = {name: sum(map(torch.numel, part.state_dict().values())) for name, part in components.items()}
    save_folder(tmp_path / "other", tiny.PIPELINES["audio"], components, None, bits=32)
    with torch.no_grad():
        components["unet"].conv_in.weight += 1
    shared = {name: tmp_path / "other" / name for name in ("unet", "vae")}
    save_folder(tmp_path / "audioldm-l-full", tiny.PIPELINES["audio"], components, None, bits, shared)
    counted = measure(config, tmp_path)
    assert counted.decoders["audio"] == expected
    assert counted.latent_scales["audio"] == 2
    (shared["unet"] / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(WeightsError, match="shares its unet with"):
        measure(config, tmp_path)


def test_a_projector_that_two_modalities_share_is_counted_once(config, sizes, tmp_path):
    shared = dataclasses.replace(config, writes={**config.writes, "video": "image"})
    shared = dataclasses.replace(shared, signals={**config.signals, "video": config.signals["image"]})
    with torch.device("meta"):
        left_out = OutputProjector(sizes.width, config.signals["video"].count, config.output_projectors["video"])
    assert measure(shared, tmp_path).projectors == sizes.projectors - _count(left_out)


def test_on_a_gpu_the_plan_is_made_for_what_is_free(config, sizes, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (round(23 * GIB), 80 * GIB))
    without_encoders = dataclasses.replace(config, encoders={})
    chosen = memory.plan_for_device(without_encoders, tmp_path, "cuda")
    assert chosen == plan(without_encoders, dataclasses.replace(sizes, encoders=0), 23 * GIB)
    assert memory.plan_for_device(config, tmp_path, "cpu") is None


def test_the_command_prints_the_plan(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTGPT_CACHE", str(tmp_path))
    parser = argparse.ArgumentParser()
    memory_command.add_arguments(parser)
    assert memory_command.run(parser.parse_args(["--gpu", "24"])) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("language model in 16 bits\n")
    assert printed.count("(peak)") == 1
    assert memory_command.run(parser.parse_args(["--gpu", "8"])) == 1
    assert "does not fit" in capsys.readouterr().err
    assert memory_command.run(parser.parse_args(["--gpu", "8", "--checkpoint", "none"])) == 1
    assert "has no config.json" in capsys.readouterr().err


def _autoencoder(stages: int, **sizes) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * stages, up_block_types=("UpDecoderBlock2D",) * stages, **sizes
    )


def _count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())
