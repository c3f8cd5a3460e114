"""What the pocket decoders' autoencoders share: patches to latents and back, linearly, and if need be better than that.

The linear path may start as a principal component analysis, so that latents mean something before anything is trained.
It offers what diffusers' pipelines ask of a `vae`. What the maps are, pictures or spectrograms, a subclass says; how
it is trained is the business of `pocket`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.autoencoders.vae import DecoderOutput, EncoderOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Maps (b, c, h, w) ↔ latents (b, latent_channels, h / patch, w / patch).

    A subclass builds the linear path, and a `decoder` (see `patch_decoder`) or its own `restored`; `latents` is its own
    way in where that is not the linear path alone, `scaled` and `unscaled` are where its latents are not of unit
    variance by themselves.
    """

    patch: ClassVar[int]  # places a side that become one latent cell

    def encode(self, maps: Tensor, return_dict: bool = True) -> EncoderOutput | tuple[Tensor]:
        latents = self.scaled(self.latents(maps))
        return EncoderOutput(latents) if return_dict else (latents,)

    def decode(
        self, latents: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """`generator` is taken because pipelines pass one; decoding draws nothing."""
        maps = self.restored(self.unscaled(latents))
        return DecoderOutput(maps) if return_dict else (maps,)

    def forward(self, maps: Tensor, noise: float = 0.0) -> Tensor:
        """Maps → latents, disturbed by `noise` of their own scale → maps."""
        latents = self.latents(maps)
        if noise:
            latents = latents + noise * torch.randn_like(latents)
        return self.restored(latents)

    def latents(self, maps: Tensor) -> Tensor:
        """(b, latent_channels, h / patch, w / patch), not scaled yet."""
        return self.to_latents(F.pixel_unshuffle(maps, self.patch))

    def restored(self, latents: Tensor) -> Tensor:
        """Latents as `latents` gives them → maps (b, c, h, w)."""
        return F.pixel_shuffle(self.to_patches(latents), self.patch) + self.decoder(latents)

    def scaled(self, latents: Tensor) -> Tensor:
        return latents

    def unscaled(self, latents: Tensor) -> Tensor:
        return latents

    @torch.no_grad()
    def start_from_patches(self, maps: Tensor) -> None:
        """Sets the linear path to principal components of the patches of `maps` (n, c, h, w), of variance one."""
        patches = F.pixel_unshuffle(maps, self.patch).permute(0, 2, 3, 1).flatten(0, 2)  # (patches, c · patch²)
        mean, channels = patches.mean(0), self.config.latent_channels
        _, deviations, components = torch.svd_lowrank(patches - mean, channels + 16, niter=3)
        components = components[:, :channels].T  # (latent_channels, c · patch²)
        scale = deviations[:channels, None] / len(patches) ** 0.5
        self.to_latents.weight.copy_((components / scale)[..., None, None])
        self.to_latents.bias.copy_(-(components / scale) @ mean)
        self.to_patches.weight.copy_((components * scale).T[..., None, None])
        self.to_patches.bias.copy_(mean)

    @torch.no_grad()
    def channel_effects(self) -> Tensor:
        """How much one deviation of each latent channel changes a map through the linear path, (latent_channels,)."""
        return self.to_patches.weight.flatten(1).norm(dim=0)

    def _add_linear_path(self, channels: int, latent_channels: int) -> None:
        self.to_latents = nn.Conv2d(channels * self.patch**2, latent_channels, 1)
        self.to_patches = nn.Conv2d(latent_channels, channels * self.patch**2, 1)


def patch_decoder(channels: int, latent_channels: int, widths: Sequence[int], blocks: Sequence[int]) -> nn.Sequential:
    """Latents (b, latent_channels, h, w) → (b, channels, 2h · 2 …, 2w · 2 …), zeros to begin with but for its bias.

    `widths` are the channels of the stages from fine to coarse, each twice the size of the next and the last of the
    latents' size, `blocks` their residual blocks; the finest stage makes 4×4 places at once.
    """
    layers: list[nn.Module] = [nn.Conv2d(latent_channels, widths[-1], 3, padding=1)]
    for stage in reversed(range(len(widths))):
        layers += (Residual(widths[stage]) for _ in range(blocks[stage]))
        if stage:
            layers += [nn.Conv2d(widths[stage], 4 * widths[stage - 1], 1), nn.PixelShuffle(2)]
    layers += [nn.Conv2d(widths[0], 16 * channels, 3, padding=1), nn.PixelShuffle(4)]
    nn.init.zeros_(layers[-2].weight)
    return nn.Sequential(*layers)


class Residual(nn.Module):
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
