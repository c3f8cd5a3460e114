"""ImageBind held against golden values of the reference, and the published keys against a full manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nextgpt_core.encoders import imagebind
from nextgpt_core.encoders.imagebind import HUGE, BranchSizes, ImageBind, Network, Sizes, own_keys

GOLDEN = Path(__file__).parent.parent / "golden" / "imagebind_small.safetensors"
SMALL = Sizes(BranchSizes(32, 2, 4), BranchSizes(24, 2, 3), 24)


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def state(golden) -> dict[str, torch.Tensor]:
    return {key.removeprefix("state."): tensor for key, tensor in golden.items() if key.startswith("state.")}


@pytest.fixture(scope="module")
def encoder(state, tmp_path_factory) -> ImageBind:
    path = tmp_path_factory.mktemp("imagebind") / "small.safetensors"
    with safe_open(GOLDEN, framework="pt") as file:
        save_file(state, path, metadata=file.metadata())
    return ImageBind(path)


@pytest.mark.parametrize("modality", ["image", "video", "audio"])
def test_answers_what_the_reference_answers(encoder, golden, modality):
    with torch.inference_mode():
        answer = encoder.network(golden[f"input.{modality}"].float())
    torch.testing.assert_close(answer, golden[f"output.{modality}_embedding"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("modality", "scale"), [("image", 1), ("video", 1), ("audio", 20)])
def test_rows_are_the_references_before_the_scale(encoder, golden, modality, scale):
    rows = encoder.encode([golden[f"input.{modality}"][0].float()] * 2)
    assert rows.shape == (2, encoder.rows[modality], encoder.dim)
    torch.testing.assert_close(rows[1] * scale, golden[f"output.{modality}_embedding"], atol=1e-5, rtol=0)


def test_reads_the_published_file_and_drops_the_other_branches(state, golden, tmp_path, monkeypatch):
    monkeypatch.setattr(imagebind, "HUGE", SMALL)
    others = {f"modality_heads.{name}.0.weight": torch.ones(1) for name in imagebind.DROPPED_BRANCHES}
    torch.save({**state, **others}, tmp_path / "imagebind_huge.pth")
    encoder = ImageBind(tmp_path / "imagebind_huge.pth")
    assert sum(p.numel() for p in encoder.network.state_dict().values()) == sum(p.numel() for p in state.values())
    assert not any(p.requires_grad for p in encoder.network.parameters())
    rows = encoder.encode([golden["input.image"][0].float()])
    torch.testing.assert_close(rows[0], golden["output.image_embedding"], atol=1e-5, rtol=0)


def test_the_published_manifest_fits_exactly():
    manifest = _published_manifest()
    learned = [
        tensor
        for key, tensor in manifest.items()
        if key != "modality_preprocessors.text.mask"
        and (not key.endswith("log_logit_scale") or "text" in key)  # the other scales are buffers
    ]
    assert sum(tensor.numel() for tensor in learned) == 1_200_781_057
    with torch.device("meta"):
        network = Network(HUGE)
    own = own_keys(manifest, network, "imagebind_huge.pth")
    assert own.keys() == network.state_dict().keys()
    assert sum(p.numel() for p in network.parameters()) == 719_065_088


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"modality_heads.audio.2.weight": None}, "audio.head.weight is missing"),
        ({"modality_heads.vision.3.weight": torch.zeros(1)}, "modality_heads.vision.3.weight is unknown"),
        ({"modality_trunks.smell.blocks.0.norm_1.bias": torch.zeros(1)}, "smell.blocks.0.norm_1.bias is unknown"),
        ({"modality_heads.vision.0.bias": torch.zeros(5)}, r"vision.head_norm.bias has shape \(5,\), expected \(32,\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(state, change, told):
    changed = {key: tensor for key, tensor in {**state, **change}.items() if tensor is not None}
    with torch.device("meta"):
        network = Network(SMALL)
    with pytest.raises(ValueError, match=f"other.pth is not ImageBind's checkpoint: {told}"):
        own_keys(changed, network, "other.pth")


def _published_manifest() -> dict[str, torch.Tensor]:
    """Every key of imagebind_huge.pth with its shape, from the paper's sizes and the key scheme, on the meta device."""
    shapes: dict[str, tuple[int, ...]] = {}
    branches = {  # width, blocks, tokens, learned key and value
        "vision": (1280, 32, 257, False),
        "text": (1024, 24, 77, False),
        "audio": (768, 12, 229, True),
        "depth": (384, 12, 197, True),
        "thermal": (768, 12, 197, True),
        "imu": (512, 6, 251, True),
    }
    for name, (d, blocks, tokens, bias_kv) in branches.items():
        pre, trunk, head = f"modality_preprocessors.{name}", f"modality_trunks.{name}", f"modality_heads.{name}"
        if name == "text":
            shapes |= {f"{pre}.pos_embed": (1, 77, d), f"{pre}.mask": (77, 77)}
            shapes[f"{pre}.token_embedding.weight"] = (49408, d)
        else:
            positions = "pos_embed" if name == "imu" else "pos_embedding_helper.pos_embed"
            shapes |= {f"{pre}.cls_token": (1, 1, d), f"{pre}.{positions}": (1, tokens, d)}
            stem = {"depth": "depth_stem", "imu": "imu_stem"}.get(name, "rgbt_stem")
            if name == "vision":
                shapes[f"{pre}.{stem}.proj.1.weight"] = (d, 3, 2, 14, 14)
            else:
                shapes[f"{pre}.{stem}.proj.weight"] = (d, 48) if name == "imu" else (d, 1, 16, 16)
                shapes |= {f"{pre}.{stem}.norm_layer.{part}": (d,) for part in ("weight", "bias")}
        if name == "vision":
            shapes |= {f"{trunk}.pre_transformer_layer.0.{part}": (d,) for part in ("weight", "bias")}
        for block in (f"{trunk}.blocks.{i}" for i in range(blocks)):
            shapes |= {f"{block}.attn.in_proj_weight": (3 * d, d), f"{block}.attn.in_proj_bias": (3 * d,)}
            shapes |= {f"{block}.attn.out_proj.weight": (d, d), f"{block}.attn.out_proj.bias": (d,)}
            shapes |= {f"{block}.{norm}.{part}": (d,) for norm in ("norm_1", "norm_2") for part in ("weight", "bias")}
            shapes |= {f"{block}.mlp.fc1.weight": (4 * d, d), f"{block}.mlp.fc1.bias": (4 * d,)}
            shapes |= {f"{block}.mlp.fc2.weight": (d, 4 * d), f"{block}.mlp.fc2.bias": (d,)}
            if bias_kv:
                shapes |= {f"{block}.attn.bias_k": (1, 1, d), f"{block}.attn.bias_v": (1, 1, d)}
        norm, last = ("proj.0", "proj.1") if name == "text" else ("0", "3" if name == "imu" else "2")
        shapes |= {f"{head}.{norm}.{part}": (d,) for part in ("weight", "bias")}
        shapes[f"{head}.{last}.weight"] = (1024, d)
        if name != "vision":
            shapes[f"modality_postprocessors.{name}.1.log_logit_scale"] = ()
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
