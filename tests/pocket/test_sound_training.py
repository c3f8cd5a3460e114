"""Training the audio decoder's networks, at tiny size, down to a folder that the stock pipeline plays."""

from __future__ import annotations

import json
import zlib
from functools import partial

import numpy as np
import pytest
import torch

from nextgpt_core.decoders.audio import AudioDecoder, put_together
from nextgpt_core.decoders.folder import DecoderError
from nextgpt_core.decoders.mel_autoencoder import MelAutoencoder
from nextgpt_core.decoders.sound_unet import ALONE, IN_TURN, KNOWN, TOGETHER, SoundReader
from nextgpt_core.decoders.vocoder import mel_spectrogram
from nextgpt_core.pocket.shards import Shards
from nextgpt_core.pocket.sounds import clips, network_tasks, reader_task, rows, stages
from nextgpt_core.pocket.sounds.kinds import load_kinds
from nextgpt_core.pocket.sounds.spectrograms import build_spectrograms
from nextgpt_core.pocket.sounds.waves import LENGTH
from nextgpt_core.pocket.training import Plan, train

PLAN = Plan(steps=4, batch=2, learning_rate=1e-3, warmup=1, precision="no")


class Sentences:
    """In MiniLM's place: a caption's vector follows from its letters."""

    def embed(self, captions: list[str]) -> torch.Tensor:
        seeds = [torch.Generator().manual_seed(zlib.crc32(caption.encode())) for caption in captions]
        return torch.stack([torch.randn(1, 16, generator=seed) for seed in seeds])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(folder, clips, spectrograms) of four kinds."""
    folder = tmp_path_factory.mktemp("sounds")
    four = tuple(kind for kind in load_kinds() if kind.name in ("siren", "laser", "sonar", "morse code"))
    with pytest.MonkeyPatch.context() as patch:
        for module in (clips, rows):
            patch.setattr(module, "load_kinds", lambda: four)
        patch.setattr(clips, "TRAINED", 3)
        patch.setattr(clips, "HELD_OUT", 1)
        patch.setattr(rows, "pair_held_out", lambda *_: False)
        found = clips.build_clips(folder / "clips", folder, None)
        yield folder, found, build_spectrograms(found, folder / "spectrograms.npy")


def test_spectrograms_are_those_of_the_clips(built):
    _, found, spectrograms = built
    expected = mel_spectrogram(torch.from_numpy(found.wave(5))[None])[0]
    np.testing.assert_allclose(spectrograms[5], expected, atol=1e-3)


def test_the_autoencoder_learns_without_changing_its_latents(built, tmp_path):
    _, found, spectrograms = built
    network = MelAutoencoder(4, (8, 8, 8))
    task = network_tasks.MelAutoencoderTask(network, spectrograms, found.rows(held_out=False))
    some = task.spectrograms(torch.arange(3))
    network.start_from_patches(some)

    def distance() -> float:
        with torch.no_grad():
            return float(network_tasks.spectrogram_loss(network(some), some))

    latents, untrained = network.encode(some).latent, distance()
    train(task, tmp_path, Plan(30, 3, 1e-2, 1, average=0.5, precision="no"))
    assert torch.equal(network.encode(some).latent, latents)
    assert distance() < untrained


def test_from_clips_to_a_decoder_that_plays(built, tmp_path, monkeypatch):
    """The stages in a row; the loss falls to what the network can do with a few steps, and the folder plays."""
    folder, found, spectrograms = built
    monkeypatch.setattr(stages, "SHARD", 12)
    monkeypatch.setattr(stages, "MelAutoencoder", partial(MelAutoencoder, 4, (8, 8, 8)))
    monkeypatch.setattr(stages, "load_network", lambda _, path: fit)
    monkeypatch.setattr(stages, "SETTINGS", {"steps": 2, "guidance_scale": 2.0, "seconds": 4.096})
    fit = MelAutoencoder(4, (8, 8, 8)).eval()
    fit.start_from_patches(torch.from_numpy(spectrograms[:].astype(np.float32)).unsqueeze(1))
    data = Shards(stages.build_shards(folder, found, fit, Sentences(), 2), 1)
    assert len(data) == 24
    latents, conditions = data.read(torch.tensor([0, 23]))
    assert latents.shape == (2, 4, 16, 4) and conditions.shape == (2, 1, 16)
    line = rows.Row(**json.loads(next(data.scenes())))
    torch.testing.assert_close(conditions[0], Sentences().embed([line.caption])[0], atol=2e-3, rtol=1e-2)

    out = tmp_path / "audio"
    monkeypatch.setattr(stages, "Plan", lambda steps, *_: PLAN)
    reader = SoundReader(16)
    stages.train_denoiser(tmp_path / "run", out, data, fit, Sentences(), 4, reader)
    decoder = AudioDecoder(out, stages.SETTINGS)
    assert decoder.prompt_shape == (1, 16) and decoder.sampling_rate == 16000
    condition = Sentences().embed(["a siren"])
    wave = decoder.generate(condition, seed=3)
    assert wave.shape == (LENGTH,) and np.isfinite(wave).all()
    np.testing.assert_array_equal(wave, decoder.generate(condition, seed=3))
    assert np.abs(wave - decoder.generate(condition, seed=4)).max() > 1e-3
    assert np.abs(wave - decoder.generate(Sentences().embed(["rain"]), seed=3)).max() > 1e-4

    read, both, steps = decoder.pipeline.unet.reader, [reader.known[:1], reader.known[1:2]], []
    monkeypatch.setattr(read, "parts", lambda condition: ([condition], False))
    alone = [decoder.generate(part[None], seed=3 + (i << 32)) for i, part in enumerate(both)]
    for in_turn in (False, True):
        monkeypatch.setattr(read, "parts", lambda _, in_turn=in_turn: (both, in_turn))
        made = decoder.generate(condition, seed=3, on_step=lambda *step: steps.append(step))
        np.testing.assert_array_equal(made, put_together(alone, in_turn, 16000))
    assert steps == 2 * [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(DecoderError, match=r"The condition is \(2, 1, 16\), expected \(1, 1, 16\)"):
        decoder.generate(condition.repeat(2, 1, 1))


def test_the_reader_learns_of_which_sounds_a_caption_speaks(built, tmp_path):
    _, found, _ = built
    four = [kind for kind in load_kinds() if kind.name in {clip.kind for clip in found.clips}]
    known = stages.embed_once(Sentences(), reader_task.taught(four))[:, 0]
    network = SoundReader(16)
    network.known.zero_()[: len(known)] = known
    said = reader_task.draw_said(found, 200)
    assert {one.way for one in said} == {0, 1, 2}
    for one in said:
        names = [reader_task.taught(four)[sound] for sound in one.sounds]
        assert (one.way == 0) == (one.sounds[0] == one.sounds[1])
        assert one.way == 0 or any(phrase in one.caption for phrase in four[one.sounds[1]].phrases), (one, names)
    task = reader_task.SoundReaderTask(network, said, stages.embed_once(Sentences(), [one.caption for one in said]))
    rows = torch.arange(200)
    before = task.accuracy(network, rows)
    train(task, tmp_path, Plan(60, 64, 3e-3, 5, average=0.5, precision="no"))
    after = task.accuracy(network, rows)
    assert after[0] > max(0.9, before[0]) and after[1] > max(0.9, before[1])

    alone, pair = (next(one for one in said if (one.way > 0) == several) for several in (False, True))
    parts, in_turn = network.parts(Sentences().embed([pair.caption])[0])
    assert in_turn == (pair.way == 2)
    torch.testing.assert_close(torch.cat(parts), known[list(pair.sounds)])
    condition = Sentences().embed([alone.caption])[0]
    assert network.parts(condition) == ([condition], False)


@pytest.mark.parametrize("way", [ALONE, TOGETHER, IN_TURN])
def test_of_two_sounds_the_likeliest_pair_counts_and_never_one_twice(way, monkeypatch):
    reader, condition = SoundReader(16), torch.randn(1, 16)
    sounds = torch.full((1, 2, KNOWN), -9.0)
    sounds[0, 0, [3, 8]], sounds[0, 1, [3, 9]] = torch.tensor([5.0, 4.0]), torch.tensor([5.0, 1.0])
    monkeypatch.setattr(reader, "forward", lambda _: (9 * torch.eye(3)[way][None], sounds))
    parts, in_turn = reader.parts(condition)
    assert in_turn == (way == IN_TURN)
    assert torch.equal(torch.cat(parts), condition if way == ALONE else reader.known[[8, 3]])


def test_music_that_is_not_called_slow_or_fast_is_read_as_neither():
    spoken = ("a piano", "a slow piano melody", "a siren")
    music = (clips.Clip(("piano", "siren")[caption == spoken[2]], caption, "slow", False) for caption in spoken)
    said = reader_task.draw_said(clips.Clips(tuple(music), (), ()), 200)
    names = reader_task.taught([kind for kind in load_kinds() if kind.name in ("piano", "siren")])
    alone = {one.caption: names[one.sounds[0]] for one in said if one.way == ALONE}
    assert {caption: alone[caption] for caption in spoken} == {caption: caption for caption in spoken}


def test_two_sounds_are_heard_at_once_or_in_turn():
    first, second = np.full(32000, 0.25, np.float32), np.full(32000, -0.5, np.float32)
    np.testing.assert_array_equal(put_together([first], False, 16000), first)
    np.testing.assert_array_equal(put_together([first, second], False, 16000), first + second)
    in_turn = put_together([first, second], True, 16000)
    assert in_turn.shape == first.shape and (in_turn[:15200] == 0.25).all() and (in_turn[16000:] == -0.5).all()
    assert np.abs(np.diff(in_turn[15000:16000])).max() < 1e-3


def test_rows_are_encoded_as_their_waves(built):
    _, found, spectrograms = built
    network = MelAutoencoder(4, (8, 8, 8)).eval()
    network.start_from_patches(torch.from_numpy(spectrograms[:].astype(np.float32)).unsqueeze(1))
    row = rows.Row("single", "a siren", (2,))
    made = stages.encode(network, found, [row])
    expected = network.encode(torch.from_numpy(spectrograms[2].astype(np.float32))[None, None]).latent
    np.testing.assert_allclose(made[0], expected[0].detach(), atol=0.05)
