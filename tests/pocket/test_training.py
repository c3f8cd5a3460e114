"""The loop resumes to the bit, and what it trains can be used by stock pipelines."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nextgpt_core.decoders.autoencoder import PocketAutoencoder
from nextgpt_core.decoders.image import ImageDecoder
from nextgpt_core.pocket import commands
from nextgpt_core.pocket.autoencoder_task import AutoencoderTask, load_autoencoder, measure_psnr, set_latent_scale
from nextgpt_core.pocket.denoiser_task import disturb, new_unet, write_decoder
from nextgpt_core.pocket.shards import Shards, write_shard
from nextgpt_core.pocket.training import Plan, batch_rows, train

PLAN = Plan(steps=6, batch=2, learning_rate=1e-3, warmup=2, precision="no")


def tiny_autoencoder() -> PocketAutoencoder:
    torch.manual_seed(0)
    return PocketAutoencoder(8, (8, 8, 8, 8), decoder_blocks=(1, 1, 1, 1))


@pytest.fixture(scope="module")
def drawings():
    """Twelve pictures of soft stripes, (12, 64, 64, 3) uint8."""
    y, x = np.mgrid[:64, :64] / 10
    waves = [np.stack([np.sin(x * a), np.cos(y + a * x), np.sin(y * a)], -1) for a in np.linspace(0.2, 1, 12)]
    return ((np.stack(waves) + 1) * 127).astype(np.uint8)


class Interrupted(Exception):
    pass


class StoppingTask(AutoencoderTask):
    """Breaks off in the fourth step, as a killed process would."""

    def loss(self, *args):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 4:
            raise Interrupted
        return super().loss(*args)


def test_a_resumed_run_equals_an_unbroken_one(drawings, tmp_path):
    whole = train(AutoencoderTask(tiny_autoencoder(), [drawings]), tmp_path / "whole", PLAN)
    with pytest.raises(Interrupted):
        train(StoppingTask(tiny_autoencoder(), [drawings]), tmp_path / "broken", replace(PLAN, save_minutes=0))
    resumed = train(AutoencoderTask(tiny_autoencoder(), [drawings]), tmp_path / "broken", PLAN)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    untrained = tiny_autoencoder().state_dict()
    assert not torch.equal(untrained["decoder.0.weight"], whole.state_dict()["decoder.0.weight"])


def test_a_run_leaves_a_log_samples_and_an_export(drawings, tmp_path):
    train(AutoencoderTask(tiny_autoencoder(), [drawings]), tmp_path, replace(PLAN, steps=25))
    (line,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert line["step"] == 25
    assert line["loss"] > 0
    assert (tmp_path / "samples" / "000025.jpg").is_file()
    assert load_autoencoder(tmp_path / "export").config.latent_channels == 8


def test_every_row_comes_once_an_epoch():
    rows = torch.cat([batch_rows(step, 4, 10, seed=1) for step in range(5)])
    assert sorted(rows[:10].tolist()) == list(range(10))
    assert sorted(rows[10:].tolist()) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()


def test_principal_components_beat_the_mean_and_have_unit_variance(drawings):
    network = tiny_autoencoder()
    pixels = torch.from_numpy(drawings).permute(0, 3, 1, 2) / 127.5 - 1
    network.start_from_patches(pixels)
    assert measure_psnr(network, pixels) > 10 * torch.log10(4 / pixels.var()).item() + 3
    set_latent_scale(network, pixels)
    latents = network.encode(pixels).latent
    assert latents.shape == (12, 8, 2, 2)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(network.decode(latents).sample, network(pixels), atol=1e-4, rtol=1e-4)


def test_the_command_starts_from_principal_components_and_ends_at_unit_variance(drawings, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "PocketAutoencoder", tiny_autoencoder)
    monkeypatch.setattr(commands.images, "build_pictures", lambda *_: [drawings])
    monkeypatch.setattr(commands, "Plan", lambda *_, **__: replace(PLAN, steps=2))
    network = commands.train_autoencoder(tmp_path, len(drawings), minutes=1)
    components = torch.nn.functional.normalize(network.to_patches.weight.flatten(1), dim=0)  # (3 · 32², 8)
    torch.testing.assert_close(components.T @ components, torch.eye(8), atol=0.01, rtol=0)
    latents = network.encode(torch.from_numpy(drawings).permute(0, 3, 1, 2) / 127.5 - 1).latent
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(8), atol=1e-2, rtol=0)


def test_decoder_only_training_keeps_the_latents(drawings, tmp_path):
    network = tiny_autoencoder()
    pixels = torch.from_numpy(drawings[:2]).permute(0, 3, 1, 2) / 127.5 - 1
    before = network.encode(pixels).latent
    train(AutoencoderTask(network, [drawings], decoder_only=True), tmp_path, PLAN)
    assert torch.equal(network.encode(pixels).latent, before)


def test_shards_read_what_was_written(tmp_path):
    latents = np.random.default_rng(0).normal(size=(5, 3, 2, 2)).astype(np.float16)
    conditions = torch.randn(5, 6, 4).half().float()
    for i, length in enumerate((1, 3, 6, 2, 4)):
        conditions[i, length:] = 0
    for number in range(2):
        write_shard(tmp_path / f"{number:04d}", latents + number, conditions, ["{}"] * 5)
    shards = Shards(tmp_path, 6)
    assert len(shards) == 10
    read, condition = shards.read(torch.tensor([2, 6]))
    np.testing.assert_array_equal(read.numpy(), np.stack([latents[2], latents[1] + 1]).astype(np.float32))
    assert torch.equal(condition, conditions[[2, 1]])
    assert Shards(tmp_path, 1).read(torch.tensor([0]))[1].shape == (1, 1, 4)
    with pytest.raises(FileNotFoundError, match="data images"):
        Shards(tmp_path / "nothing", 6)


def test_disturbed_conditions_stay_conditions():
    torch.manual_seed(0)
    condition = torch.zeros(400, 5, 16)
    condition[:, :3] = torch.randn(400, 3, 16)
    rough = disturb(condition)
    rms = rough.square().mean(-1).sqrt()
    assert (rms[:, 3:] == 0).all()
    torch.testing.assert_close(rms[rms > 0], torch.ones_like(rms[rms > 0]))
    empty, alone = (rms.sum(1) == 0).float().mean(), ((rms[:, 0] > 0) & (rms[:, 1] == 0)).float().mean()
    assert abs(empty - 0.1) < 0.05
    assert abs(alone - 0.18) < 0.07


def test_an_exported_decoder_draws_with_the_stock_pipeline(tmp_path):
    write_decoder(tmp_path, new_unet(8, 2, 16), tiny_autoencoder(), length=3, width=16)
    decoder = ImageDecoder(tmp_path, {"steps": 2, "guidance_scale": 2.0})
    assert decoder.prompt_shape == (3, 16)
    pictures = [decoder.generate(torch.randn(1, 3, 16), decoder.settings, seed) for seed in (0, 1)]
    assert pictures[0].shape == (64, 64, 3)
    assert (pictures[0] != pictures[1]).any()
