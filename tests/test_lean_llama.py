"""The lean Llama, against transformers' with the same weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core import checkpoint, lean_llama, weights
from nextgpt_core.config import load_config
from nextgpt_core.conversation import ChatOptions, Message, Text
from nextgpt_core.language_model import LanguageModel
from nextgpt_core.lean_llama import LeanLlama
from tests import tiny

CONFIG = {
    "vocab_size": 90, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.2, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA_3 = {
    "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
SHAPES = {
    "grouped": {},
    "ungrouped, untied": {"num_key_value_heads": 6, "tie_word_embeddings": False},
    "wide heads": {"head_dim": 16, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    "stretched": {"rope_parameters": LLAMA_3},
}


def llama(**changes: object) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**CONFIG | changes)).eval()


def rows_of(count: int) -> Tensor:
    return torch.randn(count, CONFIG["hidden_size"], generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def theirs(model: LlamaForCausalLM, rows: Tensor) -> Tensor:
    return model.model(inputs_embeds=rows[None], use_cache=False).last_hidden_state[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_transformers_however_the_rows_arrive(shape: str) -> None:
    model, rows = llama(**SHAPES[shape]), rows_of(40)
    expected = theirs(model, rows)
    lean = LeanLlama(model)
    cache = lean.new_cache()
    pieces = [lean(piece, cache) for piece in rows.split([20, 1, 1, 5, 1, 11, 1])]
    torch.testing.assert_close(torch.cat(pieces), expected, atol=1e-5, rtol=1e-5)
    logits = torch.cat([lean.logits(hidden[-1:]) for hidden in pieces])
    ends = torch.tensor([20, 21, 22, 27, 28, 39, 40]) - 1
    with torch.inference_mode():
        torch.testing.assert_close(logits, model.lm_head(expected[ends]), atol=1e-5, rtol=1e-5)


def test_the_cache_grows_and_forgets() -> None:
    model, rows = llama(), rows_of(2 * lean_llama.CHUNK + 3)
    expected = theirs(model, rows)
    lean = LeanLlama(model)
    cache = lean.new_cache()
    lean(rows[: lean_llama.CHUNK - 1], cache)
    assert cache.capacity == lean_llama.CHUNK
    for row in rows[lean_llama.CHUNK - 1 :].flip(0)[:5]:  # other rows, to be forgotten
        lean(row[None], cache)
    cache.cut(lean_llama.CHUNK - 1)
    found = [lean(row[None], cache) for row in rows[lean_llama.CHUNK - 1 :]]
    torch.testing.assert_close(torch.cat(found), expected[lean_llama.CHUNK - 1 :], atol=1e-5, rtol=1e-5)
    assert cache.length == len(rows)
    assert cache.capacity == 3 * lean_llama.CHUNK
    assert cache.nbytes == 3 * 2 * 2 * cache.capacity * 8 * 4  # layers, keys and values, heads, rows, size, bytes


def test_the_step_of_fixed_shapes_equals_the_one_that_grows() -> None:
    model, rows = llama(), rows_of(30)
    lean = LeanLlama(model)
    growing, fixed = lean.new_cache(), lean.new_cache()
    lean(rows[:20], growing)
    lean(rows[:20], fixed)
    position = torch.zeros(1, dtype=torch.long)
    with torch.inference_mode():
        for i, row in enumerate(rows[20:], 20):
            position.fill_(i)
            found = lean.step(row[None], fixed.layers, position, lean._angles)
            torch.testing.assert_close(found, lean(row[None], growing), atol=1e-6, rtol=1e-5)


def test_weights_are_shared_and_transformers_still_works() -> None:
    model, rows = llama(), rows_of(7)
    before = theirs(model, rows)
    held = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
    lean = LeanLlama(model)
    after = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
    assert sum(after.values()) == sum(held.values())
    own = {t.untyped_storage().data_ptr() for layer in lean._layers for t in layer} | {lean._head.data_ptr()}
    assert own <= after.keys()
    assert torch.equal(theirs(model, rows), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_eight_bits_answer_nearly_the_same(dtype: torch.dtype) -> None:
    if not lean_llama.packs(dtype):
        pytest.skip("this torch has no such kernel for this CPU")
    model, rows = llama().to(dtype), rows_of(30).to(dtype)
    expected = theirs(model, rows)
    lean = LeanLlama(model, bits=8)
    cache = lean.new_cache()
    found = torch.cat([lean(piece, cache) for piece in rows.split([10, *[1] * 20])])
    assert torch.cosine_similarity(found.float(), expected.float(), dim=-1).min() > 0.99
    assert not torch.equal(found[10:], expected[10:])
    logits, exact = lean.logits(found[-1:]).float(), model.lm_head(found[-1:]).float()
    assert (logits - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packing_rounds_to_the_nearest_step(dtype: torch.dtype) -> None:
    matrix = torch.randn(50, 64).to(dtype)
    matrix[3] = 0
    packed, scales = lean_llama.pack(matrix)
    assert scales.dtype == dtype
    errors = (packed.float() * scales.float()[:, None] - matrix.float()).abs()
    assert (errors <= 0.501 * scales.float()[:, None]).all()
    assert not packed[3].any()


def test_what_it_cannot_stand_for_stays_with_transformers() -> None:
    assert LeanLlama.fits(llama())
    assert not LeanLlama.fits(llama(attention_bias=True))
    assert not LeanLlama.fits(llama(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}))
    adapted = llama()
    peft.inject_adapter_in_model(peft.LoraConfig(target_modules=["v_proj"]), adapted)
    assert not LeanLlama.fits(adapted)


def test_a_model_loaded_for_chat_refuses_to_be_saved_or_trained(tiny_folder: Path, tmp_path: Path) -> None:
    model = tiny.load(tiny_folder)
    with pytest.raises(RuntimeError, match=r"loaded for chat.*training=True"):
        checkpoint.save(model, tmp_path / "saved")
    assert not (tmp_path / "saved" / checkpoint.TRAINED).exists()


def test_with_its_lora_apart_a_model_chats_the_same_through_transformers(tiny_folder: Path, tmp_path: Path) -> None:
    merged, apart = tiny.load(tiny_folder), tiny.load(tiny_folder, training=True).eval()
    apart.language_model.make_lean()  # which it can't be
    for model in (merged, apart):
        assert (model.language_model._lean is None) == (model is apart)
    hello = Message("user", (Text("Hello there"),))
    options = ChatOptions(out_dir=tmp_path, seed=0, scope="both", wanted=dict.fromkeys(("image", "video"), "never"))
    done = [list(model.chat([hello], options))[-1] for model in (merged, apart)]
    assert done[0].message == done[1].message
    second = [hello, done[0].message, Message("user", (Text("Go on"),))]
    done = [list(model.chat(second, options))[-1] for model in (merged, apart)]
    assert done[0].message == done[1].message
    assert done[0].timings.fed_tokens == done[1].timings.fed_tokens < done[0].timings.prompt_tokens


def test_eight_bits_by_config(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "copy", ignore=shutil.ignore_patterns("decoders")))
    values = json.loads((folder / "config.json").read_text())
    values["language_model"]["cpu_bits"] = 8
    (folder / "config.json").write_text(json.dumps(values))
    assert load_config(folder).language_model.cpu_bits == 8
    model = tiny.load(folder)
    assert model.language_model._lean._single_layers is not model.language_model._lean._layers
    done = list(model.chat([Message("user", (Text("Hello"),))], ChatOptions(out_dir=tmp_path, seed=0)))[-1]
    assert done.timings.new_tokens > 0


def test_a_cpu_without_the_kernel_keeps_to_full_weights(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(torch, "_weight_int8pack_mm")
    language_model = tiny.load(tiny_folder).language_model
    language_model.make_lean(bits=8)
    assert language_model._lean._single_layers is language_model._lean._layers
    assert "8 bits" in caplog.text


@pytest.mark.parametrize("text", ["The capital of France is", "Once upon a time"])
def test_the_real_model_says_what_generate_says(real: tuple[LanguageModel, object], text: str) -> None:
    model, tokenizer = real
    ids = tokenizer.encode(text)
    fed = model.new_rows()
    found = []
    with torch.inference_mode():
        expected = model.base.generate(
            torch.tensor([ids]), max_new_tokens=12, min_new_tokens=12, do_sample=False, pad_token_id=2
        )[0, len(ids) :].tolist()
        new = ids
        for _ in range(12):
            hidden = model.extend(model.embed(torch.tensor(new)), fed)
            new = [int(model.next_logits(hidden[-1])[: model.vocabulary].argmax())]
            found += new
    assert found == expected


@pytest.fixture(scope="module")
def real() -> tuple[LanguageModel, object]:
    """SmolLM2 in float32, where the cache has it converted."""
    from nextgpt_core.base_model import load_base

    config = load_config(checkpoint.POCKET).language_model
    try:
        path = weights.resolve(config.source, checkpoint.POCKET, offline=True)
    except weights.WeightsError:
        pytest.skip("the weights are not in the cache")
    base, tokenizer = load_base(path, weights.cache_folder(), torch.float32)
    model = LanguageModel(base, 4, config.lora)
    model.merge_lora()
    model.make_lean()
    return model, tokenizer
