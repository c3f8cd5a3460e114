"""Training the autoencoder on rendered pictures, and encoding pictures with it.

The loss is what keeps drawn pictures crisp: absolute and squared error, and the error of edges at three scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.decoders.autoencoder import PocketAutoencoder
from nextgpt_core.decoders.folder import load_network, save_network

LATENT_NOISE = 0.1  # makes the decoder forgive what a denoiser gets slightly wrong


class AutoencoderTask:
    """A `training.Task` over pictures (n, 256, 256, 3) uint8 in one or more arrays, memory-mapped or not.

    `decoder_only` leaves the encoder, and so every latent that was made with it, as it is.
    """

    def __init__(self, network: PocketAutoencoder, pictures: Sequence[np.ndarray], decoder_only: bool = False) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # halves the time of a step on a CPU
        network.encoder.requires_grad_(not decoder_only)
        for linear in (network.to_latents, network.to_patches):
            linear.requires_grad_(False)  # with 3,072 inputs, Adam's steps would undo the start
        self.rows = sum(map(len, pictures))
        self._pictures = pictures
        self._starts = np.cumsum([0, *map(len, pictures)])

    def loss(self, network: nn.Module, rows: Tensor, device: torch.device) -> Tensor:
        pixels = self.pixels(rows).to(device, memory_format=torch.channels_last)
        return picture_loss(network(pixels, LATENT_NOISE).float(), pixels)

    def pixels(self, rows: Tensor) -> Tensor:
        """(b, 3, 256, 256) in −1…1."""
        picked = []
        for row in rows.tolist():
            part = int(np.searchsorted(self._starts, row, side="right")) - 1
            picked.append(self._pictures[part][row - self._starts[part]])
        return to_pixels(np.stack(picked))

    @torch.no_grad()
    def draw_samples(self, network: nn.Module, path: Path) -> None:
        """Eight pictures above what the autoencoder makes of them."""
        device = next(network.parameters()).device
        pixels = self.pixels(torch.linspace(0, self.rows - 1, 8).long())
        rows = torch.cat([torch.cat(list(part), -1) for part in (pixels, network(pixels.to(device)).float().cpu())], -2)
        Image.fromarray(to_pictures(rows[None])[0]).save(path, quality=90)

    def export(self, network: nn.Module, folder: Path) -> None:
        save_network(network, folder)


def load_autoencoder(folder: Path) -> PocketAutoencoder:
    """Reads an exported autoencoder, in any number of bits."""
    return load_network(PocketAutoencoder, folder)


@torch.no_grad()
def set_latent_scale(network: PocketAutoencoder, pixels: Tensor) -> None:
    """Stores the mean and deviation of each latent channel, so that latents have unit variance from here on."""
    latents = torch.cat([network.latents(part) for part in pixels.split(64)])
    network.latent_mean.copy_(latents.mean((0, 2, 3)))
    network.latent_std.copy_(latents.std((0, 2, 3)))


@torch.no_grad()
def measure_psnr(network: PocketAutoencoder, pixels: Tensor) -> float:
    """The mean over pictures of the peak signal-to-noise ratio in dB, at 8 bits a channel."""
    ratios = []
    for part in pixels.split(32):
        made = to_pixels(to_pictures(network(part).float()))
        ratios.append(10 * torch.log10(4 / (made - part).square().mean((1, 2, 3)).clamp_min(1e-8)))
    return torch.cat(ratios).mean().item()


def picture_loss(made: Tensor, pixels: Tensor) -> Tensor:
    """Absolute and squared error, and the error of differences between neighbours at three scales."""
    error = made - pixels
    loss = error.abs().mean() + 6 * error.square().mean()
    for _ in range(3):
        loss = loss + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        error = F.avg_pool2d(error, 2)
    return loss


def to_pixels(pictures: np.ndarray) -> Tensor:
    """(b, h, w, 3) uint8 → (b, 3, h, w) in −1…1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def to_pictures(pixels: Tensor) -> np.ndarray:
    """The inverse, rounded and clipped."""
    return pixels.float().add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
