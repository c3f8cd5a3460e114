"""The pocket audio decoder's autoencoder: log-mel spectrograms to latents 16 times smaller on each side, and back.

Both ways are linear, principal components of patches of 16 frames by 16 bands, so that nothing needs training: with 64
of them the ear knows a sound again as well as from the spectrogram itself.
"""

from __future__ import annotations

from diffusers.configuration_utils import register_to_config
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.decoders.patch_autoencoder import PatchAutoencoder


class MelAutoencoder(PatchAutoencoder):
    """Spectrograms (b, 1, frames, bands) ↔ latents (b, latent_channels, frames/16, bands/16), of unit variance.

    `block_out_channels` only tells the pipeline how often a side is halved.
    """

    patch = 16

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 64,
        block_out_channels: tuple[int, ...] = (1, 16, 64, 128, 256),
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self._add_linear_path(1, latent_channels)

    def restored(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(self.to_patches(latents), self.patch)
