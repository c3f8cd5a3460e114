"""A release of the official weights in miniature: every key and file of 7b_tiva_v0, but small."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core.config import Config, EncoderConfig, Source, load_config, save_config
from nextgpt_core.official_checkpoint import MARKERS, PROFILE

PIECES = (
    ["<unk>", "<s>", "</s>"]
    + [f"<0x{byte:02X}>" for byte in range(256)]
    + ["##", "▁##", "▁###", "Hu", "▁Hu", "an", "man", "▁Human", "us", "bus", "▁bus"]  # merged in this order
    + list("▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ#:<>/.")
)
WORDS = len(PIECES)
WIDTH, LAYERS, FEATURES = 32, 2, 24
PROMPTS = {"": (77, 768), "_video": (77, 1024), "_audio": (1, 512)}  # by the projectors' names in the release
SMALL_SETTINGS = {
    "image": {"steps": 2, "height": 16, "width": 16},
    "video": {"steps": 2, "height": 16, "width": 16, "frames": 2},
    "audio": {"steps": 2, "seconds": 0.032},
}
SMALL_PROMPTS = {"image": (12, 16), "video": (12, 16), "audio": (1, 16)}


def manifest(
    width: int = 4096,
    layers: int = 32,
    features: int = 1024,
    rank: int = 32,
    rows: int = 32038,
    inner: int = 512,
    feedforward: int = 2048,
    depth: int = 4,
    prompts: Iterable[tuple[int, int]] = tuple(PROMPTS.values()),
) -> dict[str, tuple[int, ...]]:
    """Every key of pytorch_model.pt with its shape."""
    shapes: dict[str, tuple[int, ...]] = {"llama_proj.weight": (width, features), "llama_proj.bias": (width,)}
    for table in ("model.embed_tokens", "lm_head"):
        shapes[f"llama_model.base_model.model.{table}.weight"] = (rows, width)
    for i in range(layers):
        for target in "qkvo":
            stem = f"llama_model.base_model.model.model.layers.{i}.self_attn.{target}_proj"
            shapes[f"{stem}.lora_A.default.weight"] = (rank, width)
            shapes[f"{stem}.lora_B.default.weight"] = (width, rank)
    for suffix, (queries, out) in zip(PROMPTS, prompts, strict=True):
        stem = f"gen_text_hidden_fcs{suffix}.0"
        shapes |= {f"{stem}.fc.weight": (inner, width), f"{stem}.fc.bias": (inner,)}
        shapes |= {f"{stem}.query_embs": (1, queries, inner)}
        shapes |= {f"{stem}.model.weight": (out, inner), f"{stem}.model.bias": (out,)}
        for side, attentions in (("encoder", ["self_attn"]), ("decoder", ["self_attn", "multihead_attn"])):
            parts = [f"norm{n + 1}" for n in range(len(attentions) + 1)]
            for layer in (f"{stem}.tfm.{side}.layers.{i}" for i in range(depth)):
                for attention in (f"{layer}.{name}" for name in attentions):
                    shapes |= {f"{attention}.in_proj_weight": (3 * inner, inner)}
                    shapes |= {f"{attention}.in_proj_bias": (3 * inner,)}
                    shapes |= {f"{attention}.out_proj.weight": (inner, inner), f"{attention}.out_proj.bias": (inner,)}
                shapes |= {f"{layer}.linear1.weight": (feedforward, inner), f"{layer}.linear1.bias": (feedforward,)}
                shapes |= {f"{layer}.linear2.weight": (inner, feedforward), f"{layer}.linear2.bias": (inner,)}
                shapes |= {f"{layer}.{norm}.{part}": (inner,) for norm in parts for part in ("weight", "bias")}
            shapes |= {f"{stem}.tfm.{side}.norm.{part}": (inner,) for part in ("weight", "bias")}
    return shapes


def small_config() -> Config:
    """The 7b profile with narrow parts, whose frozen weights lie in the checkpoint folder."""
    config = load_config(PROFILE)
    language_model = dataclasses.replace(
        config.language_model,
        vocabulary=WORDS + 2,
        lora=dataclasses.replace(config.language_model.lora, rank=4, alpha=4),
    )
    projectors = {
        name: dataclasses.replace(projector, prompt_shape=SMALL_PROMPTS[name], width=16, layers=1, feedforward=32)
        for name, projector in config.output_projectors.items()
    }
    encoders = {"imagebind": EncoderConfig("imagebind", Source(("file:imagebind.safetensors",)))}
    decoders = {
        modality: dataclasses.replace(
            decoder, source=Source((f"file:{modality}",)), settings={**decoder.settings, **SMALL_SETTINGS[modality]}
        )
        for modality, decoder in config.decoders.items()
    }
    return dataclasses.replace(
        config,
        language_model=language_model,
        encoders=encoders,
        output_projectors=projectors,
        decoders=decoders,
    )


def write_profile(folder: Path) -> Path:
    folder.mkdir()
    save_config(small_config(), folder)
    return folder


def write_base(folder: Path, rows: int = WORDS + 1, width: int = WIDTH) -> LlamaForCausalLM:
    """A base model in Hugging Face's layout; `rows` 32001 at full size."""
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return model


def write_release(folder: Path, embedding: Tensor, markers: tuple[str, str] = MARKERS) -> dict[str, Tensor]:
    """Writes the three files that a conversion reads; `embedding` (rows, width) is where training started from."""
    folder.mkdir()
    prompts = SMALL_PROMPTS.values()
    shapes = manifest(WIDTH, LAYERS, FEATURES, 4, WORDS + 38, inner=16, feedforward=32, depth=1, prompts=prompts)
    state = {key: nn.Parameter(torch.randn(shape).half() * 0.1) for key, shape in shapes.items()}
    started = torch.cat([embedding[:WORDS], torch.randn(38, WIDTH) * 0.02])
    table = state["llama_model.base_model.model.model.embed_tokens.weight"]
    table.data = (started + 0.002 * torch.randn_like(started)).half()
    torch.save(state, folder / "pytorch_model.pt")
    signals = [f"[{s.name}{i}]" for s in small_config().signals.values() for i in range(s.count)]
    added = {name: WORDS + i for i, name in enumerate([*markers, *signals])}
    (folder / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
    (folder / "tokenizer.model").write_bytes(tokenizer_model())
    return {key: value.detach() for key, value in state.items()}


def tokenizer_model() -> bytes:
    """PIECES as SentencePiece would write them, with a trainer's settings behind them that nobody reads."""

    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 128
        return bytes([number << 3 | 2, len(content)]) + content

    pieces = b"".join(
        field(1, field(1, text.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", -float(i)) + bytes([3 << 3, 1]))
        for i, text in enumerate(PIECES)
    )
    return pieces + field(2, bytes([4 << 3, 0xC0, 0x3E]))
