"""The pocket decoders' autoencoder: 256×256 pictures to 8×8 latents of unit variance and back, cheap on a CPU.

What it is made of stands in `patch_autoencoder`. Patches are of 32×32 pixels, convolutions stand beside both ways, and
nearly all their work happens at 32×32 and below.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from nextgpt_core.decoders.patch_autoencoder import PatchAutoencoder, Residual, patch_decoder


class PocketAutoencoder(PatchAutoencoder):
    """Pixels in −1…1 (b, 3, h, w) ↔ latents (b, latent_channels, h/32, w/32), normalised per channel.

    `widths` are the channels at a half, a quarter, an eighth and a 32nd … of the stages below, from fine to coarse:
    (h/4 decoder only, h/8, h/16, h/32). `block_out_channels` only tells pipelines how often a side is halved.
    """

    patch = 32

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 32,
        widths: tuple[int, int, int, int] = (32, 96, 192, 256),
        encoder_blocks: tuple[int, int, int] = (0, 1, 1),
        decoder_blocks: tuple[int, int, int, int] = (1, 2, 2, 2),
        block_out_channels: tuple[int, ...] = (3, 12, 48, 96, 192, 256),
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        _, eighth, sixteenth, coarse = widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(8),
            nn.Conv2d(192, eighth, 1),
            *(Residual(eighth) for _ in range(encoder_blocks[0])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * eighth, sixteenth, 1),
            *(Residual(sixteenth) for _ in range(encoder_blocks[1])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * sixteenth, coarse, 1),
            *(Residual(coarse) for _ in range(encoder_blocks[2])),
            nn.Conv2d(coarse, latent_channels, 1),
        )
        nn.init.zeros_(self.encoder[-1].weight)
        self.decoder = patch_decoder(3, latent_channels, widths, decoder_blocks)
        self._add_linear_path(3, latent_channels)
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(latent_channels))

    def latents(self, pixels: Tensor) -> Tensor:
        """(b, latent_channels, h/32, w/32) within −3…3, before normalisation."""
        latents = super().latents(pixels) + self.encoder(pixels)
        return 3 * torch.tanh(latents / 3)

    def scaled(self, latents: Tensor) -> Tensor:
        return (latents - self.latent_mean.view(1, -1, 1, 1)) / self.latent_std.view(1, -1, 1, 1)

    def unscaled(self, latents: Tensor) -> Tensor:
        return latents * self.latent_std.view(1, -1, 1, 1) + self.latent_mean.view(1, -1, 1, 1)

    @torch.no_grad()
    def channel_effects(self) -> Tensor:
        """As the base's, of a deviation as it is after normalisation."""
        return super().channel_effects() * self.latent_std
