"""EfficientNet-Lite2: its shape, its padding, what rows hold, and that clips that move apart read apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.encoders import build_encoder
from nextgpt_core.encoders.efficientnet import (
    CLASSES,
    FEATURES,
    FRAMES,
    EfficientNetLite2,
    Network,
    SameConv2d,
    describe_motion,
    pixels,
)
from tests.encoders.pocket_weights import EXAMPLES, pocket_encoder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Random weights under the published names, with batch statistics that keep the signal alive."""
    torch.manual_seed(0)
    network = Network()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.9, 1.1)
            nn.init.normal_(module.running_mean, std=0.1)
    nn.init.normal_(network._fc.weight, std=0.2)
    path = tmp_path_factory.mktemp("weights") / "lite2.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def encoder(weights) -> EfficientNetLite2:
    return build_encoder("efficientnet-lite2", weights)


def picture(seed: int, size: tuple[int, int] = (300, 200)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)


def test_the_published_shape():
    network = Network()
    assert sum(p.numel() for p in network.parameters()) == 6_092_072
    state = network.state_dict()
    assert len(state) == 386
    assert state["_blocks.4._depthwise_conv.weight"].shape == (144, 1, 5, 5)
    assert state["_blocks.20._project_conv.weight"].shape == (352, 1248, 1, 1)
    assert "_blocks.0._expand_conv.weight" not in state


@pytest.mark.parametrize(("size", "kernel", "stride"), [(9, 3, 2), (10, 3, 2), (9, 5, 2), (10, 5, 2), (10, 5, 1)])
def test_same_padding_puts_what_is_uneven_on_the_right(size, kernel, stride):
    conv = SameConv2d(1, 1, kernel, stride, bias=False)
    signal = torch.randn(1, 1, size, size)
    length = -(-size // stride)
    over = max((length - 1) * stride + kernel - size, 0)
    wide = torch.zeros(size + over, size + over)
    wide[over // 2 : over // 2 + size, over // 2 : over // 2 + size] = signal[0, 0]
    windows = wide.unfold(0, kernel, stride).unfold(1, kernel, stride)
    expected = torch.einsum("ijkl,kl->ij", windows, conv.weight[0, 0])
    assert conv(signal).shape == (1, 1, length, length)
    assert torch.allclose(conv(signal)[0, 0], expected, atol=1e-5)


def test_pixels_are_the_middle_square_untouched():
    image = picture(0, (400, 260))
    middle = np.asarray(image)[:, 70:330].transpose(2, 0, 1)
    assert np.array_equal(pixels([image])[0].numpy(), middle)
    assert pixels([picture(1, (1, 900)), picture(1, (900, 3))]).shape == (2, 3, 260, 260)


def test_pictures_become_features_and_probabilities(encoder, tmp_path):
    images = [picture(i) for i in range(3)]
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i}.png")
    inputs = [encoder.load(Media("image", tmp_path / f"{i}.png")) for i in range(3)]
    rows = encoder.encode(inputs)
    assert rows.shape == (3, encoder.rows["image"], encoder.dim)
    assert not rows.requires_grad and not rows.is_inference()  # a projector trains on them
    normal = (torch.cat(inputs).float() - 127) / 128
    with torch.no_grad():
        maps, stages = encoder.network.maps(normal)
    assert torch.allclose(rows[:, 0, :FEATURES], maps.mean((2, 3)), atol=1e-5)
    assert [stage.shape[1] for stage in stages[-3:]] == [120, 208, 352]
    cell = stages[5][:, :, 3:6, :3].mean((2, 3))  # of 9 × 9 places a third each way: the middle row's first
    assert torch.allclose(rows[:, 0, FEATURES : FEATURES + 9 * 208].view(3, 208, 3, 3)[:, :, 1, 0], cell, atol=1e-4)
    assert torch.equal(encoder.see(images)[:, :FEATURES], encoder.features(images))
    assert torch.allclose(rows[:, 0, encoder.class_columns].sum(-1), torch.ones(3))
    assert torch.equal(rows[:, 0, encoder.class_columns].argmax(-1), encoder.logits(images).argmax(-1))
    assert rows[:, 0, encoder.seen + CLASSES :].count_nonzero() == 0
    assert torch.allclose(encoder.encode(inputs[:1]), rows[:1], atol=1e-5)


def test_a_clip_is_the_mean_and_the_change_of_its_frames(encoder, tmp_path):
    first, second = picture(0, (64, 64)), picture(1, (64, 64))
    clip = np.stack([np.asarray(image) for image in [first] * 4 + [second] * 4])
    media.write_video(clip, tmp_path / "cut.mp4", 4, {})
    frames = encoder.load(Media("video", tmp_path / "cut.mp4"))
    assert frames.shape == (FRAMES, 3, 260, 260) and frames.dtype == torch.uint8
    rows = encoder.encode([frames, frames.flip(0)])
    assert rows.shape == (2, encoder.rows["video"], encoder.dim)
    still = slice(encoder.seen + CLASSES)
    each = encoder.encode(list(frames.split(1)))[:, 0, still]
    assert torch.allclose(rows[0, 0, still], each.mean(0), atol=1e-3)
    assert torch.allclose(rows[0, 1, still], each[4:].mean(0) - each[:4].mean(0), atol=1e-3)
    assert torch.allclose(rows[0, 1], -rows[1, 1], atol=1e-4)  # backwards, what came goes


def test_motion_tells_where_things_go():
    """Left from right, up from down, growing from shrinking, on clips with other colours, sizes and speeds."""
    kinds = ("left", "right", "up", "down", "grow", "shrink", "still")
    rng = np.random.default_rng(0)
    clips = np.stack([drawn_clip(kinds[i % len(kinds)], rng) for i in range(len(kinds) * 20)])
    labels = torch.arange(len(clips)) % len(kinds)
    motion = describe_motion(torch.from_numpy(clips).permute(0, 1, 4, 2, 3))
    assert motion.isfinite().all()
    learned, asked = slice(0, len(kinds) * 14), slice(len(kinds) * 14, None)
    spread = motion[learned].std(0) + 0.1
    columns = torch.cat([(motion - motion[learned].mean(0)) / spread, torch.ones(len(motion), 1)], dim=1)
    known = columns[learned]
    ridge = torch.linalg.solve(
        known.T @ known + 10 * torch.eye(columns.shape[1]), known.T @ nn.functional.one_hot(labels[learned]).float()
    )
    right = ((columns[asked] @ ridge).argmax(1) == labels[asked]).float().mean()
    assert right >= 0.9


def drawn_clip(kind: str, rng: np.random.Generator) -> np.ndarray:
    """(8, 64, 64, 3) uint8: a disc of some colour before another."""
    y, x = np.mgrid[0:64, 0:64] / 63
    disc, wall = rng.integers(0, 256, (2, 3))
    while abs(disc - wall).sum() < 150:
        disc, wall = rng.integers(0, 256, (2, 3))
    radius, reach, (cx, cy) = rng.uniform(0.08, 0.2), rng.uniform(0.15, 0.35), rng.uniform(0.4, 0.6, 2)
    dx, dy = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}.get(kind, (0, 0))
    growth = {"grow": 0.6, "shrink": -0.6}.get(kind, 0)
    frames = []
    for t in np.linspace(-1, 1, 8):
        inside = np.hypot(x - cx - dx * reach * t, y - cy - dy * reach * t) < radius * (1 + growth * t)
        frames.append(np.where(inside[..., None], disc, wall))
    return np.stack(frames).astype(np.uint8)


def test_a_still_clip_does_not_move():
    frame = pixels([picture(3)])
    moved = describe_motion(frame.expand(1, FRAMES, -1, -1, -1)).view(FRAMES, -1)
    brightness, contrast, detail = 5, 6, 7
    still = [i for i in range(moved.shape[1]) if i not in (brightness, contrast, detail)]
    assert moved[:, still].abs().max() < 1e-4


def test_what_it_refuses(encoder):
    with pytest.raises(ValueError, match="not audio"):
        encoder.load(Media("audio", Path("x.wav")))
    with pytest.raises(ValueError, match="1 frame"):
        encoder.encode([torch.zeros(3, 3, 260, 260, dtype=torch.uint8)])


def test_real_weights_see_a_sailing_boat_and_a_ball():
    encoder = pocket_encoder("efficientnet-lite2")
    boat = encoder.encode([encoder.load(Media("image", EXAMPLES / "sailing-boat.jpg"))])
    ball = encoder.encode([encoder.load(Media("video", EXAMPLES / "bouncing-ball.mp4"))])
    schooner, yawl = 780, 914
    assert int(boat[0, 0, encoder.class_columns].argmax()) in (schooner, yawl)
    ping_pong_ball, balloon, croquet_ball = 722, 417, 522
    assert int(ball[0, 0, encoder.class_columns].argmax()) in (ping_pong_ball, balloon, croquet_ball)
