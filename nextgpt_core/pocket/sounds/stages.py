"""The sound data and the audio decoder, end to end: clips, latents, mel autoencoder, reader, denoiser.

Everything lies under one folder; each stage keeps what it finds, so the command can be repeated and goes on where it
stopped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from nextgpt_core.decoders.audio import AudioDecoder
from nextgpt_core.decoders.folder import load_network, save_network
from nextgpt_core.decoders.mel_autoencoder import MelAutoencoder
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.decoders.sound_unet import SoundReader, SoundUNet2DConditionModel
from nextgpt_core.decoders.vocoder import SpectralVocoder, mel_spectrogram
from nextgpt_core.pocket.shards import Shards, write_shard
from nextgpt_core.pocket.sounds import memory
from nextgpt_core.pocket.sounds import network_tasks as tasks
from nextgpt_core.pocket.sounds.clips import Clips, build_clips
from nextgpt_core.pocket.sounds.kinds import Kind, load_kinds
from nextgpt_core.pocket.sounds.reader_task import SoundReaderTask, draw_said, manner_of, sound_of, taught
from nextgpt_core.pocket.sounds.rows import Row, draw_rows
from nextgpt_core.pocket.sounds.spectrograms import build_spectrograms, sheet
from nextgpt_core.pocket.sounds.waves import SECONDS
from nextgpt_core.pocket.training import Plan, train

SETTINGS = {"steps": 8, "guidance_scale": 1.5, "seconds": SECONDS, "strength": 0.4}
SHARD = 1000  # rows a shard
FORMAT = 2  # goes up when what is kept between sittings comes to mean something else
SAID = 60_000  # captions for the reader
READING = Plan(1200, 256, 1e-3, 50, average=0.99)
SAMPLES = ("a dog barking", "a siren", "rain", "a slow piano melody", "a fast snare drum rhythm", "a church bell")


def build_decoder(
    folder: Path,
    runs: Path,
    out: Path,
    recordings: Path | None,
    condition: SentenceCondition,
    shards: int,
    steps: int,
) -> None:
    """From package names to a decoder in `out`; `folder` is for data, `runs` for what is trained.

    Steps, because a shared machine's minutes say little.
    """
    clips = build_clips(folder / "clips", folder / "packages", recordings)
    spectrograms = build_spectrograms(clips, folder / f"spectrograms-{FORMAT}.npy")
    autoencoder = fit_autoencoder(runs / f"sound-latents-{FORMAT}", spectrograms, clips)
    reader = new_reader(clips, condition)
    data = Shards(build_shards(folder, clips, autoencoder, reader, shards), 1)
    train_reader(runs / f"sound-reader-{FORMAT}", reader, clips, condition)
    unet = tasks.new_sound_unet(autoencoder.config.latent_channels, data.width)
    unet.reader = reader
    unet.memory.remember(
        memory.examples(clips, present_kinds(clips), spectrograms, autoencoder), memory.shifts(clips, autoencoder)
    )
    network = train_denoiser(runs / f"sound-denoiser-{FORMAT}", out, data, autoencoder, condition, steps, unet)
    network = network.cpu()
    memory.imagine(network, clips, present_kinds(clips), spectrograms, autoencoder)
    tasks.write_audio_decoder(out, network, autoencoder, SpectralVocoder(), data.width)


def new_reader(clips: Clips, condition: SentenceCondition) -> SoundReader:
    """Which knows what the denoiser is to be taught, by names that it cannot read yet."""
    known = embed_once(condition, taught(present_kinds(clips)))[:, 0]
    torch.manual_seed(0)  # its manners are random directions, by which stored conditions go
    network = SoundReader(known.shape[1])
    network.known.zero_()[: len(known)] = known
    return network


def present_kinds(clips: Clips) -> list[Kind]:
    names = {clip.kind for clip in clips.clips}
    return [kind for kind in load_kinds() if kind.name in names]


def train_reader(run_folder: Path, network: SoundReader, clips: Clips, condition: SentenceCondition) -> SoundReader:
    """In place, from words alone; to embed them takes longer than to learn."""
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


def train_denoiser(
    run_folder: Path,
    out: Path,
    data: Shards,
    autoencoder: MelAutoencoder,
    condition: SentenceCondition,
    steps: int,
    unet: SoundUNet2DConditionModel,
) -> nn.Module:
    """Trains it on latents of this autoencoder and writes the decoder to `out` at every save; returns the average."""
    prompts = embed_once(condition, list(SAMPLES))

    def write(network: nn.Module, _: Path) -> None:
        tasks.write_audio_decoder(out, network, autoencoder, SpectralVocoder(), data.width)

    def draw(network: nn.Module, path: Path) -> None:
        write(network, path)
        decoder = AudioDecoder(out, SETTINGS)
        waves = [torch.from_numpy(decoder.generate(prompt[None], seed=seed)) for seed, prompt in enumerate(prompts)]
        sheet([list(mel_spectrogram(torch.stack(waves)))], SAMPLES, path)

    weights = autoencoder.channel_effects().sqrt()
    task = tasks.SoundDenoiserTask(unet, data, torch.arange(len(data)), weights, write, draw)
    return train(task, run_folder, Plan(steps, 48, 1e-3, 40))


def build_shards(folder: Path, clips: Clips, autoencoder: MelAutoencoder, reader: SoundReader, shards: int) -> Path:
    """Latents of `shards` · 1,000 rows, and what the denoiser will be asked for them; returns their folder."""
    root = folder / f"shards-{FORMAT}"
    number = {caption: i for i, caption in enumerate(taught(present_kinds(clips)))}

    def asked(row: Row) -> Tensor:
        clip = clips.clips[row.clips[0]]
        return reader.known[sound_of(clip, number)] + reader.manners[manner_of(clip.caption, row.manner)]

    missing = [number for number in range(shards) if not (root / f"{number:04d}").is_dir()]
    for shard in tqdm(missing, desc="shards", unit="shard"):
        rows = draw_rows(clips, shard, SHARD)
        conditions = torch.stack([asked(row) for row in rows])[:, None]
        lines = [row.to_json() for row in rows]
        write_shard(root / f"{shard:04d}", encode(autoencoder, clips, rows), conditions, lines)
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
