"""The pocket audio decoder's autoencoder: log-mel spectrograms to latents 16 times smaller on each side, and back.

The way in is linear: principal components of patches of 16 frames by 16 bands, so that latents need no training and
stay as they are while the way back is trained: the same components, and convolutions beside them that do better. It
offers what diffusers' AudioLDM pipeline asks of a `vae`. How it is trained is the business of `pocket`.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, EncoderOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 16  # frames, and bands, that become one latent cell


class MelAutoencoder(ModelMixin, ConfigMixin):
    """Spectrograms (b, 1, frames, bands) ↔ latents (b, latent_channels, frames/16, bands/16), of unit variance.

    `widths` are the decoder's channels at a quarter, an eighth and a sixteenth of the spectrogram's size, `blocks` its
    residual blocks there. `block_out_channels` only tells the pipeline how often a side is halved.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 32,
        widths: tuple[int, int, int] = (64, 128, 256),
        blocks: tuple[int, int, int] = (1, 1, 1),
        block_out_channels: tuple[int, ...] = (1, 16, 64, 128, 256),
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        quarter, eighth, coarse = widths
        self.to_latents = nn.Conv2d(PATCH**2, latent_channels, 1)
        self.to_patches = nn.Conv2d(latent_channels, PATCH**2, 1)
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, coarse, 3, padding=1),
            *(_Residual(coarse) for _ in range(blocks[2])),
            nn.Conv2d(coarse, 4 * eighth, 1),
            nn.PixelShuffle(2),
            *(_Residual(eighth) for _ in range(blocks[1])),
            nn.Conv2d(eighth, 4 * quarter, 1),
            nn.PixelShuffle(2),
            *(_Residual(quarter) for _ in range(blocks[0])),
            nn.Conv2d(quarter, 16, 3, padding=1),
            nn.PixelShuffle(4),
        )
        nn.init.zeros_(self.decoder[-2].weight)
        nn.init.zeros_(self.decoder[-2].bias)

    def encode(self, spectrogram: Tensor, return_dict: bool = True) -> EncoderOutput | tuple[Tensor]:
        latents = self.to_latents(F.pixel_unshuffle(spectrogram, PATCH))
        return EncoderOutput(latents) if return_dict else (latents,)

    def decode(
        self, latents: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """`generator` is taken because pipelines pass one; decoding draws nothing."""
        spectrogram = F.pixel_shuffle(self.to_patches(latents), PATCH) + self.decoder(latents)
        return DecoderOutput(spectrogram) if return_dict else (spectrogram,)

    def forward(self, spectrogram: Tensor, noise: float = 0.0) -> Tensor:
        """Spectrogram → latents, disturbed by `noise` → spectrogram (b, 1, frames, bands)."""
        latents = self.encode(spectrogram).latent
        if noise:
            latents = latents + noise * torch.randn_like(latents)
        return self.decode(latents).sample

    @torch.no_grad()
    def fit(self, spectrograms: Tensor) -> None:
        """Sets the linear path to the principal components of the patches of (n, 1, frames, bands), of variance one."""
        patches = F.pixel_unshuffle(spectrograms, PATCH).permute(0, 2, 3, 1).flatten(0, 2)  # (patches, 256)
        mean, channels = patches.mean(0), self.config.latent_channels
        _, deviations, components = torch.svd_lowrank(patches - mean, channels + 16, niter=3)
        components = components[:, :channels].T  # (latent_channels, 256)
        scale = deviations[:channels, None] / len(patches) ** 0.5
        self.to_latents.weight.copy_((components / scale)[..., None, None])
        self.to_latents.bias.copy_(-(components / scale) @ mean)
        self.to_patches.weight.copy_((components * scale).T[..., None, None])
        self.to_patches.bias.copy_(mean)

    @torch.no_grad()
    def channel_effects(self) -> Tensor:
        """How much a deviation of each latent channel changes a spectrogram by the linear path, (latent_channels,)."""
        return self.to_patches.weight.flatten(1).norm(dim=0)


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
