"""A whole checkpoint at tiny size, random weights in the real on-disk formats, read by the real loaders.

Only the encoder is of the test's own: it reads pictures through `media` and takes their mean colour.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import diffusers
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from nextgpt_core import checkpoint, media
from nextgpt_core.config import load_config
from nextgpt_core.conversation import Media
from nextgpt_core.model import NextGPT
from tests.decoders import tiny as tiny_decoders

SPECIAL = ("<|im_start|>", "<|im_end|>")


class MeanColour:
    dim = 3
    rows: ClassVar[dict[str, int]] = {"image": 1, "video": 1, "audio": 1}

    def __init__(self, weights: Path) -> None:
        self.encoded = 0

    def load(self, item: Media) -> Tensor:
        return torch.tensor(media.read_image(item.path).resize((1, 1)).getpixel((0, 0))) / 255

    def received(self, item: Media) -> tuple[np.ndarray, int]:
        return np.asarray(media.read_image(item.path).resize((1, 1)))[None], 0

    def encode(self, inputs: list[Tensor]) -> Tensor:
        self.encoded += len(inputs)
        return torch.stack(inputs)[:, None]

    def to(self, device: str) -> MeanColour:
        return self


def write_checkpoint(folder: Path, decoders: bool = True, dropout: float = 0.0) -> Path:
    """config.json and trained.safetensors, the language model, and three decoders in diffusers' layout."""
    torch.manual_seed(0)
    _write_language_model(folder / "language_model")
    values = _config(dropout)
    if decoders:
        for modality, name in tiny_decoders.PIPELINES.items():
            parts = tiny_decoders.components(modality)
            extra = {"requires_safety_checker": False} if modality == "image" else {}
            getattr(diffusers, name)(**parts, **extra).save_pretrained(folder / "decoders" / modality)
    else:
        values["decoders"] = {}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    model = checkpoint.build(folder, load_config(folder), "cpu")
    with torch.no_grad():
        for name, value in checkpoint.trained_tensors(model).items():
            if "lora_B" in name:  # zero at birth, and then merging could not go wrong
                value.normal_(std=0.05)
    checkpoint.save(model, folder, bits=32)
    return folder


def load(folder: Path, training: bool = False) -> NextGPT:
    """In float32, so that two ways of computing the same thing can be compared."""
    return checkpoint.load(folder, "cpu", training=training)


def _write_language_model(folder: Path) -> None:
    # Plain characters without merges: whatever the model says, its text encodes to the same ids again.
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, "Ġ", "Ċ", *map(chr, range(33, 127))])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1], pad_token=SPECIAL[1]
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, initializer_range=0.3,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def _config(dropout: float) -> dict:
    source = {"uris": ["file:language_model"]}
    projector = {"width": 16, "layers": 1, "heads": 2, "feedforward": 24}
    shape = [tiny_decoders.LENGTH, tiny_decoders.WIDTH]
    return {
        "name": "tiny",
        "language_model": {
            "source": source,
            "lora": {"rank": 2, "alpha": 4, "targets": ["q_proj", "down_proj"], "dropout": dropout},
            "template": {
                "system": "<|im_start|>system\nBe kind.<|im_end|>\n",
                "user": ["<|im_start|>user\n", "<|im_end|>\n"],
                "assistant": ["<|im_start|>assistant\n", "<|im_end|>\n"],
                "media": {"image": ["Picture: ", "\n"], "video": ["Video: ", "\n"], "audio": ["Sound: ", "\n"]},
                "stop": ["<|im_end|>"],
            },
            "sampling": {"max_tokens": 12},
            "context": 400,
        },
        "signals": {
            "image": {"name": "IMG", "count": 2},
            "video": {"name": "VID", "count": 3},
            "audio": {"name": "AUD", "count": 2},
        },
        "encoders": {"colour": {"kind": "mean-colour", "source": source}},
        "input_projectors": {"colour": {"encoder": "colour", "tokens": 2}},
        "reads": {"image": "colour", "video": "colour", "audio": "colour"},
        "output_projectors": {
            "image": {"prompt_shape": shape, "linear_rank": 4, **projector},
            "video": {"prompt_shape": shape, **projector},
            "audio": {"prompt_shape": [1, tiny_decoders.WIDTH], **projector},
        },
        "writes": {"image": "image", "video": "video", "audio": "audio"},
        "decoders": {
            modality: {"kind": kind, "source": {"uris": [f"file:decoders/{modality}"]}, "settings": settings}
            for (modality, settings), kind in zip(
                tiny_decoders.SETTINGS.items(), ("stable-diffusion", "text-to-video", "audioldm"), strict=True
            )
        },
    }
