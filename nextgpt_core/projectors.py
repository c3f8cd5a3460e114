"""The two trained bridges: encoder rows → language model rows, and signal states → a decoder's condition.

Both are built from sizes alone; which encoder or decoder stands at the other side is `model`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nextgpt_core.config import ConfigError, OutputProjectorConfig, RecallConfig

_LEAST = 1e-9  # of a share whose logarithm is taken


class InputProjector(nn.Module):
    """A linear map, as in the paper; each feature row becomes `tokens` rows of the language model.

    A small language model learns from few pictures to say what a linear map of features shows, but it can read. So
    `recalls` tell it in words, which `embed` makes rows of: ids (…) → (…, width).
    """

    def __init__(
        self,
        dim: int,
        width: int,
        tokens: int = 1,
        recalls: Sequence[RecallConfig] = (),
        embed: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        for recall in recalls:
            _check(recall, dim)
        self.tokens = tokens
        self.linear = nn.Linear(dim, tokens * width)
        self.recalls = nn.ModuleList(Recall(recall, tokens, embed) for recall in recalls)

    def forward(self, features: Tensor) -> Tensor:
        """features: (b, rows, dim) → (b, rows · tokens, width)."""
        batch, rows, _ = features.shape
        projected = list(self.linear(features).unbind(1))
        for recall in self.recalls:
            if recall.row < rows:
                projected[recall.row] = projected[recall.row] + recall(features[:, 0])
        return torch.stack(projected, 1).view(batch, rows * self.tokens, -1)


class Recall(nn.Module):
    """Recognises one of many known things, and says what it is as surely as it is recognised.

    `keys` tell the things apart by features less their `mean`, times their `scale`, both (seen,); a softmax, which they
    share with what is known already, makes shares of it. `names` (entries, tokens) are the tokens that the language
    model is to read of each, −1 for none.
    """

    def __init__(self, config: RecallConfig, tokens: int, embed: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.row, self.entries, self._columns = config.row, config.entries, slice(*config.columns)
        self._known, self._embed = config.known and slice(*config.known), embed
        seen = config.columns[1] - config.columns[0]
        self.mean, self.scale = nn.Parameter(torch.zeros(seen)), nn.Parameter(torch.ones(seen))
        first: tuple[nn.Module, ...] = ()
        if config.hidden:
            first = (nn.Linear(seen, config.hidden), nn.GELU())
        elif config.rank:
            first = (nn.Linear(seen, config.rank, bias=False),)
        known = config.known[1] - config.known[0] if config.known else 0
        self.keys = nn.Sequential(*first, nn.Linear(config.hidden or config.rank or seen, config.entries - known))
        self.register_buffer("names", torch.full((config.entries, tokens), -1))

    def forward(self, features: Tensor) -> Tensor:
        """features: (b, dim), of items' first rows → (b, tokens · width)."""
        with torch.no_grad():
            spelled = self._embed(self.names.clamp(min=0)) * (self.names >= 0)[..., None]
        return self.recognise(features) @ spelled.flatten(1).to(features.dtype)

    def recognise(self, features: Tensor) -> Tensor:
        """The shares of all entries, (b, entries)."""
        logits = self.keys((features[:, self._columns] - self.mean) * self.scale).float()
        if self._known:
            logits = torch.cat([features[:, self._known].float().clamp(min=_LEAST).log(), logits], 1)
        return logits.softmax(-1).to(features.dtype)


def _check(recall: RecallConfig, dim: int) -> None:
    """Raises ConfigError for columns that an encoder's rows, `dim` wide, do not have."""
    for name in ("columns", "known"):
        if (span := getattr(recall, name)) is not None and not 0 <= span[0] < span[1] <= dim:
            raise ConfigError(f"A recall's {name} are {list(span)}; the encoder's rows have {dim} columns.")
    if recall.known is not None and recall.known[1] - recall.known[0] >= recall.entries:
        raise ConfigError(f"A recall has {recall.entries} entries, of which all are known in {list(recall.known)}.")
    if recall.hidden and recall.rank:
        raise ConfigError("A recall has hidden units or a rank, not both.")


class OutputProjector(nn.Module):
    """Learned queries read a run's states through a small transformer: the paper's output projection.

    Pre-norm, ReLU, no dropout, no positional encoding and no masks, as in the original. With `linear_rank` a low-rank
    linear map of the whole run is added to the transformer's answer. It learns within minutes what the queries take
    hours for (0.95 against 0.58 of unseen captions found after 200 steps on the pocket model).
    """

    def __init__(self, width: int, run_length: int, config: OutputProjectorConfig) -> None:
        super().__init__()
        length, out = config.prompt_shape
        self.input = nn.Linear(width, config.width)
        self.queries = nn.Parameter(torch.randn(1, length, config.width))
        layer = {"d_model": config.width, "nhead": config.heads, "dim_feedforward": config.feedforward}
        layer |= {"dropout": 0.0, "norm_first": True, "batch_first": True}
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(**layer), config.layers, nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        self.transformer = nn.Transformer(num_decoder_layers=config.layers, custom_encoder=encoder, **layer)
        self.output = nn.Linear(config.width, out)
        self.linear = (
            _LinearPath(width * run_length, config.linear_rank, config.prompt_shape) if config.linear_rank else None
        )

    def forward(self, states: Tensor) -> Tensor:
        """states: (b, run_length, width), hidden states plus input embeddings of a run → (b, length, out)."""
        if self.linear is not None:
            # The final norm of a small language model leaves a few huge coordinates; evened out, both paths learn fast.
            states = nn.functional.layer_norm(states, states.shape[-1:])
        queries = self.queries.expand(len(states), -1, -1)
        projected = self.output(self.transformer(self.input(states), queries))
        return projected if self.linear is None else projected + self.linear(states)


class _LinearPath(nn.Module):
    def __init__(self, inputs: int, rank: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.shape = shape
        self.down = nn.Linear(inputs, rank)
        self.up = nn.Linear(rank, shape[0] * shape[1])

    def forward(self, states: Tensor) -> Tensor:
        return self.up(self.down(states.flatten(1))).view(-1, *self.shape)
