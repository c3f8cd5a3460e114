"""Names of things: learned from features of any size, spelled in the language model's own embeddings."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import torch

from nextgpt_core.config import RecallConfig
from nextgpt_core.encoders.efficientnet import FEATURES
from nextgpt_core.evaluation.understanding import MOTIONS, held_out_files, names
from nextgpt_core.pocket import names as names_module
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.holdout import style_held_out
from nextgpt_core.pocket.layouts import MOVES
from nextgpt_core.pocket.motion_phrases import briefly
from nextgpt_core.pocket.names import learn, spell
from nextgpt_core.pocket.sounds.clips import Clip, Clips
from nextgpt_core.pocket.sounds.kinds import load_kinds
from nextgpt_core.pocket.sources import STYLES, Sprites
from nextgpt_core.pocket.things import drawings, learn_things
from nextgpt_core.projectors import Recall
from nextgpt_core.storage import load_tensors, save_tensors
from tests.pocket.worlds import disc


def clusters(count: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Around five centres that lie far off in all directions, on scales of their own."""
    centres, labels = torch.randn(5, 8, generator=torch.manual_seed(3)), torch.randint(5, (count,))
    scales = torch.logspace(-2, 2, 8)
    return (centres[labels] + spread * torch.randn(count, 8)) * scales + 10 * scales, labels


def test_keys_tell_apart_features_as_they_come(tmp_path):
    features, labels = clusters(600, 0.2)
    for hidden in (0, 16):
        recall = Recall(RecallConfig(5, (0, 8), hidden=hidden), 4)
        recall.names[:, 0] = torch.tensor([0, 1, 2047, 2049, 49_151])  # more than sixteen bits of a float can count
        learn(recall, features[:400], labels[:400], steps=200)
        assert (recall.recognise(features[400:]).argmax(1) == labels[400:]).float().mean() > 0.95
        save_tensors(recall.state_dict(), tmp_path / "recall.safetensors", 6)  # whatever the features' sizes are
        names = recall.names.clone()
        recall.load_state_dict(load_tensors(tmp_path / "recall.safetensors"))
        assert torch.equal(recall.names, names)
        assert (recall.recognise(features[400:]).argmax(1) == labels[400:]).float().mean() > 0.95


def test_things_are_known_in_styles_in_which_they_were_never_seen():
    """A style shifts all things alike; its own noise, strong where things hardly differ, is what must be overlooked."""
    torch.manual_seed(0)
    things, styles, columns = 12, 5, FEATURES + 40
    looks, shifts = torch.randn(things, 40), 2 * torch.randn(styles, 40)
    loud = torch.cat([torch.full((30,), 0.3), torch.full((10,), 6.0)])

    def seen(thing, style):
        cells = looks[thing] + shifts[style] + loud * torch.randn(len(thing), 40)
        return torch.cat([torch.randn(len(thing), FEATURES) + 1, cells], 1)

    every = torch.cartesian_prod(torch.arange(things), torch.arange(styles)).repeat(6, 1)
    unseen = (every.sum(1) % styles) == 0  # of each thing one style
    taught, left_out = every[~unseen], every[unseen]
    photos = torch.randn(60, columns)
    photos[:, :FEATURES] -= 1
    classes, shares = torch.arange(60) % 4, torch.full((60, 4), 0.02)
    shares[torch.arange(60), classes] = 0.94
    recall = Recall(RecallConfig(4 + things, (0, columns), rank=12, known=(columns, columns + 4)), 1)
    known = torch.cat([torch.full((len(taught), 4), 0.25), shares])
    learn_things(recall, seen(*taught.T), taught[:, 0], photos, classes, known)
    with torch.no_grad():
        drawn = torch.cat([seen(*left_out.T), torch.full((len(left_out), 4), 0.25)], 1)
        assert (recall.recognise(drawn).argmax(1) == 4 + left_out[:, 0]).float().mean() > 0.9
        assert (recall.recognise(torch.cat([photos, shares], 1)).argmax(1) == classes).float().mean() > 0.95


def test_a_name_is_spelled_in_its_tokens():
    words = {" a": [3], " bcd": [4, 5, 6], " efghi": [7, 8, 9, 10], ".": [1]}
    model = SimpleNamespace(tokenizer=SimpleNamespace(encode=words.__getitem__))
    recall = Recall(RecallConfig(4, (0, 2)), 3)
    spell(model, recall, ["a", "", "bcd", "efghi"])
    assert recall.names.tolist() == [[3, 1, 1], [-1, -1, -1], [4, 5, 6], [7, 8, 9]]


def test_no_thing_is_learned_in_a_style_that_is_held_out():
    catalog = load_catalog()
    sprites = Sprites(disc("red")[None], {(c.name, style): 0 for c in catalog[:8] for style in STYLES})
    shown = list(drawings(sprites, dict.fromkeys(sprites.rows)))
    pairs = [(n, s) for n, concept in enumerate(catalog) for s in STYLES if (concept.name, s) in sprites.rows]
    kept = [(n, s) for n, s in pairs if not style_held_out(catalog[n].name, s)]
    assert 0 < len(kept) < len(pairs)
    assert [number for number, _ in shown] == [number for number, _ in kept for _ in range(4)]
    middle, mirrored, *_ = (np.asarray(picture) for _, picture in shown[:4])
    assert middle.shape == mirrored.shape and (middle != mirrored).any()


def test_no_recording_of_the_examination_is_heard(tmp_path, monkeypatch):
    lines = [json.dumps({"file": f"{number}.ogg", "label": "cat"}) for number in range(20)]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines), encoding="utf-8")
    kept = (Clip("siren", "a siren", "", False), Clip("siren", "a siren", "", True), Clip("cat", "a cat", "", False))
    waves = np.zeros((3, 8), np.int16)
    monkeypatch.setattr(names_module, "open_clips", lambda _: Clips(kept, (waves,), ((0, 0), (0, 1), (0, 2))))
    loaded = []
    ears = SimpleNamespace(
        embed=lambda wave, rate: torch.zeros(4),
        load=lambda item: loaded.append(item.path.name) or torch.zeros(1),
        encode=lambda _: torch.ones(1, 2, 4),
    )
    features, labels = names_module.heard(ears, tmp_path, tmp_path)
    kinds = [kind.name for kind in load_kinds()]
    assert [kinds[label] for label in labels] == ["siren", *["cat"] * 18]  # no clip arranged from unknown recordings
    assert features.sum(1).tolist() == [0.0, *[4.0] * 18]
    assert not set(loaded) & {item.media.path.name for item in held_out_files(tmp_path, "audio")}


def test_every_motion_has_a_short_name_of_its_own():
    said = [briefly(*move) for move in MOVES]
    assert len(set(said)) == len(MOVES) and max(len(words.split()) for words in said) == 5
    for (kind, _, _), words in zip(MOVES, said, strict=True):
        assert kind not in MOTIONS or names(words, MOTIONS[kind].split()), words
