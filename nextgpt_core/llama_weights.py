"""A Llama's weights as plain modules under transformers' names, read in a second and without transformers.

Importing transformers' own model takes longer than reading the weights, and chat needs none of its arithmetic:
`lean_llama` steps through these. Training, other families of models and quantised ones are transformers' business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class LlamaWeights(nn.Module):
    """`model` and `lm_head` as in `LlamaForCausalLM`; `config` holds the sizes by transformers' names."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        self.model = nn.Module()
        rows = torch.empty(config.vocab_size, config.hidden_size)
        # Drawing an embedding's first values on the meta device would import torch's compiler, which takes seconds.
        self.model.embed_tokens = nn.Embedding.from_pretrained(rows)
        self.model.layers = nn.ModuleList(_layer(config) for _ in range(config.num_hidden_layers))
        self.model.norm = nn.RMSNorm(config.hidden_size)
        self.model.rotary_emb = Rotary(config.head_dim, config.rope_parameters["rope_theta"])
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def dtype(self) -> torch.dtype:
        return self.lm_head.weight.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.embed_tokens


class Rotary(nn.Module):
    """Llama's rotary position embedding (Su et al. 2021), in halves; angles in float32."""

    def __init__(self, size: int, theta: float) -> None:
        super().__init__()
        self._size, self._theta = size, theta

    def forward(self, like: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of `positions` (b, n): (b, n, size) each, in the dtype and on the device of `like`."""
        exponents = torch.arange(0, self._size, 2, device=like.device, dtype=torch.float32) / self._size
        angles = positions[..., None].float() / self._theta**exponents
        angles = torch.cat([angles, angles], -1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def fits(folder: Path) -> bool:
    """Whether the folder, in Hugging Face's layout, holds a Llama without biases and with plain rotations."""
    path = folder / "config.json"
    if not path.is_file() or not any(folder.glob("*.safetensors")):
        return False
    values = json.loads(path.read_text(encoding="utf-8"))
    return (
        values.get("model_type") == "llama"
        and values.get("hidden_act", "silu") == "silu"
        and not values.get("attention_bias")
        and not values.get("mlp_bias")
        and not values.get("rope_scaling")
        and (values.get("rope_parameters") or {}).get("rope_type", "default") == "default"
        and not values.get("quantization_config")
    )


def read(folder: Path, dtype: torch.dtype, vocabulary: int | None = None) -> LlamaWeights:
    """The weights of a folder that `fits`, on the CPU; raises ValueError that names a missing or extra tensor.

    With `vocabulary`, embedding and head have that many rows, not filled.
    """
    config = _sizes(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    with torch.device("meta"):
        model = LlamaWeights(config)
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    found = {name: value for name, value in found.items() if not name.endswith("rotary_emb.inv_freq")}
    if "lm_head.weight" not in found and config.tie_word_embeddings:
        found["lm_head.weight"] = found["model.embed_tokens.weight"]
    if faults := sorted(found.keys() ^ model.state_dict().keys()):
        raise ValueError(f"{folder} does not hold the weights that its config.json describes: {faults[0]}.")
    model.load_state_dict({name: value.to(dtype) for name, value in found.items()}, assign=True)
    if vocabulary:
        for table in (model.model.embed_tokens, model.lm_head):
            table.weight = nn.Parameter(torch.empty(vocabulary, config.hidden_size, dtype=dtype))
        config.vocab_size = vocabulary
    return model.requires_grad_(False).eval()


def _sizes(values: Mapping[str, Any]) -> SimpleNamespace:
    """transformers leaves out of a file what has its default; these are LlamaConfig's."""
    defaults = {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
    }  # fmt: skip
    sizes = {name: values.get(name, default) for name, default in defaults.items()}
    heads = sizes["num_attention_heads"]
    rope = values.get("rope_parameters") or {}
    return SimpleNamespace(
        **sizes,
        model_type="llama",
        hidden_act="silu",
        num_key_value_heads=values.get("num_key_value_heads") or heads,
        head_dim=values.get("head_dim") or sizes["hidden_size"] // heads,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": rope.get("rope_theta") or values.get("rope_theta") or 10000.0,
        },
    )


def _layer(config: SimpleNamespace) -> nn.Module:
    width, inner, size = config.hidden_size, config.intermediate_size, config.head_dim
    queries, keys = config.num_attention_heads * size, config.num_key_value_heads * size
    layer, attention, mlp = nn.Module(), nn.Module(), nn.Module()
    for name, outputs in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
        setattr(attention, name, nn.Linear(width, outputs, bias=False))
    attention.o_proj = nn.Linear(queries, width, bias=False)
    attention.head_dim = size
    for name in ("gate_proj", "up_proj"):
        setattr(mlp, name, nn.Linear(width, inner, bias=False))
    mlp.down_proj = nn.Linear(inner, width, bias=False)
    layer.self_attn, layer.mlp = attention, mlp
    layer.input_layernorm, layer.post_attention_layernorm = nn.RMSNorm(width), nn.RMSNorm(width)
    return layer
