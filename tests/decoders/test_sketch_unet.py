"""The UNet around a sketch: what it expects is what Bayes' rule says, and what it adds is diffusers' own."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from nextgpt_core.decoders.sketch_unet import NOISE, Sketch, SketchUNet2DConditionModel, with_unit_vectors

CONFIG = {
    "sample_size": 4, "in_channels": 6, "out_channels": 6, "block_out_channels": (8, 16), "layers_per_block": 1,
    "norm_num_groups": 4, "cross_attention_dim": 16, "attention_head_dim": (2, 4),
    "down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2,
}  # fmt: skip


@torch.no_grad()
def test_blind_to_its_sketch_it_asks_the_stock_unet() -> None:
    stock, ours = UNet2DConditionModel(**CONFIG).eval(), SketchUNet2DConditionModel(**CONFIG).eval()
    state = dict(stock.state_dict())
    blind = torch.zeros_like(ours.conv_in.weight)
    blind[:, :6] = state["conv_in.weight"]
    missing, unexpected = ours.load_state_dict(state | {"conv_in.weight": blind}, strict=False)
    assert not unexpected and all(name.startswith("sketch.") for name in missing)
    sample, times = torch.randn(2, 6, 4, 4), torch.tensor([3, 900])
    condition = with_unit_vectors(torch.randn(2, 5, 16))
    seen, expected, scale = ours.sketch.around(sample, times, *ours.sketch(condition))
    asked = stock(seen[:, :6], times, condition).sample
    made = ours(sample, times, condition).sample
    sketched = ours.sketch(condition)
    torch.testing.assert_close(ours(sample, times, condition, sketched=sketched).sample, made)
    torch.testing.assert_close(made, expected + scale * asked)
    torch.testing.assert_close(ours(sample, times, condition, return_dict=False)[0], made)
    ours.conv_in.weight[:, 6:] = 1
    assert not torch.allclose(ours(sample, times, condition).sample, made)


@torch.no_grad()
@pytest.mark.parametrize("time", [0, 250, 700, 999])
def test_what_is_expected_is_the_mean_and_what_is_left_has_unit_variance(time: int) -> None:
    """By drawing latents around a sketch, and regressing on what is seen of them what the velocity is."""
    torch.manual_seed(0)
    sketch, count = Sketch(16, 2, 4), 20_000
    torch.nn.init.uniform_(sketch.ground_error.bias, -0.6, 0.5)
    mean, error = sketch(torch.randn(1, 3, 16))
    assert 0.1 < error.min() < 0.6 and 0.9 < error.max() < 3
    latents = mean + error * torch.randn(count, 2, 4, 4)
    kept, noise = DDIMScheduler(**NOISE).alphas_cumprod[time], torch.randn(count, 2, 4, 4)
    sample = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    seen, expected, scale = sketch.around(sample, time, mean.expand(count, -1, -1, -1), error.expand(count, -1, -1, -1))
    left = (kept.sqrt() * noise - (1 - kept).sqrt() * latents - expected) / scale
    near = {"atol": 0.03, "rtol": 0.03}
    torch.testing.assert_close(left.mean(0), torch.zeros(2, 4, 4), **near)
    torch.testing.assert_close(left.var(0), torch.ones(2, 4, 4), atol=0.06, rtol=0.0)
    torch.testing.assert_close((left * seen[:, :2]).mean(0), torch.zeros(2, 4, 4), **near)  # it says nothing of them
    torch.testing.assert_close(seen[:, :2].var(0), torch.ones(2, 4, 4), atol=0.06, rtol=0.0)


@torch.no_grad()
@pytest.mark.parametrize("size", [(4, 4), (8, 6)])
def test_a_sketch_stands_behind_noise_of_any_size(size: tuple[int, int]) -> None:
    sketch, condition = Sketch(16, 6, 4), torch.randn(2, 3, 16)
    mean, error = sketch(condition)
    behind = sketch.around(torch.randn(2, 6, *size), 999, mean, error)[0][:, 6:]
    assert behind.shape == (2, 6, *size)
    # Made larger evenly, it keeps its mean.
    torch.testing.assert_close(behind.mean((2, 3)), mean.mean((2, 3)), atol=0.05, rtol=0.05)
    if size == (4, 4):
        assert torch.equal(behind, mean)


@torch.no_grad()
def test_an_unsure_condition_is_drawn_as_a_sure_one_and_none_stays_none() -> None:
    unet = SketchUNet2DConditionModel(**CONFIG).eval()
    sample, condition = torch.randn(2, 6, 4, 4), with_unit_vectors(torch.randn(2, 5, 16))
    condition[:, 4] = condition[1] = 0
    unsure = 0.5 * condition
    unsure[0, 4] = 0.1 * torch.randn(16)
    torch.testing.assert_close(with_unit_vectors(unsure), condition)
    torch.testing.assert_close(unet(sample, 500, unsure).sample, unet(sample, 500, condition).sample)
    torch.testing.assert_close(condition[0, :4].square().mean(-1), torch.ones(4))


def test_conditions_that_are_read_alike_do_not_disagree() -> None:
    torch.manual_seed(0)
    sketch = Sketch(16, 6, 4).requires_grad_(False)
    meant, other = torch.randn(2, 3, 5, 16)
    made = other.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([made], 0.05)
    before = sketch.disagreement(made, meant)
    for _ in range(60):
        optimizer.zero_grad()
        sketch.disagreement(made, meant).backward()
        optimizer.step()
    alike = sketch.disagreement(meant, meant)
    assert alike < before and sketch.disagreement(made, meant) < alike + 0.3 * (before - alike)
    assert set(sketch.agreement(meant, meant).values()) == {1.0}
    assert sum(sketch.agreement(made, meant).values()) > sum(sketch.agreement(other, meant).values())
