"""The language model: a frozen Llama with LoRA, and rows for the signal tokens beside its frozen ones.

Embeddings go in, hidden states and logits come out; sampling and prefixes are `decoding`'s business. What is trained
here is the LoRA (through peft) and the signal tokens' rows in embedding and head; base weights never change.

There are two ways through the layers. `forward` takes batches through transformers, for training and judging.
`extend` takes one conversation further, for chat: through `lean_llama` once the LoRA is merged, else like `forward`.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Protocol

import peft
import torch
import transformers
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    Cache,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from nextgpt_core import lean_llama
from nextgpt_core.config import LoraConfig
from nextgpt_core.lean_llama import LeanLlama
from nextgpt_core.sentencepiece_model import read_llama_tokenizer
from nextgpt_core.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


class FedRows(Protocol):
    """Keys and values of the rows of one conversation that `extend` has been through, `nbytes` of memory."""

    @property
    def length(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def cut(self, length: int) -> None:
        """Forgets the rows behind the first `length`."""

    def rest(self) -> None:
        """The turn is over: gives back what only a turn at work needs."""


class LanguageModel(nn.Module):
    """`width`: of a row; `vocabulary`: base tokens, ids behind it are the `signal_count` signal tokens."""

    def __init__(self, base: PreTrainedModel, signal_count: int, lora: LoraConfig) -> None:
        super().__init__()
        base.requires_grad_(False)
        self.base = base.eval()
        self.vocabulary: int = base.config.vocab_size
        self.width: int = base.config.hidden_size
        for name, table in (("signal_embedding", base.get_input_embeddings()), ("signal_head", base.lm_head)):
            # A new row starts at the mean of the old ones, plausible and drawn by nothing, and a little apart.
            mean, spread = table.weight.float().mean(0), table.weight.float().std(0)
            rows = mean + 0.1 * spread * torch.randn(signal_count, self.width, device=mean.device)
            setattr(self, name, nn.Parameter(rows))
        self._merged = False
        self._lean: LeanLlama | None = None
        peft.inject_adapter_in_model(
            peft.LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets)
            ),
            self.base,
        )
        for parameter in self.lora_parameters().values():
            parameter.data = parameter.data.float()
        for module in self.base.modules():
            if isinstance(module, LoraLayer):  # autocast rounds the adapter's weights; its inputs need no detour
                module.cast_input_dtype_enabled = False

    def embed(self, ids: Tensor) -> Tensor:
        """ids: (…, n), signal tokens among them → (…, n, width) in the base's dtype."""
        table = self.base.get_input_embeddings().weight
        is_signal = ids >= self.vocabulary
        rows = F.embedding(ids.masked_fill(is_signal, 0), table)
        signals = F.embedding((ids - self.vocabulary).clamp_min(0), self.signal_embedding).to(rows.dtype)
        return torch.where(is_signal[..., None], signals, rows)

    def forward(self, rows: Tensor, cache: Cache | None = None) -> Tensor:
        """rows: (b, n, width) → hidden states after the final norm, same shape.

        New rows' keys and values are appended to `cache`, whose rows stand before them.
        """
        return self.base.model(inputs_embeds=rows, past_key_values=cache, use_cache=cache is not None).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden: (…, width) → (…, vocabulary + signals)."""
        return torch.cat([self.base.lm_head(hidden), F.linear(hidden, self.signal_head.to(hidden.dtype))], -1)

    def new_rows(self) -> FedRows:
        """Those of a conversation of which nothing was fed."""
        return self._lean.new_cache() if self._lean else _StockRows()

    def extend(self, rows: Tensor, fed: FedRows) -> Tensor:
        """rows: (n, width), behind those of `fed`, to which they are added → hidden states, same shape."""
        return self._lean(rows, fed) if self._lean else self(rows[None], cache=fed.cache)[0]

    def next_logits(self, hidden: Tensor) -> Tensor:
        """hidden: (width,), of a conversation's last row → (vocabulary + signals,)."""
        if self._lean is None:
            return self.logits(hidden)
        signals = F.linear(hidden, self.signal_head.to(hidden.dtype))
        return torch.cat([self._lean.logits(hidden[None])[0], signals])

    def lora_parameters(self) -> dict[str, nn.Parameter]:
        """The adapter's matrices by their names within the base model. Raises RuntimeError once they are merged."""
        if self._merged:
            raise RuntimeError(
                "This model was loaded for chat: its LoRA is merged into the base weights and can't be saved or "
                "trained further. Load it with checkpoint.load(folder, training=True) for that."
            )
        return {name: parameter for name, parameter in self.base.named_parameters() if "lora_" in name}

    def merge_lora(self) -> None:
        """Folds the adapter into the base weights for good: faster, and equal but for rounding. Ends training."""
        for name, module in list(self.base.named_modules()):
            if isinstance(module, LoraLayer):
                module.merge()
                parent, _, child = name.rpartition(".")
                setattr(self.base.get_submodule(parent), child, module.get_base_layer())
        self._merged = True

    def make_lean(self, bits: int = 16) -> None:
        """After `merge_lora`: `extend` leaves transformers for the lean step, if the base is a Llama that it can be.

        The base's weights are shared. With `bits` 8, single rows on a CPU go through copies in 8 bits; a CPU or torch
        without that kernel keeps to the full ones.
        """
        if not LeanLlama.fits(self.base):
            return
        on_cpu = self.signal_head.device.type == "cpu"
        if bits == 8 and on_cpu and not lean_llama.packs(self.base.dtype):
            logger.warning("This torch has no products in 8 bits for this CPU; decoding keeps to 16 bits.")
            bits = 16
        self._lean = LeanLlama(self.base, bits if on_cpu else 16)


class _StockRows:
    """FedRows in transformers' own cache."""

    def __init__(self) -> None:
        self.cache = DynamicCache()

    @property
    def length(self) -> int:
        return self.cache.get_seq_length()

    @property
    def nbytes(self) -> int:
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self.cache.layers if layer.keys is not None)

    def cut(self, length: int) -> None:
        if (over := self.length - length) > 0:
            self.cache.crop(-over)

    def rest(self) -> None:
        """Nothing to give back."""


def load_base(
    path: Path, cache: Path, dtype: torch.dtype, tokenizer: Path | None = None, bits: int = 16, device: str = "cpu"
) -> tuple[PreTrainedModel, Tokenizer]:
    """Reads a folder in Hugging Face's layout, or a .gguf file, which becomes such a folder in `cache` once.

    `tokenizer` is a folder whose tokenizer takes the place of the one beside the weights. With `bits` 8 or 4 the linear
    layers are quantised on their way to `device`; with 16 the model is on the CPU.
    """
    transformers.utils.logging.disable_progress_bar()
    folder = _converted(path, cache) if path.is_file() else path
    arguments = {"dtype": dtype} if bits == 16 else _quantised(bits, dtype, device)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **arguments)
    return model, Tokenizer(_load_tokenizer(tokenizer or folder))


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Vicuna's repositories hold SentencePiece's file alone, for which transformers needs a library that we do not."""
    if (folder / "tokenizer.model").is_file() and not (folder / "tokenizer.json").is_file():
        return read_llama_tokenizer(folder / "tokenizer.model")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _quantised(bits: int, dtype: torch.dtype, device: str) -> dict[str, object]:
    """Arguments of `from_pretrained`."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise RuntimeError(
            f"This GPU's memory holds the language model in {bits} bits only, which needs a library that is not there: "
            "python -m pip install -r requirements-gpu.txt"
        )
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
