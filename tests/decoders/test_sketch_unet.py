"""The UNet that sees a sketch: without eyes for it, diffusers' own; and a sketch of any size."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel

from nextgpt_core.decoders.sketch_unet import Sketch, SketchUNet2DConditionModel

CONFIG = {
    "sample_size": 4, "in_channels": 6, "out_channels": 6, "block_out_channels": (8, 16), "layers_per_block": 1,
    "norm_num_groups": 4, "cross_attention_dim": 16, "attention_head_dim": (2, 4),
    "down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2,
}  # fmt: skip


@torch.no_grad()
def test_blind_to_its_sketch_it_is_the_stock_unet() -> None:
    stock, ours = UNet2DConditionModel(**CONFIG).eval(), SketchUNet2DConditionModel(**CONFIG).eval()
    state = dict(stock.state_dict())
    blind = torch.zeros_like(ours.conv_in.weight)
    blind[:, :6] = state["conv_in.weight"]
    missing, unexpected = ours.load_state_dict(state | {"conv_in.weight": blind}, strict=False)
    assert not unexpected and all(name.startswith("sketch.") for name in missing)
    given = torch.randn(2, 6, 4, 4), torch.tensor([3, 900]), torch.randn(2, 5, 16)
    assert torch.equal(ours(*given).sample, stock(*given).sample)
    ours.conv_in.weight[:, 6:] = 1
    assert not torch.allclose(ours(*given).sample, stock(*given).sample)


@torch.no_grad()
@pytest.mark.parametrize("size", [(4, 4), (8, 6)])
def test_a_sketch_stands_behind_noise_of_any_size(size: tuple[int, int]) -> None:
    sketch, sentence = Sketch(16, 6, 4), torch.randn(2, 16)
    sample = torch.randn(2, 6, *size)
    both = sketch.beside(sample, sentence)
    assert torch.equal(both[:, :6], sample)
    # Made larger evenly, it keeps its mean.
    torch.testing.assert_close(both[:, 6:].mean((2, 3)), sketch(sentence).mean((2, 3)), atol=0.05, rtol=0.05)
    if size == (4, 4):
        assert torch.equal(both[:, 6:], sketch(sentence))
