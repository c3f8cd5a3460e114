"""The frozen base of the language model, from disk: its weights and its tokenizer.

Chat reads a Llama's weights as they are; training, other families and quantised models go through transformers, which
takes seconds to import and is imported only then. What is built on the base is `language_model`'s business.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import tokenizers
import torch

from nextgpt_core import llama_weights
from nextgpt_core.llama_weights import LlamaWeights
from nextgpt_core.sentencepiece_model import read_llama_tokenizer
from nextgpt_core.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


def load_base(
    path: Path,
    cache: Path,
    dtype: torch.dtype,
    tokenizer: Path | None = None,
    vocabulary: int | None = None,
    bits: int = 16,
    device: str = "cpu",
    chat: bool = False,
) -> tuple[PreTrainedModel | LlamaWeights, Tokenizer]:
    """Reads a folder in Hugging Face's layout, or a .gguf file, which becomes such a folder in `cache` once.

    `tokenizer` is a folder whose tokenizer takes the place of the one beside the weights, `vocabulary` the number of
    rows in embedding and head where it is another one; new rows are not filled. With `bits` 8 or 4 the linear layers
    are quantised on their way to `device`; with 16 the model is on the CPU. With `chat` the model comes as plain
    weights where these can stand for it.
    """
    folder = _converted(path, cache) if path.is_file() else path
    words = Tokenizer(_load_tokenizer(tokenizer or folder))
    if chat and bits == 16 and llama_weights.fits(folder):
        return llama_weights.read(folder, dtype, vocabulary), words
    import transformers

    transformers.utils.logging.disable_progress_bar()
    arguments = {"dtype": dtype} if bits == 16 else _quantised(bits, dtype, device)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **arguments)
    if vocabulary:
        base.resize_token_embeddings(vocabulary, mean_resizing=False)
    return base, words


def as_transformers(base: PreTrainedModel | LlamaWeights) -> PreTrainedModel:
    """transformers' model over the same tensors, for what only it can do, and to be held against."""
    if not isinstance(base, LlamaWeights):
        return base
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        stock = LlamaForCausalLM(LlamaConfig(**vars(base.config)))
    stock.load_state_dict(base.state_dict(), assign=True)
    stock.model.rotary_emb = type(stock.model.rotary_emb)(stock.config).to(base.lm_head.weight.device)
    return stock.eval()


def _load_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """Vicuna's repositories hold SentencePiece's file alone."""
    if (folder / "tokenizer.json").is_file():
        return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    if (folder / "tokenizer.model").is_file():
        return read_llama_tokenizer(folder / "tokenizer.model")
    raise FileNotFoundError(f"{folder} has no tokenizer: neither tokenizer.json nor tokenizer.model is there.")


def _quantised(bits: int, dtype: torch.dtype, device: str) -> dict[str, object]:
    """Arguments of `from_pretrained`."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise RuntimeError(
            f"This GPU's memory holds the language model in {bits} bits only, which needs a library that is not there: "
            "python -m pip install -r requirements-gpu.txt"
        )
    from transformers import BitsAndBytesConfig

    if bits == 8:
        dtype = torch.float16  # the only one that its products take
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"dtype": dtype, "quantization_config": config, "device_map": {"": device}}


def _converted(path: Path, cache: Path) -> Path:
    """A quantised file as bfloat16 safetensors: the GGUF reader takes half a minute to open it, this a second."""
    folder = cache / f"{path.stem}.bfloat16"
    if (folder / "model.safetensors").is_file():
        return folder
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    logger.info("Converting %s once; this takes about half a minute.", path.name)
    location = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    quantised = AutoModelForCausalLM.from_pretrained(**location, dtype=torch.bfloat16)
    values = quantised.config.to_dict()
    values.pop("quantization_config")  # the copy below is not quantised, and transformers saves only what is not
    model = LlamaForCausalLM(LlamaConfig(**values)).to(torch.bfloat16)
    model.load_state_dict(quantised.state_dict())
    unfinished = cache / f"{path.stem}.unfinished"
    model.save_pretrained(unfinished)
    AutoTokenizer.from_pretrained(**location).save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder
