"""Vicuna from LLaMA and the published differences; and weights read from every layout that a folder can have."""

from __future__ import annotations

import argparse

import pytest
import torch
from transformers import LlamaForCausalLM

from nextgpt_core import official_checkpoint, vicuna_delta
from nextgpt_core.vicuna_delta import apply_delta
from nextgpt_core.weight_folder import WeightFolder
from tests.official_release import WORDS, write_base


@pytest.fixture
def folders(tmp_path):
    """LLaMA, and the difference of a Vicuna with one row more to it, in pickled parts as they were published."""
    torch.manual_seed(0)
    llama = write_base(tmp_path / "llama", rows=WORDS)
    vicuna = write_base(tmp_path / "delta", rows=WORDS + 1)
    wanted = {name: tensor.clone() for name, tensor in vicuna.state_dict().items()}
    (tmp_path / "delta" / "model.safetensors").unlink()
    difference = dict(wanted)
    for name, tensor in llama.state_dict().items():
        difference[name] = wanted[name].clone()
        difference[name][: len(tensor)] -= tensor
    difference["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    torch.save(difference, tmp_path / "delta" / "pytorch_model.bin")
    return tmp_path, wanted


def test_the_sum_is_the_model_that_the_difference_was_made_of(folders, monkeypatch):
    path, wanted = folders
    monkeypatch.setattr(vicuna_delta, "_PART_BYTES", 10_000)
    parser = argparse.ArgumentParser()
    official_checkpoint.add_arguments(parser)
    words = ["vicuna", path / "llama", path / "delta", "--out", path / "out"]
    assert official_checkpoint.run(parser.parse_args(list(map(str, words)))) == 0
    assert len(list((path / "out").glob("*-of-*.safetensors"))) > 2
    read = LlamaForCausalLM.from_pretrained(path / "out").state_dict()
    assert read.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(read[name].float(), tensor, atol=1e-3, rtol=1e-3)


def test_another_base_is_refused(folders):
    path, _ = folders
    write_base(path / "wide", rows=WORDS, width=64)
    with pytest.raises(
        ValueError, match=r"embed_tokens.weight is \(\d+, 64\) in the base and \(\d+, 32\) in the delta"
    ):
        apply_delta(path / "wide", path / "delta", path / "out")


def test_reads_whole_and_parted_weights_alike(folders, monkeypatch):
    path, _ = folders
    model = LlamaForCausalLM.from_pretrained(path / "llama")
    model.save_pretrained(path / "parted", max_shard_size="20KB")
    whole, parted = WeightFolder(path / "llama"), WeightFolder(path / "parted")
    assert not (path / "parted" / "model.safetensors").exists()
    assert set(whole) == set(parted) == set(model.state_dict())
    assert all(torch.equal(whole[name], parted[name]) for name in whole)


def test_a_folder_without_weights_says_what_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no weights: expected model.safetensors or pytorch_model.bin"):
        WeightFolder(tmp_path)
