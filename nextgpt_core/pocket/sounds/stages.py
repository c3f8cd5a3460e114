"""The sound data and the audio decoder, end to end: clips, latents, mel autoencoder, reader, denoiser.

Everything lies under one folder; each stage keeps what it finds, so the command can be repeated and goes on where it
stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from nextgpt_core.decoders.audio import AudioDecoder
from nextgpt_core.decoders.folder import load_network, save_network
from nextgpt_core.decoders.mel_autoencoder import MelAutoencoder
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.decoders.sound_unet import SoundReader
from nextgpt_core.decoders.vocoder import SpectralVocoder, mel_spectrogram
from nextgpt_core.pocket.shards import Shards, write_shard
from nextgpt_core.pocket.sounds import network_tasks as tasks
from nextgpt_core.pocket.sounds.clips import Clips, build_clips
from nextgpt_core.pocket.sounds.kinds import load_kinds
from nextgpt_core.pocket.sounds.reader_task import SoundReaderTask, draw_said, taught
from nextgpt_core.pocket.sounds.rows import Row, draw_rows
from nextgpt_core.pocket.sounds.spectrograms import build_spectrograms, sheet
from nextgpt_core.pocket.sounds.waves import SECONDS
from nextgpt_core.pocket.training import Plan, train

SETTINGS = {"steps": 16, "guidance_scale": 2.5, "seconds": SECONDS}
SHARD = 1000  # rows a shard
SAID = 60_000  # captions for the reader
READING = Plan(1200, 256, 1e-3, 50, average=0.99)
SAMPLES = ("a dog barking", "a siren", "rain", "a slow piano melody", "a fast snare drum rhythm", "a church bell")


@dataclass(frozen=True)
class Steps:
    """How long each network is trained, over all sittings; with none, the autoencoder is what it starts as.

    Steps, because a shared machine's minutes say little.
    """

    autoencoder: int
    denoiser: int


def build_decoder(
    folder: Path,
    runs: Path,
    out: Path,
    recordings: Path | None,
    condition: SentenceCondition,
    shards: int,
    steps: Steps,
) -> None:
    """From package names to a decoder in `out`; `folder` is for data, `runs` for what is trained.

    The autoencoder's way back can be trained on at any time: it does not change the latents.
    """
    clips = build_clips(folder / "clips", folder / "packages", recordings)
    spectrograms = build_spectrograms(clips, folder / "spectrograms.npy")
    autoencoder = fit_autoencoder(runs / "sound-latents", spectrograms, clips)
    data = Shards(build_shards(folder, clips, autoencoder, condition, shards), 1)
    train_autoencoder(runs / "mel-autoencoder", autoencoder, spectrograms, clips, steps.autoencoder)
    reader = train_reader(runs / "sound-reader", clips, condition)
    train_denoiser(runs / "sound-denoiser", out, data, autoencoder, condition, steps.denoiser, reader)


def train_reader(run_folder: Path, clips: Clips, condition: SentenceCondition) -> SoundReader:
    """From words alone; to embed them takes longer than to learn."""
    known = embed_once(condition, taught([kind for kind in load_kinds() if clips.rows(False, kind.name)]))[:, 0]
    network = SoundReader(known.shape[1])
    network.known.zero_()[: len(known)] = known
    said = draw_said(clips, SAID)
    task = SoundReaderTask(network, said, embed_once(condition, [one.caption for one in said]))
    train(task, run_folder, READING)
    return network.requires_grad_(False)


def fit_autoencoder(folder: Path, spectrograms: np.ndarray, clips: Clips) -> MelAutoencoder:
    """The autoencoder with its linear path, computed once and kept: stored latents depend on it."""
    if not folder.is_dir():
        rows = clips.rows(held_out=False)
        some = spectrograms[rows[:: max(1, len(rows) // 1000)]].astype(np.float32)
        network = MelAutoencoder()
        network.start_from_patches(torch.from_numpy(some).unsqueeze(1))
        save_network(network, folder)
    return load_network(MelAutoencoder, folder)


def train_autoencoder(
    run_folder: Path, network: MelAutoencoder, spectrograms: np.ndarray, clips: Clips, steps: int
) -> None:
    """Trains its way back in place."""
    if steps:
        task = tasks.MelAutoencoderTask(network, spectrograms, clips.rows(held_out=False))
        train(task, run_folder, Plan(steps, 8, 1e-3, 50, average=0.99))
    network.eval().requires_grad_(False)


def train_denoiser(
    run_folder: Path,
    out: Path,
    data: Shards,
    autoencoder: MelAutoencoder,
    condition: SentenceCondition,
    steps: int,
    reader: SoundReader,
) -> None:
    """Trains it on latents of this autoencoder and writes the decoder to `out` at every save."""
    unet = tasks.new_sound_unet(autoencoder.config.latent_channels, data.width)
    unet.reader = reader
    prompts = condition.embed(list(SAMPLES))

    def write(network: nn.Module, _: Path) -> None:
        tasks.write_audio_decoder(out, network, autoencoder, SpectralVocoder(), data.width)

    def draw(network: nn.Module, path: Path) -> None:
        write(network, path)
        decoder = AudioDecoder(out, SETTINGS)
        waves = [torch.from_numpy(decoder.generate(prompt[None], seed=seed)) for seed, prompt in enumerate(prompts)]
        sheet([list(mel_spectrogram(torch.stack(waves)))], SAMPLES, path)

    weights = autoencoder.channel_effects().sqrt()
    task = tasks.SoundDenoiserTask(unet, data, torch.arange(len(data)), weights, write, draw)
    train(task, run_folder, Plan(steps, 48, 1e-3, 40))


def build_shards(
    folder: Path, clips: Clips, autoencoder: MelAutoencoder, condition: SentenceCondition, shards: int
) -> Path:
    """Latents and sentence vectors of `shards` · 1,000 rows; returns their folder."""
    root = folder / "shards"
    missing = [number for number in range(shards) if not (root / f"{number:04d}").is_dir()]
    for number in tqdm(missing, desc="shards", unit="shard"):
        rows = draw_rows(clips, number, SHARD)
        conditions = embed_once(condition, [row.caption for row in rows])
        write_shard(
            root / f"{number:04d}", encode(autoencoder, clips, rows), conditions, [row.to_json() for row in rows]
        )
    return root


def embed_once(condition: SentenceCondition, captions: list[str]) -> Tensor:
    """(n, 1, width): each caption's vector, computed once however often it stands there."""
    distinct = sorted(set(captions), key=len)  # of like length together, so that little is padded
    vectors = torch.cat([condition.embed(distinct[i : i + 32]) for i in range(0, len(distinct), 32)])
    place = {caption: i for i, caption in enumerate(distinct)}
    return vectors[[place[caption] for caption in captions]]


@torch.no_grad()
def encode(autoencoder: MelAutoencoder, clips: Clips, rows: list[Row]) -> np.ndarray:
    """Latents (n, channels, h, w) float16 of the waves of `rows`."""
    parts = []
    for first in range(0, len(rows), 25):
        waves = np.stack([row.wave(clips) for row in rows[first : first + 25]]).astype(np.float32)
        spectrograms = mel_spectrogram(torch.from_numpy(waves)).unsqueeze(1)
        parts.append(autoencoder.encode(spectrograms).latent)
    return torch.cat(parts).numpy().astype(np.float16)
