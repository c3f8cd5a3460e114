"""What the audio decoder remembers: the most typical examples of each known sound, as latents.

They are clips for training that we rendered ourselves. Of kinds made from others' recordings, whose copies must not
travel with the weights, they are what the denoiser itself makes of noise, the best of many.

Typical is what our own spectrograms say, not the judge's ear: how loud each band is and how much that changes tells
kinds apart (linear discriminants), and a sound is typical that lies far on its own kind's side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nextgpt_core.decoders.mel_autoencoder import MelAutoencoder
from nextgpt_core.decoders.sound_unet import EXAMPLES, MANNERS, Sound, SoundUNet2DConditionModel
from nextgpt_core.decoders.vocoder import mel_spectrogram
from nextgpt_core.pocket.denoiser_task import new_scheduler
from nextgpt_core.pocket.sounds import captions
from nextgpt_core.pocket.sounds.clips import Clips, seeded, with_manner
from nextgpt_core.pocket.sounds.kinds import Kind
from nextgpt_core.pocket.sounds.reader_task import MANNER_NAMES, sound_of, taught

_SHRINK = 0.1  # of the covariance within kinds, towards equal variances
_HEARD = 60  # clips from which a manner's shift is the mean
_IMAGINED, _STEPS, _GUIDANCE = 48, 25, 2.5  # sounds made of noise, of which the most typical are kept


class Typicality:
    """By how much a spectrogram is more like its own kind than like the next one."""

    def __init__(self, spectrograms: Tensor, kinds: Sequence[str]) -> None:
        """Learns from spectrograms (n, frames, bands) of known kinds (n)."""
        found = _statistics(spectrograms)
        self._mean, self._deviation = found.mean(0), found.std(0).clamp(min=1e-4)
        self._names = sorted(set(kinds))
        found, kind = (found - self._mean) / self._deviation, self._numbers(kinds)
        means = torch.stack([found[kind == i].mean(0) for i in range(len(self._names))])
        within = (found - means[kind]).T @ (found - means[kind]) / len(found)
        within = (1 - _SHRINK) * within + _SHRINK * within.diagonal().mean() * torch.eye(len(within))
        self._whiten = torch.linalg.inv(torch.linalg.cholesky(within)).T
        self._means = normalize(means @ self._whiten, dim=1)

    def __call__(self, spectrograms: Tensor, kinds: Sequence[str]) -> Tensor:
        """(n,) in −2 … 2."""
        found = (_statistics(spectrograms) - self._mean) / self._deviation
        alike = normalize(found @ self._whiten, dim=1) @ self._means.T  # (n, kinds)
        kind = self._numbers(kinds)[:, None]
        return (alike.gather(1, kind) - alike.scatter(1, kind, -2.0).amax(1, keepdim=True))[:, 0]

    def _numbers(self, kinds: Sequence[str]) -> Tensor:
        return torch.tensor([self._names.index(kind) for kind in kinds])


@torch.no_grad()
def examples(clips: Clips, kinds: Sequence[Kind], spectrograms: np.ndarray, autoencoder: MelAutoencoder) -> Tensor:
    """(known sounds, EXAMPLES, channels, frames, bands), from low to high; some twice where there are too few.

    Of the most typical, twice as many, they are the lowest, one in the middle and the highest. Zeros for kinds of
    recordings.
    """
    rows, names = clips.rows(held_out=False), {kind.name: kind for kind in kinds}
    own = [clips.clips[row].kind for row in rows]
    shown = torch.from_numpy(spectrograms[rows].astype(np.float32))
    margins = dict(zip(rows, Typicality(shown, own)(shown, own).tolist(), strict=True))
    number = {caption: i for i, caption in enumerate(taught(kinds))}
    of_sound: list[list[int]] = [[] for _ in number]
    for row in sorted(rows, key=margins.__getitem__, reverse=True):
        clip = clips.clips[row]
        if not recorded(names[clip.kind]):
            for sound in {sound_of(clip, number), number[names[clip.kind].phrases[0]]}:
                of_sound[sound].append(row)
    heights = dict(zip(rows, height(shown).tolist(), strict=True))
    size = _encode(autoencoder, spectrograms, rows[:1])[0]
    chosen = []
    for found in of_sound:
        typical = sorted((found * EXAMPLES)[: 2 * EXAMPLES], key=heights.__getitem__)
        places = [round(i * (len(typical) - 1) / (EXAMPLES - 1)) for i in range(EXAMPLES)]
        kept = [typical[place] for place in places] if typical else []
        chosen.append(_encode(autoencoder, spectrograms, kept) if kept else size.new_zeros(EXAMPLES, *size.shape))
    return torch.stack(chosen)


def recorded(kind: Kind) -> bool:
    """Whether it is made from recordings that were given, of which nothing says that they may be passed on."""
    return kind.detail.startswith("recordings:")


@torch.no_grad()
def imagine(
    unet: SoundUNet2DConditionModel,
    clips: Clips,
    kinds: Sequence[Kind],
    spectrograms: np.ndarray,
    autoencoder: MelAutoencoder,
) -> None:
    """Fills the examples that `examples` left out, with what a trained UNet makes of noise."""
    rows = clips.rows(held_out=False)
    shown = torch.from_numpy(spectrograms[rows].astype(np.float32))
    typicality = Typicality(shown, [clips.clips[row].kind for row in rows])
    for number, kind in enumerate(kinds):
        if recorded(kind):
            made = _from_noise(unet, Sound(number))
            heard = autoencoder.decode(made).sample[:, 0]
            best = typicality(heard, [kind.name] * len(made)).topk(EXAMPLES).indices
            best = best[height(heard[best]).argsort()]
            first = number * EXAMPLES
            unet.memory.examples[first : first + EXAMPLES] = made[best].flatten(1)


def height(spectrograms: Tensor) -> Tensor:
    """(n,) of (n, frames, bands): the band around which their magnitudes lie."""
    magnitudes = (6 * spectrograms).exp().sum(1)  # about those of `mel_spectrogram`, but for a factor
    return magnitudes @ torch.arange(magnitudes.shape[1], dtype=torch.float32) / magnitudes.sum(1)


@torch.no_grad()
def shifts(clips: Clips, autoencoder: MelAutoencoder) -> Tensor:
    """(MANNERS, channels, bands): how the latents of a sound change on the whole when it is heard in a manner.

    Registers change what is played, and shift nothing.
    """
    rows = clips.rows(held_out=False)
    waves = [clips.wave(row) for row in rows[:: max(1, len(rows) // _HEARD)]]

    def latents(heard: list[np.ndarray]) -> Tensor:
        shown = mel_spectrogram(torch.from_numpy(np.stack(heard).astype(np.float32)))
        return autoencoder.encode(shown.unsqueeze(1)).latent

    plain = latents(waves)
    found = torch.zeros(MANNERS, plain.shape[1], plain.shape[3])
    for name in captions.MANNERS:
        heard = latents([with_manner(wave, name, seeded("shift", name, i)) for i, wave in enumerate(waves)])
        found[MANNER_NAMES.index(name)] = (heard - plain).mean((0, 2))
    return found


def _from_noise(unet: SoundUNet2DConditionModel, sound: Sound) -> Tensor:
    """Latents (_IMAGINED, channels, frames, bands)."""
    scheduler, generator = new_scheduler(), torch.Generator().manual_seed(sound.known)
    made = torch.randn(_IMAGINED, *unet.memory.shape, generator=generator)
    condition = unet.reader.asked(sound).expand(len(made), -1)
    both = torch.cat([torch.zeros_like(condition), condition])
    scheduler.set_timesteps(_STEPS)
    for step in scheduler.timesteps:
        without, asked = unet(torch.cat([made, made]), step, None, class_labels=both).sample.chunk(2)
        made = scheduler.step(without + _GUIDANCE * (asked - without), step, made).prev_sample
    return made


def _encode(autoencoder: MelAutoencoder, spectrograms: np.ndarray, rows: Sequence[int]) -> Tensor:
    return autoencoder.encode(torch.from_numpy(spectrograms[list(rows)].astype(np.float32)).unsqueeze(1)).latent


def _statistics(spectrograms: Tensor) -> Tensor:
    """(n, 3 · bands): how loud each band is, how much that varies, and how fast."""
    changes = spectrograms.diff(dim=1).abs().mean(1)
    return torch.cat([spectrograms.mean(1), spectrograms.std(1), changes], 1)
