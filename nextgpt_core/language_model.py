"""The language model: a frozen Llama with LoRA, and rows for the signal tokens beside its frozen ones.

Embeddings go in, hidden states and logits come out; sampling and prefixes are `decoding`'s business. What is trained
here is the LoRA (through peft) and the signal tokens' rows in embedding and head; base weights never change.

There are two ways through the layers. `forward` takes batches through transformers, for training and judging.
`extend` takes one conversation further, for chat: through `lean_llama` once the LoRA is merged, else like `forward`.
Over a base of plain weights there is no peft and no transformers, only the lean way: such a model is for chat.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core import lean_llama
from nextgpt_core.base_model import as_transformers
from nextgpt_core.config import LoraConfig
from nextgpt_core.lean_llama import LeanLlama
from nextgpt_core.llama_weights import LlamaWeights

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

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

    def __init__(self, base: PreTrainedModel | LlamaWeights, signal_count: int, lora: LoraConfig) -> None:
        super().__init__()
        base.requires_grad_(False)
        self.base = base.eval()
        self.vocabulary: int = base.config.vocab_size
        self.width: int = base.config.hidden_size
        for name, table in (("signal_embedding", base.get_input_embeddings()), ("signal_head", base.lm_head)):
            rows = torch.empty(signal_count, self.width, device=table.weight.device)
            if not isinstance(base, LlamaWeights):  # there the trained rows follow
                # A new row starts at the mean of the old ones, plausible and drawn by nothing, and a little apart.
                mean, spread = table.weight.float().mean(0), table.weight.float().std(0)
                rows = mean + 0.1 * spread * torch.randn_like(rows)
            setattr(self, name, nn.Parameter(rows))
        self._merged = False
        self._lean: LeanLlama | None = None
        self._plain_adapter: dict[str, Tensor] = {}
        self._scale = lora.alpha / lora.rank
        if isinstance(base, LlamaWeights):
            self._plain_adapter = _empty_adapter(base, lora)
        else:
            _inject_adapter(base, lora)

    def embed(self, ids: Tensor) -> Tensor:
        """ids: (…, n), signal tokens among them → (…, n, width) in the base's dtype."""
        table = self.base.get_input_embeddings().weight
        is_signal = ids >= self.vocabulary
        rows = F.embedding(ids.masked_fill(is_signal, 0), table)
        signals = F.embedding((ids - self.vocabulary).clamp_min(0), self.signal_embedding).to(rows.dtype)
        return torch.where(is_signal[..., None], signals, rows)

    def forward(self, rows: Tensor, cache: Cache | None = None, present: Tensor | None = None) -> Tensor:
        """rows: (b, n, width) → hidden states after the final norm, same shape.

        New rows' keys and values are appended to `cache`, whose rows stand before them. `present` (b, cached + n) is
        False where a row, of the cache or of these, is only there to make conversations alike long.
        """
        if self._lean and cache is None:
            return torch.stack([self._lean(sample, self._lean.new_cache()) for sample in rows])
        self.base = as_transformers(self.base)  # batches that go on are its business
        where = {}
        if present is not None:
            places = (present.long().cumsum(1) - 1).clamp(min=0)
            where = {"attention_mask": present.long(), "position_ids": places[:, -rows.shape[1] :]}
        found = self.base.model(inputs_embeds=rows, past_key_values=cache, use_cache=cache is not None, **where)
        return found.last_hidden_state

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

    def lora_parameters(self) -> dict[str, Tensor]:
        """The adapter's matrices by their names within the base model. Raises RuntimeError once they are merged."""
        if self._merged:
            raise RuntimeError(
                "This model was loaded for chat: its LoRA is merged into the base weights and can't be saved or "
                "trained further. Load it with checkpoint.load(folder, training=True) for that."
            )
        if self._plain_adapter:
            return self._plain_adapter
        return {name: parameter for name, parameter in self.base.named_parameters() if "lora_" in name}

    def merge_lora(self) -> None:
        """Folds the adapter into the base weights for good: faster, and equal but for rounding. Ends training."""
        if isinstance(self.base, LlamaWeights):
            _fold(self.base, self._plain_adapter, self._scale)
            self._plain_adapter = {}
        else:
            _merge_adapter(self.base)
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
        from transformers import DynamicCache

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


def _inject_adapter(base: PreTrainedModel, lora: LoraConfig) -> None:
    """Trainable LoRA in float32 beside the layers that `lora` names, through peft."""
    import peft
    from peft.tuners.lora import LoraLayer

    config = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets)
    )
    peft.inject_adapter_in_model(config, base)
    for name, parameter in base.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    for module in base.modules():
        if isinstance(module, LoraLayer):  # autocast rounds the adapter's weights; its inputs need no detour
            module.cast_input_dtype_enabled = False


def _merge_adapter(base: PreTrainedModel) -> None:
    from peft.tuners.lora import LoraLayer

    for name, module in list(base.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(base.get_submodule(parent), child, module.get_base_layer())


def _empty_adapter(base: LlamaWeights, lora: LoraConfig) -> dict[str, Tensor]:
    """Room for what peft would have injected, by the same names."""
    room: dict[str, Tensor] = {}
    for name, linear in base.named_modules():
        if name.rpartition(".")[2] in lora.targets:
            room[f"{name}.lora_A.default.weight"] = torch.empty(lora.rank, linear.in_features)
            room[f"{name}.lora_B.default.weight"] = torch.empty(linear.out_features, lora.rank)
    return room


@torch.no_grad()
def _fold(base: LlamaWeights, adapter: dict[str, Tensor], scale: float) -> None:
    for name, narrow in adapter.items():
        if ".lora_A." in name:
            linear = base.get_submodule(name.partition(".lora_A.")[0])
            wide, weight = adapter[name.replace(".lora_A.", ".lora_B.")], linear.weight
            change = scale * (wide.to(weight.device) @ narrow.to(weight.device))
            weight.data = weight + change.to(weight.dtype)
