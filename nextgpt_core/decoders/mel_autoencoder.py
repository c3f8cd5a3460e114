"""The pocket audio decoder's autoencoder: log-mel spectrograms to latents 16 times smaller on each side, and back.

What it is made of stands in `patch_autoencoder`. The way in is linear, principal components of patches of 16 frames by
16 bands, so that latents need no training and stay as they are while the way back is trained.
"""

from __future__ import annotations

from diffusers.configuration_utils import register_to_config
from torch import nn

from nextgpt_core.decoders.patch_autoencoder import PatchAutoencoder, patch_decoder


class MelAutoencoder(PatchAutoencoder):
    """Spectrograms (b, 1, frames, bands) ↔ latents (b, latent_channels, frames/16, bands/16), of unit variance.

    `widths` are the decoder's channels at a quarter, an eighth and a sixteenth of the spectrogram's size, `blocks` its
    residual blocks there. `block_out_channels` only tells the pipeline how often a side is halved.
    """

    patch = 16

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
        self._add_linear_path(1, latent_channels)
        self.decoder = patch_decoder(1, latent_channels, widths, blocks)
        nn.init.zeros_(self.decoder[-2].bias)
