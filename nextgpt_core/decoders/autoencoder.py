"""The pocket decoders' autoencoder: 256×256 pictures to 8×8 latents of unit variance and back, cheap on a CPU.

A linear path from patches of 32×32 pixels to latents and back, which may start as a principal component analysis, and
convolutions beside it that do better. Nearly all their work happens at 32×32 and below. It offers what diffusers'
pipelines ask of a `vae`. How it is trained is the business of `pocket`.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, EncoderOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 32  # pixels a side that become one latent cell


class PocketAutoencoder(ModelMixin, ConfigMixin):
    """Pixels in −1…1 (b, 3, h, w) ↔ latents (b, latent_channels, h/32, w/32), normalised per channel.

    `widths` are the channels at a half, a quarter, an eighth and a 32nd … of the stages below, from fine to coarse:
    (h/4 decoder only, h/8, h/16, h/32). `block_out_channels` only tells pipelines how often a side is halved.
    """

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
        fine, eighth, sixteenth, coarse = widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(8),
            nn.Conv2d(192, eighth, 1),
            *(_Residual(eighth) for _ in range(encoder_blocks[0])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * eighth, sixteenth, 1),
            *(_Residual(sixteenth) for _ in range(encoder_blocks[1])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * sixteenth, coarse, 1),
            *(_Residual(coarse) for _ in range(encoder_blocks[2])),
            nn.Conv2d(coarse, latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, coarse, 3, padding=1),
            *(_Residual(coarse) for _ in range(decoder_blocks[3])),
            nn.Conv2d(coarse, 4 * sixteenth, 1),
            nn.PixelShuffle(2),
            *(_Residual(sixteenth) for _ in range(decoder_blocks[2])),
            nn.Conv2d(sixteenth, 4 * eighth, 1),
            nn.PixelShuffle(2),
            *(_Residual(eighth) for _ in range(decoder_blocks[1])),
            nn.Conv2d(eighth, 4 * fine, 1),
            nn.PixelShuffle(2),
            *(_Residual(fine) for _ in range(decoder_blocks[0])),
            nn.Conv2d(fine, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )
        nn.init.zeros_(self.encoder[-1].weight)
        nn.init.zeros_(self.decoder[-2].weight)
        self.to_latents = nn.Conv2d(3 * PATCH**2, latent_channels, 1)
        self.to_patches = nn.Conv2d(latent_channels, 3 * PATCH**2, 1)
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(latent_channels))

    def encode(self, pixels: Tensor, return_dict: bool = True) -> EncoderOutput | tuple[Tensor]:
        latents = (self.bounded_latents(pixels) - self._mean) / self._std
        return EncoderOutput(latents) if return_dict else (latents,)

    def decode(
        self, latents: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """`generator` is taken because pipelines pass one; decoding draws nothing."""
        pixels = self.pixels(latents * self._std + self._mean)
        return DecoderOutput(pixels) if return_dict else (pixels,)

    def forward(self, pixels: Tensor, noise: float = 0.0) -> Tensor:
        """Pixels → latents, disturbed by `noise` of their own scale → pixels (b, 3, h, w)."""
        latents = self.bounded_latents(pixels)
        if noise:
            latents = latents + noise * torch.randn_like(latents)
        return self.pixels(latents)

    def bounded_latents(self, pixels: Tensor) -> Tensor:
        """(b, latent_channels, h/32, w/32) within −3…3, before normalisation."""
        latents = self.to_latents(F.pixel_unshuffle(pixels, PATCH)) + self.encoder(pixels)
        return 3 * torch.tanh(latents / 3)

    def pixels(self, latents: Tensor) -> Tensor:
        """Latents as `bounded_latents` gives them → (b, 3, h, w)."""
        return F.pixel_shuffle(self.to_patches(latents), PATCH) + self.decoder(latents)

    @torch.no_grad()
    def start_from_patches(self, pixels: Tensor) -> None:
        """Sets the linear path to principal components of the patches of `pixels` (n, 3, h, w), of variance one."""
        patches = F.pixel_unshuffle(pixels, PATCH).permute(0, 2, 3, 1).flatten(0, 2)  # (patches, 3 · 32²)
        mean = patches.mean(0)
        _, deviations, components = torch.svd_lowrank(patches - mean, self.config.latent_channels + 16, niter=3)
        components = components[:, : self.config.latent_channels].T  # (latent_channels, 3 · 32²)
        scale = deviations[: self.config.latent_channels, None] / len(patches) ** 0.5
        self.to_latents.weight.copy_((components / scale)[..., None, None])
        self.to_latents.bias.copy_(-(components / scale) @ mean)
        self.to_patches.weight.copy_((components * scale).T[..., None, None])
        self.to_patches.bias.copy_(mean)

    @torch.no_grad()
    def channel_effects(self) -> Tensor:
        """How much one deviation of each latent channel changes pixels through the linear path, (latent_channels,)."""
        return self.to_patches.weight.flatten(1).norm(dim=0) * self.latent_std

    @property
    def _mean(self) -> Tensor:
        return self.latent_mean.view(1, -1, 1, 1)

    @property
    def _std(self) -> Tensor:
        return self.latent_std.view(1, -1, 1, 1)


class _Residual(nn.Module):
    """Two convolutions beside a shortcut; the second starts at zero, so that depth does no harm early on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.outer(F.silu(self.inner(F.silu(self.norm(hidden)))))
