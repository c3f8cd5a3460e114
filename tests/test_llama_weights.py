"""Plain weights for chat, against transformers' model and peft's adapter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core import llama_weights
from nextgpt_core.lean_llama import LeanLlama
from tests import tiny

ROOT = Path(__file__).parent.parent
SHAPES = {
    "tied": {"tie_word_embeddings": True},
    "untied, ungrouped": {"num_key_value_heads": 4},
    "wide heads, other theta": {"head_dim": 16, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
}


def write(folder: Path, **changes: object) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 50, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**sizes | changes)).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
@torch.inference_mode()
def test_says_what_transformers_says(tmp_path: Path, changes: dict[str, object]) -> None:
    stock = write(tmp_path, **changes)
    assert llama_weights.fits(tmp_path)
    plain = llama_weights.read(tmp_path, torch.float32)
    assert plain.state_dict().keys() == stock.state_dict().keys()
    lean = LeanLlama(plain)
    ids = torch.randint(0, 50, (1, 21))
    rows = plain.get_input_embeddings()(ids[0])
    hidden = lean(rows, lean.new_cache())
    torch.testing.assert_close(plain.lm_head(hidden), stock(ids).logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [{"attention_bias": True}, {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}],
)
def test_leaves_other_llamas_to_transformers(tmp_path: Path, changes: dict[str, object]) -> None:
    write(tmp_path, **changes)
    assert not llama_weights.fits(tmp_path)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        llama_weights.read(tmp_path, torch.float32)


@torch.inference_mode()
def test_folded_adapter_equals_pefts(tiny_folder: Path) -> None:
    chat, training = tiny.load(tiny_folder), tiny.load(tiny_folder, training=True).eval()
    rows = torch.randn(2, 9, chat.language_model.width)
    expected = training.language_model(rows)
    torch.testing.assert_close(chat.language_model(rows), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        chat.language_model.logits(expected), training.language_model.logits(expected), rtol=1e-4, atol=1e-4
    )


def test_chat_needs_neither_transformers_nor_peft_nor_diffusers(tiny_folder: Path, tmp_path: Path) -> None:
    """Importing them takes longer than everything else between the start and the first word."""
    (tmp_path / "eyes.py").write_text(
        "class MeanColour:\n"
        "    dim, rows = 3, {'image': 1, 'video': 1, 'audio': 1}\n"
        "    def __init__(self, weights): ...\n",
        encoding="utf-8",
    )
    (tmp_path / "start.py").write_text(
        "import sys\n"
        "from nextgpt_core import checkpoint, encoders\n"
        "from nextgpt_core.conversation import Message, Text, TextDelta\n"
        "encoders.KINDS['mean-colour'] = 'eyes:MeanColour'\n"
        "events = checkpoint.load(sys.argv[1], 'cpu').chat([Message('user', (Text('Hi'),))])\n"
        "assert next(events)\n"
        "print(sorted({'transformers', 'peft', 'diffusers'} & sys.modules.keys()))\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [sys.executable, str(tmp_path / "start.py"), str(tiny_folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert made.stdout == "[]\n", made.stdout + made.stderr
