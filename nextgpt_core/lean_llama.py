"""A lean Llama: the weights of a loaded one, stepped through with as few operations as eager torch needs.

Most of what transformers does for one token of a small model is overhead. Here queries, keys and values come from one
product, gate and up projection from another, and keys and values lie in tensors allocated ahead, so that a token copies
none of those before it. The arithmetic is `LlamaForCausalLM`'s own, and its parameters become views of the joined
matrices: nothing is held twice. One conversation at a time, no gradients; what the rows are is `language_model`'s
business.

On a GPU the step of a single token is recorded as a CUDA graph and replayed, one launch in place of hundreds. No test
has run that yet: the step of fixed shapes is tested on a CPU, its recording is tried out whenever a model is loaded.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

logger = logging.getLogger(__name__)
CHUNK = 256  # rows by which a cache grows
Matrix = Tensor | tuple[Tensor, Tensor]  # (out, in); or packed: int8 of that shape, and (out,) scales
Store = Callable[[Tensor, Tensor], Tensor]  # a layer's cache and new rows for it → all rows to look at


class LeanCache:
    """Keys and values of the rows fed so far. `layers`: one tensor each, (2, key heads, capacity, head size)."""

    def __init__(self, layers: int, heads: int, size: int, like: Tensor) -> None:
        self.length = 0
        self.layers = [like.new_empty(2, heads, 0, size) for _ in range(layers)]
        self.recorded: _Recording | None = None

    @property
    def capacity(self) -> int:
        return self.layers[0].shape[2]

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self.layers)

    def reserve(self, length: int) -> None:
        """Makes room for `length` rows, layer by layer, so that only one layer is held twice meanwhile."""
        if length <= self.capacity:
            return
        self.recorded = None  # it writes to the tensors that are replaced
        capacity = math.ceil(length / CHUNK) * CHUNK
        for i, old in enumerate(self.layers):
            new = old.new_zeros(2, old.shape[1], capacity, old.shape[3])  # zeros: a masked NaN would still spread
            new[:, :, : self.length] = old[:, :, : self.length]
            self.layers[i] = new

    def cut(self, length: int) -> None:
        self.length = min(self.length, length)

    def rest(self) -> None:
        self.recorded = None  # its workspace belongs to a turn at work


class _Layer(NamedTuple):
    first_norm: Tensor
    queries_keys_values: Matrix
    output: Matrix
    second_norm: Tensor
    gate_up: Matrix
    down: Matrix


class LeanLlama:
    """Sizes and weights are `model`'s, whose LoRA is merged. See `fits` for the models that it can stand for."""

    def __init__(self, model: LlamaForCausalLM, bits: int = 16) -> None:
        """With `bits` 8, single rows go through copies of the weights in 8 bits, with a scale for each output channel;
        several rows at once are no faster that way and use the full ones.
        """
        config = model.config
        self._heads, self._key_heads = config.num_attention_heads, config.num_key_value_heads
        self._size: int = model.model.layers[0].self_attn.head_dim
        self._epsilon: float = config.rms_norm_eps
        self._rotary = model.model.rotary_emb
        self._norm = model.model.norm.weight.detach()
        self._head: Matrix = model.lm_head.weight.detach()
        self._layers = [_read(layer) for layer in model.model.layers]
        self._single_layers = self._layers
        if bits == 8:
            self._head = pack(self._head)
            self._single_layers = [
                _Layer(*(weight if weight.ndim == 1 else pack(weight) for weight in layer)) for layer in self._layers
            ]
        self._angles = self._rotations(CHUNK)
        self._records = self._norm.is_cuda and self._can_record()

    @staticmethod
    def fits(model: nn.Module) -> bool:
        """Whether `model` is a Llama in plain numbers, without biases, whose rotations do not depend on the length."""
        config = model.config
        return (
            config.model_type == "llama"
            and config.hidden_act == "silu"
            and config.rope_parameters["rope_type"] in ("default", "linear", "llama3", "yarn")
            and all(
                type(linear) is nn.Linear and linear.bias is None
                for layer in model.model.layers
                for linear in layer.modules()
                if hasattr(linear, "in_features")
            )
        )

    def new_cache(self) -> LeanCache:
        return LeanCache(len(self._layers), self._key_heads, self._size, self._norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden: (1, width) → (1, vocabulary)."""
        return _product(hidden, self._head)

    @torch.inference_mode()
    def __call__(self, rows: Tensor, cache: LeanCache) -> Tensor:
        """rows: (n, width) → hidden states after the final norm, same shape. The rows are appended to `cache`."""
        first, end = cache.length, cache.length + len(rows)
        cache.reserve(end)
        if cache.capacity > len(self._angles):
            self._angles = self._rotations(2 * cache.capacity)
        if self._records and len(rows) == 1:
            if cache.recorded is None:
                cache.recorded = _Recording(self, rows, cache)
            hidden = cache.recorded(rows, first)
        else:
            hidden = self._extend(rows, cache.layers, first, end)
        cache.length = end
        return hidden

    @torch.inference_mode()
    def _can_record(self) -> bool:
        """Whether a recorded step works here and says the same as one that is not recorded."""
        row, cache = torch.ones_like(self._norm)[None], self.new_cache()
        cache.reserve(1)
        expected = self._extend(row, cache.layers, 0, 1)
        try:
            works = torch.allclose(_Recording(self, row, cache)(row, 0), expected, rtol=0.05, atol=0.05)
        except RuntimeError as error:
            logger.debug("%s", error)
            works = False
        if not works:
            logger.warning("Decoding can't be recorded as a CUDA graph here; it works without, but slower.")
        return works

    def _extend(self, rows: Tensor, layers: list[Tensor], first: int, end: int) -> Tensor:
        def store(cache: Tensor, new: Tensor) -> Tensor:
            cache[:, :, first:end] = new
            return cache[:, :, :end]

        mask = None  # causal
        if 0 < first < end - 1:
            mask = torch.ones(end - first, end, dtype=torch.bool, device=rows.device).tril(first)
        return self._pass(rows, layers, self._angles[first:end], store, mask)

    def step(self, row: Tensor, layers: list[Tensor], position: Tensor, angles: Tensor) -> Tensor:
        """One row at `position`, (1,), with shapes that never change: what a GPU can record."""

        def store(cache: Tensor, new: Tensor) -> Tensor:
            return cache.index_copy_(2, position, new)

        mask = torch.arange(layers[0].shape[2], device=row.device)[None] <= position[:, None]
        return self._pass(row, layers, angles[position], store, mask)

    def _pass(self, rows: Tensor, caches: list[Tensor], angles: Tensor, store: Store, mask: Tensor | None) -> Tensor:
        """angles: (n, 2, head size). mask: (n, keys), or None for causal attention from the first key on."""
        n, size = len(rows), self._size
        queries, turned = self._heads * size, (self._heads + self._key_heads) * size  # columns
        for layer, cache in zip(self._single_layers if n == 1 else self._layers, caches, strict=True):
            joined = _product(self._normed(rows, layer.first_norm), layer.queries_keys_values)
            _rotate(joined[:, :turned].view(n, -1, size), angles)
            new = joined[:, queries:].view(n, 2, self._key_heads, size)
            keys, values = store(cache, new.permute(1, 2, 0, 3))
            attended = self._attend(joined[:, :queries], keys, values, mask)
            rows = rows + _product(attended, layer.output)
            gate, up = _product(self._normed(rows, layer.second_norm), layer.gate_up).chunk(2, -1)
            rows = rows + _product(F.silu(gate).mul_(up), layer.down)
        return self._normed(rows, self._norm)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """queries: (n, heads · size); keys, values: (key heads, m, size) → as queries."""
        n = len(queries)
        if n == 1:  # the queries that share a key head stand as if they were several rows of one head
            grouped = queries.view(1, self._key_heads, -1, self._size)
            attended = F.scaled_dot_product_attention(grouped, keys[None], values[None], attn_mask=mask)
            return attended.reshape(1, -1)
        attended = F.scaled_dot_product_attention(
            queries.view(1, n, self._heads, self._size).transpose(1, 2), keys[None], values[None],
            attn_mask=mask, is_causal=mask is None, enable_gqa=self._heads != self._key_heads,
        )  # fmt: skip
        return attended[0].transpose(0, 1).reshape(n, -1)

    def _normed(self, rows: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(rows, weight.shape, weight, self._epsilon)

    def _rotations(self, count: int) -> Tensor:
        """(count, 2, head size): cosines and sines of each position, the first half of the sines negated."""
        cosines, sines = self._rotary(self._norm, torch.arange(count, device=self._norm.device)[None])
        sines[..., : self._size // 2] *= -1
        return torch.stack([cosines[0], sines[0]], 1)


class _Recording:
    """A single token's step as a CUDA graph over the tensors of one cache."""

    def __init__(self, model: LeanLlama, row: Tensor, cache: LeanCache) -> None:
        self._row = row.clone()
        self._position = torch.full((1,), cache.length, device=row.device)
        self._angles = model._angles  # the graph knows its address only; held here, it stays valid
        arguments = self._row, cache.layers, self._position, self._angles
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            model.step(*arguments)  # libraries allocate on their first call, which a recording may not
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._hidden = model.step(*arguments)

    def __call__(self, row: Tensor, position: int) -> Tensor:
        self._row.copy_(row)
        self._position.fill_(position)
        self._graph.replay()
        return self._hidden.clone()


def packs(dtype: torch.dtype) -> bool:
    """Whether this torch multiplies rows of `dtype` by matrices in 8 bits on this CPU."""
    try:
        _product(torch.ones(1, 32, dtype=dtype), pack(torch.ones(32, 32, dtype=dtype)))
    except (AttributeError, RuntimeError):
        return False
    return True


def pack(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(out, in) → 8 bits and a scale for each output channel, in the matrix's own dtype."""
    scales = matrix.abs().amax(1).float().clamp_min(1e-12) / 127
    # Rounded up, so that no value leaves the range; what is rounded here the division below makes good.
    scales = (scales * (1 + torch.finfo(matrix.dtype).eps)).to(matrix.dtype)
    return (matrix.float() / scales.float()[:, None]).round().to(torch.int8), scales


def _product(rows: Tensor, matrix: Matrix) -> Tensor:
    if isinstance(matrix, tuple):
        return torch._weight_int8pack_mm(rows, *matrix)
    if len(rows) == 1:
        return torch.mv(matrix, rows[0])[None]  # on a CPU in bfloat16 a fifth faster than F.linear
    return F.linear(rows, matrix)


def _rotate(heads: Tensor, angles: Tensor) -> None:
    """Turns pairs of channels, half a head apart, by their position's angle, in place. heads: (n, heads, size)."""
    cosines, sines = angles[:, :1], angles[:, 1:]
    n, count, size = heads.shape
    swapped = heads.view(n, count, 2, size // 2).flip(2).view(n, count, size)
    heads.mul_(cosines).addcmul_(swapped, sines)


def _read(layer: nn.Module) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    return _Layer(
        layer.input_layernorm.weight.detach(),
        _joined(attention.q_proj, attention.k_proj, attention.v_proj),
        attention.o_proj.weight.detach(),
        layer.post_attention_layernorm.weight.detach(),
        _joined(mlp.gate_proj, mlp.up_proj),
        mlp.down_proj.weight.detach(),
    )


def _joined(*linears: nn.Linear) -> Tensor:
    """One matrix of the linears' rows; their own weights become views of it."""
    whole = torch.cat([linear.weight.detach() for linear in linears])
    for linear, part in zip(linears, whole.split([linear.out_features for linear in linears]), strict=True):
        linear.weight.data = part
    return whole
