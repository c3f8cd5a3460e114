"""aiSFX, the pocket profile's ears: embeddings trained to index libraries of sound effects.

The network and its spectrogram are written from the paper (Ma and Lerch, "Representation Learning for the Automatic
Indexing of Sound Effects Libraries", ISMIR 2022) and checked against the Essentia library, which computed the
spectrograms that the published weights were trained on. Reading files is `media`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextgpt_core import media
from nextgpt_core.conversation import Media

RATE = 44_100
WINDOW, HOP, BANDS = 2048, 1024, 96
BLOCK, BLOCK_HOP = 100, 50  # frames; a block is 2.3 s
WIDTH = 512
_LOUDEST = 9.457798957824707  # the largest value in the spectrograms that the weights were trained on
_BATCH = 8  # blocks through the network at once


class SoundEffects:
    """The frozen encoder of sounds: two rows of 512, the mean of the blocks' embeddings and their largest values.

    A block is 100 frames of the spectrogram (2.3 s), half overlapping the next; the end that fills no block is left
    out, and a sound shorter than one block is followed by silence, as in the published code.
    """

    dim = WIDTH
    rows = {"audio": 2}

    def __init__(self, weights: Path):
        self.weights = weights
        self.device = "cpu"
        self._window = torch.hann_window(WINDOW, periodic=False)
        self._filters = mel_filters()

    @cached_property
    def network(self) -> Network:
        """Read at the first use: a conversation without sounds never waits for it."""
        network = Network()
        network.load_state_dict(_read_weights(self.weights))
        return network.eval().requires_grad_(False).to(self.device)

    def to(self, device: str) -> SoundEffects:
        self.device = device
        if "network" in vars(self):
            self.network.to(device)
        return self

    def load(self, item: Media) -> Tensor:
        """(blocks, 100, 96): the blocks of a sound's spectrogram, or of a video's track; raises media.MediaError."""
        return self.blocks(torch.from_numpy(self.received(item)[0]))

    def received(self, item: Media) -> tuple[np.ndarray, int]:
        return media.read_audio(item.path, RATE), RATE

    @torch.no_grad()
    def encode(self, inputs: Sequence[Tensor]) -> Tensor:
        """(b, 2, 512) of b tensors that `load` returned."""
        blocks = torch.cat([self.network(part.to(self.device)) for part in torch.cat(list(inputs)).split(_BATCH)])
        sounds = blocks.split([len(sound) for sound in inputs])  # each (blocks, 512)
        return torch.stack([torch.stack([sound.mean(0), sound.amax(0)]) for sound in sounds])

    def embed(self, waveform: np.ndarray | Tensor, rate: int) -> Tensor:
        """(512,): the mean embedding of a mono waveform (n,), for judging generated sounds."""
        waveform = torch.as_tensor(waveform, dtype=torch.float32)
        if rate != RATE:
            length = max(1, round(len(waveform) * RATE / rate))
            waveform = resample(waveform, length)
        return self.encode([self.blocks(waveform)])[0, 0]

    def blocks(self, waveform: Tensor) -> Tensor:
        """(blocks, 100, 96) of a waveform (n,) at 44.1 kHz."""
        frames = self.spectrogram(waveform)
        frames = F.pad(frames, (0, 0, 0, max(0, BLOCK - len(frames))))
        return frames.unfold(0, BLOCK, BLOCK_HOP).transpose(1, 2)

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """(frames, 96): log mel power, silence 0, the loudest about 1; frame i is centred on sample 1024 · i."""
        over = -len(waveform) % HOP
        padded = F.pad(waveform, (WINDOW // 2, WINDOW // 2 + over))
        frames = torch.stft(padded, WINDOW, HOP, window=self._window, center=False, return_complex=True)
        power = frames.abs().square().T @ self._filters  # (frames, 96)
        return (1 + 1e4 * power).log10() / _LOUDEST


class Network(nn.Module):
    """(b, 512) from blocks (b, frames, bands): the last feature maps, mean over bands, then maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 64, 128, 256, WIDTH)
        for i in range(4):
            setattr(self, f"conv_block{i + 1}", _Block(widths[i], widths[i + 1]))

    def forward(self, blocks: Tensor) -> Tensor:
        x = blocks.unsqueeze(1)
        for block in self.children():
            x = block(x)
            if block is not self.conv_block4:
                x = F.max_pool2d(x, 2)
        return x.mean(3).amax(2)


class _Block(nn.Module):
    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


def mel_filters() -> Tensor:
    """(1025, 96): triangles on HTK's mel scale, straight in mel rather than in hertz, each summing to 1."""
    mel = 1127 * np.log1p(np.fft.rfftfreq(WINDOW, 1 / RATE) / 700)  # of each bin
    edges = np.linspace(0, 1127 * np.log1p(RATE / 2 / 700), BANDS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (mel[:, None] - low) / (centre - low)
    falling = (high - mel[:, None]) / (high - centre)
    filters = np.minimum(rising, falling).clip(0)
    return torch.from_numpy(filters / filters.sum(0)).float()


def resample(waveform: Tensor, length: int) -> Tensor:
    """Through the spectrum: (length,), what the lower of the two rates can hold, without aliases."""
    spectrum = torch.fft.rfft(waveform)
    kept = spectrum[: length // 2 + 1]
    return torch.fft.irfft(kept, length) * (length / len(waveform))


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The embedding network's part of the published checkpoint, which also lists training sets and their classifiers.

    The list is written with numpy's integers: harmless names that torch has to be told of, the first of them moved
    between releases of numpy.
    """
    scalar = np.int64(0).__reduce__()[0]  # the function that the file calls, by whichever name
    known = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    with torch.serialization.safe_globals([*known, (np.dtype, "numpy.dtype"), type(np.dtype(np.int64))]):
        weights, _ = torch.load(path, weights_only=True, map_location="cpu")
    prefix = "embedding_net."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
