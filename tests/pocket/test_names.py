"""Names of things: learned from features of any size, spelled in the language model's own embeddings."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from nextgpt_core.config import RecallConfig
from nextgpt_core.evaluation.understanding import MOTIONS, held_out_files, names
from nextgpt_core.pocket import names as names_module
from nextgpt_core.pocket.layouts import MOVES
from nextgpt_core.pocket.motion_phrases import briefly
from nextgpt_core.pocket.names import fit, learn, spell, standardize
from nextgpt_core.pocket.sounds.clips import Clip, Clips
from nextgpt_core.pocket.sounds.kinds import load_kinds
from nextgpt_core.projectors import Recall
from nextgpt_core.storage import load_tensors, save_tensors


def clusters(count: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Around five centres that lie far off in all directions, on scales of their own."""
    centres, labels = torch.randn(5, 8, generator=torch.manual_seed(3)), torch.randint(5, (count,))
    scales = torch.logspace(-2, 2, 8)
    return (centres[labels] + spread * torch.randn(count, 8)) * scales + 10 * scales, labels


def test_keys_tell_apart_features_as_they_come(tmp_path):
    features, labels = clusters(600, 0.2)
    for hidden in (0, 16):
        recall = Recall(RecallConfig(5, (0, 8), hidden=hidden), 4)
        learn(recall, features[:400], labels[:400], steps=200)
        assert (recall.recognise(features[400:]).argmax(1) == labels[400:]).float().mean() > 0.95
        save_tensors(recall.state_dict(), tmp_path / "recall.safetensors", 6)  # whatever the features' sizes are
        recall.load_state_dict(load_tensors(tmp_path / "recall.safetensors"))
        assert (recall.recognise(features[400:]).argmax(1) == labels[400:]).float().mean() > 0.95


def test_what_is_known_already_shares_the_softmax():
    features, labels = clusters(600, 0.2)
    features = standardize(Recall(RecallConfig(5, (0, 8)), 4), features)
    known = torch.where(labels[:, None] == torch.arange(2), 8.0, -8.0)  # the first two, by somebody else
    keys = nn.Linear(8, 3)
    fit(keys, features, labels, known, steps=200)
    found = torch.cat([known, keys(features)], 1).argmax(1)
    assert (found == labels).float().mean() > 0.95


def test_a_name_is_spelled_in_its_tokens_embeddings():
    table = torch.randn(30, 4)
    words = {" a": [3], " bcd": [4, 5, 6], " efghi": [7, 8, 9, 10], ".": [1]}
    model = SimpleNamespace(
        language_model=SimpleNamespace(width=4, embed=lambda ids: table[ids]),
        tokenizer=SimpleNamespace(encode=words.__getitem__),
        device="cpu",
    )
    recall = Recall(RecallConfig(4, (0, 2)), 3 * 4)
    spell(model, recall, ["a", "", "bcd", "efghi"])
    spelled = recall.values.weight.T.view(4, 3, 4)
    for number, ids in enumerate(([3, 1, 1], None, [4, 5, 6], [7, 8, 9])):
        assert torch.equal(spelled[number], torch.zeros(3, 4) if ids is None else table[torch.tensor(ids)])


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
