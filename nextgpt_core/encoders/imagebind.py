"""ImageBind (Girdhar et al. 2023): an image, a clip or a sound becomes one row in a space that all three share.

Our own implementation of the vision and the audio branch, which read `imagebind_huge.pth` as published. The text,
depth, thermal and motion branches are dropped unread. Files become tensors in `imagebind_preprocess`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import normalize

from nextgpt_core import media
from nextgpt_core.conversation import Media
from nextgpt_core.encoders import imagebind_preprocess as preprocess

DROPPED_BRANCHES = ("text", "depth", "thermal", "imu")


class ImageBind:
    """`weights` is `imagebind_huge.pth` or a safetensors file of the same keys, whose metadata may say other sizes.

    A row is the unit vector of NExT-GPT, not the scaled one of ImageBind: both official trees stop before the audio
    branch's factor of 20, and one linear projector reads all modalities, so the released weights expect norm 1.
    """

    def __init__(self, weights: Path):
        self.network = load_network(weights)
        self.dim = self.network.sizes.out
        self.rows = {"image": 1, "video": 1, "audio": 1}

    def load(self, item: Media) -> Tensor:
        """image (3, 224, 224), video (clips and crops 15, 3, frames 2, 224, 224), audio (clips 3, 1, mel 128, 204)."""
        return preprocess.LOADERS[item.modality](item.path)

    def received(self, item: Media) -> tuple[np.ndarray, int]:
        """A picture's crop; a video's 30 frames, crop by crop; the whole sound, of which three clips are heard."""
        if item.modality == "audio":
            return media.read_audio(item.path, preprocess.SAMPLE_RATE), preprocess.SAMPLE_RATE
        return preprocess.pixels_to_bytes(self.load(item)), 0

    @torch.inference_mode()
    def encode(self, inputs: list[Tensor]) -> Tensor:
        """(b, 1, dim) in float32; all inputs of one modality, as `load` gives them."""
        weight = self.network.vision.head.weight
        batch = torch.stack(inputs).to(weight.device, weight.dtype)
        branch = self.network.audio if batch.ndim == 5 else self.network.vision
        return branch.embed(batch).float().unsqueeze(1)

    def to(self, device: str) -> ImageBind:
        """On a GPU the weights become half precision, which the official code runs as well."""
        self.network.to(device, torch.float16 if torch.device(device).type == "cuda" else torch.float32)
        return self


@dataclass(frozen=True)
class BranchSizes:
    dim: int
    blocks: int
    heads: int


@dataclass(frozen=True)
class Sizes:
    vision: BranchSizes
    audio: BranchSizes
    out: int


HUGE = Sizes(vision=BranchSizes(1280, 32, 16), audio=BranchSizes(768, 12, 12), out=1024)


class Network(nn.Module):
    def __init__(self, sizes: Sizes = HUGE):
        super().__init__()
        self.sizes = sizes
        self.vision, self.audio = VisionBranch(sizes.vision, sizes.out), AudioBranch(sizes.audio, sizes.out)

    def forward(self, inputs: Tensor) -> Tensor:
        """What ImageBind itself answers, (b, out): the audio row scaled, for similarities across modalities."""
        if inputs.ndim != 5:
            return self.vision.embed(inputs)
        return self.audio.embed(inputs) * self.audio.log_logit_scale.exp().clamp(max=100)


class Branch(nn.Module):
    """A vision transformer over patches, read out at the class token."""

    def __init__(self, sizes: BranchSizes, out: int, stem: nn.Module, patches: int, bias_kv: bool):
        super().__init__()
        self.stem = stem
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.dim))
        self.positions = nn.Parameter(torch.zeros(1, patches + 1, sizes.dim))
        self.stem_norm: nn.Module = nn.Identity()
        self.first_norm: nn.Module = nn.Identity()
        self.blocks = nn.Sequential(*(Block(sizes.dim, sizes.heads, bias_kv) for _ in range(sizes.blocks)))
        self.head_norm = nn.LayerNorm(sizes.dim, eps=1e-6)
        self.head = nn.Linear(sizes.dim, out, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """The unit vectors (n, out) of n single views: image, clip or spectrogram."""
        tokens = self.stem_norm(self.stem(inputs).flatten(2).transpose(1, 2))  # (n, patches, dim)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.positions
        tokens = self.blocks(self.first_norm(tokens))
        return normalize(self.head(self.head_norm(tokens[:, 0])), dim=-1)


class VisionBranch(Branch):
    def __init__(self, sizes: BranchSizes, out: int):
        stem = nn.Conv3d(3, sizes.dim, (2, 14, 14), (2, 14, 14), bias=False)
        super().__init__(sizes, out, stem, patches=16 * 16, bias_kv=False)
        self.first_norm = nn.LayerNorm(sizes.dim, eps=1e-6)

    def embed(self, inputs: Tensor) -> Tensor:
        """Images (b, 3, 224, 224), or videos (b, views, 3, 2, 224, 224), to (b, out).

        An image is a clip that stands still. A video's unit vectors are averaged, and the mean stays shorter than 1.
        """
        if inputs.ndim == 4:
            return self(inputs.unsqueeze(2).expand(-1, -1, 2, -1, -1))
        return self(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2]).mean(1)


class AudioBranch(Branch):
    def __init__(self, sizes: BranchSizes, out: int):
        stem = nn.Conv2d(1, sizes.dim, 16, 10, bias=False)
        super().__init__(sizes, out, stem, patches=12 * 19, bias_kv=True)
        self.stem_norm = nn.LayerNorm(sizes.dim)
        self.register_buffer("log_logit_scale", torch.zeros(()))

    def embed(self, inputs: Tensor) -> Tensor:
        """Spectrograms (b, clips, 1, 128, 204) to the mean of the clips' unit vectors, (b, out)."""
        return self(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2]).mean(1)


class Block(nn.Module):
    """Pre-norm attention and MLP. With `bias_kv` a learned key and value stand beside those of the tokens."""

    def __init__(self, dim: int, heads: int, bias_kv: bool):
        super().__init__()
        self.norm_1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.MultiheadAttention(dim, heads, add_bias_kv=bias_kv, batch_first=True)
        self.norm_2 = nn.LayerNorm(dim, eps=1e-6)
        layers = [("fc1", nn.Linear(dim, 4 * dim)), ("gelu", nn.GELU()), ("fc2", nn.Linear(4 * dim, dim))]
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm_1(tokens)
        tokens = tokens + self.attn(x, x, x, need_weights=False)[0]
        return tokens + self.mlp(self.norm_2(tokens))


def load_network(path: Path) -> Network:
    """Builds the network on the meta device and gives it the file's tensors; every key has to be accounted for."""
    path = Path(path)
    if path.suffix == ".pth":
        state, sizes = torch.load(path, map_location="cpu", weights_only=True, mmap=True), HUGE
    else:
        state, sizes = _read_safetensors(path)
    with torch.device("meta"):
        network = Network(sizes)
    network.load_state_dict(own_keys(state, network, path.name), assign=True)
    return network.float().eval().requires_grad_(False)


def own_keys(state: Mapping[str, Tensor], network: Network, name: str) -> dict[str, Tensor]:
    """The published keys in our names, without the dropped branches; raises ValueError unless they fit exactly."""
    own = {_own_name(key): tensor for key, tensor in state.items() if not _DROPPED.match(key)}
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in own.items()}
    wrong = [f"{key} is missing" for key in expected if key not in found]
    wrong += [f"{key} is unknown" for key in found if key not in expected]
    wrong += [
        f"{key} has shape {found[key]}, expected {shape}"
        for key, shape in expected.items()
        if key in found and found[key] != shape
    ]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{name} is not ImageBind's checkpoint: {'; '.join(wrong[:3])}{more}. "
            "Expected is imagebind_huge.pth as Meta publishes it, complete."
        )
    return own


_DROPPED = re.compile(rf"modality_(preprocessors|trunks|heads|postprocessors)\.({'|'.join(DROPPED_BRANCHES)})\.")

# The published names, by part of a branch M. What stands in no row is kept and found unknown above.
_RENAMES = (
    (r"modality_preprocessors\.(\w+)\.rgbt_stem\.norm_layer\.", r"\1.stem_norm."),
    (r"modality_preprocessors\.(\w+)\.rgbt_stem\.proj\.(?:1\.)?weight", r"\1.stem.weight"),
    (r"modality_preprocessors\.(\w+)\.pos_embedding_helper\.pos_embed", r"\1.positions"),
    (r"modality_preprocessors\.(\w+)\.cls_token", r"\1.cls_token"),
    (r"modality_trunks\.(\w+)\.pre_transformer_layer\.0\.", r"\1.first_norm."),
    (r"modality_trunks\.(\w+)\.blocks\.", r"\1.blocks."),
    (r"modality_heads\.(\w+)\.0\.", r"\1.head_norm."),
    (r"modality_heads\.(\w+)\.2\.", r"\1.head."),
    (r"modality_postprocessors\.(\w+)\.1\.", r"\1."),
)


def _own_name(key: str) -> str:
    for pattern, name in _RENAMES:
        if re.match(pattern, key):
            return re.sub(pattern, name, key, count=1)
    return key


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Sizes]:
    """Only our own branches are read. A file that says no sizes is the huge model's."""
    with safe_open(path, framework="pt") as file:
        told = file.metadata() or {}
        state = {key: file.get_tensor(key) for key in file.keys() if not _DROPPED.match(key)}  # noqa: SIM118
    if "out_embed_dim" not in told:
        return state, HUGE
    vision, audio = (
        BranchSizes(*(int(told[f"{branch}_{part}"]) for part in ("embed_dim", "num_blocks", "num_heads")))
        for branch in ("vision", "audio")
    )
    return state, Sizes(vision, audio, int(told["out_embed_dim"]))
