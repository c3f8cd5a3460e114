"""The released weights: a synthetic release with every key is converted whole; what is wrong is refused."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from nextgpt_core.config import load_config
from nextgpt_core.official_checkpoint import MARKERS, PROFILE, ConversionError, convert, special_markers, to_our_names
from nextgpt_core.storage import load_tensors
from tests.official_release import WIDTH, WORDS, manifest, small_config, write_base, write_profile, write_release


@pytest.fixture
def release(tmp_path):
    torch.manual_seed(0)
    base = write_base(tmp_path / "base")
    state = write_release(tmp_path / "release", base.get_input_embeddings().weight)
    write_profile(tmp_path / "profile")
    return tmp_path, state


def _convert(path) -> None:
    convert(path / "release", path / "base", path / "out", profile=path / "profile")


def test_the_real_release_is_used_whole():
    shapes = manifest()
    assert sum(map(math.prod, shapes.values())) == 396_045_568
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    tensors = to_our_names(state, load_config(PROFILE), width=4096, layers=32)
    assert sum(tensor.numel() for tensor in tensors.values()) == 396_045_568
    assert tensors["language_model.base.model.embed_tokens.weight"].shape == (32002, 4096)
    assert tensors["language_model.signal_head"].shape == (36, 4096)
    assert tensors["output_projectors.video.queries"].shape == (1, 77, 512)


def test_every_value_arrives(release):
    path, state = release
    _convert(path)
    ours = load_tensors(path / "out" / "trained.safetensors")
    table = state["llama_model.base_model.model.lm_head.weight"].float()
    assert torch.equal(ours["language_model.base.lm_head.weight"], table[: WORDS + 2])
    assert torch.equal(ours["language_model.signal_head"], table[WORDS + 2 :])
    assert torch.equal(ours["output_projectors.audio.queries"], state["gen_text_hidden_fcs_audio.0.query_embs"].float())
    assert sum(t.numel() for t in ours.values()) == sum(t.numel() for t in state.values())
    assert sorted(t.double().sum().item() for t in ours.values() if t.shape[0] not in (WORDS + 2, 36)) == sorted(
        t.double().sum().item() for t in state.values() if t.shape[0] != WORDS + 38
    )


def test_the_unwrapped_names_of_the_stages_files_are_read_too(release):
    _, state = release
    wrapped = "llama_model.base_model.model."
    bare = {key.replace(wrapped, "llama_model.") if "lora" not in key else key: value for key, value in state.items()}
    assert "llama_model.lm_head.weight" in bare
    assert to_our_names(bare, small_config(), WIDTH, 2).keys() == to_our_names(state, small_config(), WIDTH, 2).keys()


@pytest.mark.parametrize(("names", "special"), [(("<Img>", "</Img>"), MARKERS), (("{'<Img>'}", "{'</Img>'}"), ())])
def test_the_names_of_the_added_tokens_decide_what_a_marker_is(names, special):
    config = load_config(PROFILE)
    signals = [f"[{s.name}{i}]" for s in config.signals.values() for i in range(s.count)]
    added = {name: 32000 + i for i, name in enumerate([*names, *signals])}
    assert len(added) == 38 and added["[IMG0]"] == 32002 and added["[AUD7]"] == 32037
    assert special_markers(added, config) == special


def test_other_signal_tokens_are_refused():
    added = {"<Img>": 32000, "</Img>": 32001, "<Vid>": 32002, "</Vid>": 32003, "[IMG0]": 32004}
    with pytest.raises(ConversionError, match="lists 5 tokens, expected two markers and then"):
        special_markers(added, load_config(PROFILE))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"gen_text_hidden_fcs.0.fc.bias": None}, "gen_text_hidden_fcs.0.fc.bias is missing"),
        ({"llama_model.extra": torch.zeros(1)}, "llama_model.extra is not expected"),
        ({"llama_proj.bias": torch.zeros(7)}, r"llama_proj.bias is \(7,\), expected \(32,\)"),
        ({"llama_proj.weight": None}, "not a NExT-GPT release"),
    ],
)
def test_a_release_that_does_not_fit_is_refused(release, change, told):
    _, state = release
    changed = {key: value for key, value in {**state, **change}.items() if value is not None}
    with pytest.raises(ConversionError, match=told):
        to_our_names(changed, small_config(), WIDTH, 2)


def test_a_base_of_another_family_is_refused(release):
    path, _ = release
    torch.manual_seed(1)
    write_base(path / "base")
    with pytest.raises(ConversionError, match=r"LLaMA-2 and Vicuna v1.5 do. The release needs Vicuna-7B v0"):
        _convert(path)


def test_a_base_without_v0s_padding_row_is_refused(release):
    path, _ = release
    torch.manual_seed(0)
    base = write_base(path / "base")
    base.resize_token_embeddings(WORDS, mean_resizing=False)
    base.save_pretrained(path / "base")
    with pytest.raises(ConversionError, match=f"has {WORDS} tokens, as LLaMA itself and Vicuna v1.1"):
        _convert(path)


def test_a_base_of_another_width_is_refused(release):
    path, _ = release
    write_base(path / "base", width=2 * WIDTH)
    with pytest.raises(ConversionError, match=r"llama_proj.weight is \(32, 24\), expected \(64, 24\)"):
        _convert(path)


@pytest.mark.parametrize("name", ["pytorch_model.pt", "added_tokens.json", "tokenizer.model"])
def test_a_missing_file_is_named(release, name):
    path, _ = release
    (path / "release" / name).unlink()
    with pytest.raises(ConversionError, match=f"has no {name}"):
        _convert(path)


def test_a_pickle_that_would_run_code_is_not_run(release, tmp_path):
    path, state = release
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (ran.write_text, ("gone off",))

    torch.save({**state, "bomb": Bomb()}, path / "release" / "pytorch_model.pt")
    with pytest.raises(Exception, match="Weights only load failed"):
        _convert(path)
    assert not ran.exists()


def test_the_config_names_the_base_that_was_checked(release):
    path, _ = release
    _convert(path)
    written = load_config(path / "out")
    assert written.language_model.source.uris == (f"file:{path / 'base'}",)
    source = load_config(path / "profile").language_model.source
    assert dataclasses.replace(written.language_model, source=source) == load_config(path / "profile").language_model
    assert json.loads((path / "out" / "config.json").read_text())["name"] == "7b"
