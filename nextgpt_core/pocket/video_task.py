"""The clip decoder's network: the picture decoder's UNet, taught frames, and layers in between that look along time.

Which way things move is in the sketch. The picture decoder's UNet has met things only large and at rest, so it learns
single frames first (`FrameTask`), and how far off their sketches are; then 13 million parameters along time.
The loss and the loop are those of pictures (`denoiser_task`, `training`).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn

from nextgpt_core.decoders.folder import load_component, load_unconditional, save_folder
from nextgpt_core.decoders.sketch_unet import SketchUNet2DConditionModel
from nextgpt_core.decoders.video_unet import POOL_HEADS, PocketUNet3DConditionModel
from nextgpt_core.pocket.denoiser_task import UNET_BITS, DenoiserTask, new_scheduler
from nextgpt_core.pocket.layouts import CONCEPTS
from nextgpt_core.pocket.sketch_task import Drawn, draw_frames
from nextgpt_core.storage import Bits

_ALONG_TIME = ("transformer_in.", ".temp_attentions.", ".temp_convs.")
# The first convolution is open so that what comes first along time has a gradient to pass on: torch 2.13's group norm
# with channels last crashes on a CPU where its input needs none.
_TRAINED = (*_ALONG_TIME, "conv_in.")
_KEPT = ("sample_size", "in_channels", "out_channels", "block_out_channels", "layers_per_block", "downsample_padding",
         "mid_block_scale_factor", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim")  # fmt: skip


class FrameTask(DenoiserTask):
    """The pictures' task for their UNet on any frames of clips, around sketches of what is really in them.

    Sketches of rough conditions are now and then of another thing, and a UNet that has to reckon with that blurs all
    that it is not shown: its first step, from nothing but noise, made the sketch worse.
    """

    def __init__(
        self,
        network: SketchUNet2DConditionModel,
        clips: Drawn,
        weights: Tensor,
        draw: Callable[[nn.Module, Path], None],
    ) -> None:
        super().__init__(
            network, clips.shards, torch.arange(len(clips.shards)), weights, lambda network, folder: None, draw
        )
        self._clips = clips

    def read(self, rows: Tensor) -> tuple[Tensor, ...]:
        latents, poses = draw_frames(self._clips, rows)
        return latents, self._clips.shards.read_conditions(rows), rows, poses

    def predict(
        self, network: nn.Module, noised: Tensor, times: Tensor, condition: Tensor, rows: Tensor, poses: Tensor
    ) -> Tensor:
        sketch = self.network.sketch
        layout = self._clips.labels.layout(rows.cpu(), sketch.reader.concepts[: len(CONCEPTS)].cpu())
        sketched = sketch.paint(layout.to(noised.device), poses)
        return network(noised, times, condition, return_dict=False, sketched=sketched)[0]


def new_video_unet(image_unet: UNet2DConditionModel) -> UNet3DConditionModel:
    """Draws, untrained, each frame as `image_unet` would by itself: all layers along time start as identities.

    Raises ValueError where heads differ in size between levels, which `UNet3DConditionModel` cannot express, and where
    the timestep's embedding gets anything but a condition pooled as `PocketUNet3DConditionModel` does.
    """
    config = image_unet.config
    kind = PocketUNet3DConditionModel if isinstance(image_unet, SketchUNet2DConditionModel) else UNet3DConditionModel
    addition = (config.addition_embed_type, config.addition_embed_type_num_heads)
    known = ("text", POOL_HEADS) if kind is PocketUNet3DConditionModel else (None, addition[1])
    if addition != known:
        raise ValueError(
            f"The picture decoder adds {addition[0]!r} with {addition[1]} heads to the timestep's embedding; a clip "
            f"decoder beside it can only add {known[0]!r} with {known[1]}."
        )
    heads, widths = config.attention_head_dim, config.block_out_channels
    heads = heads if isinstance(heads, list | tuple) else [heads] * len(widths)
    sizes = {width // count for width, count in zip(widths, heads, strict=True)}
    if len(sizes) > 1:
        raise ValueError(
            f"The picture decoder's heads have {sorted(sizes)} channels; a clip decoder's must all be alike."
        )
    unet = kind(
        **{name: config[name] for name in _KEPT},
        down_block_types=tuple(block.replace("2D", "3D") for block in config.down_block_types),
        up_block_types=tuple(block.replace("2D", "3D") for block in config.up_block_types),
        attention_head_dim=sizes.pop(),  # in this class, unlike in its model, the size of a head
    )
    state = unet.state_dict()
    for name, value in image_unet.state_dict().items():
        state[name] = value.reshape(state[name].shape)  # 1×1 convolutions are linear layers there
    unet.load_state_dict(state)
    for layers in _along_time(unet):
        for parameter in _last(layers).parameters():
            nn.init.zeros_(parameter)
    return freeze_shared(unet)


def of_frames(unet: UNet3DConditionModel, image_unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Makes `image_unet` what `unet` is to single frames: `new_video_unet` backwards, less the layers along time."""
    state = unet.state_dict()
    image_unet.load_state_dict({name: state[name].view_as(value) for name, value in image_unet.state_dict().items()})
    return image_unet


def freeze_shared(unet: UNet3DConditionModel) -> UNet3DConditionModel:
    """Leaves only what is trained, and stored with the clip decoder, open to training."""
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(any(part in name for part in _TRAINED))
    return unet


def _along_time(unet: UNet3DConditionModel) -> list[nn.Module]:
    return [m for m in unet.modules() if isinstance(m, TransformerTemporalModel | TemporalConvLayer)]


def _last(layers: nn.Module) -> nn.Module:
    """Of layers along time the one whose answer is added to what came in."""
    return layers.proj_out if isinstance(layers, TransformerTemporalModel) else layers.conv4[-1]


def _idle(unet: UNet3DConditionModel) -> list[nn.Module]:
    """Layers along time whose weights do not count: what comes last behind them is zero, as at the start."""
    return [
        layer
        for layers in _along_time(unet)
        if not _last(layers).weight.any()
        for layer in layers.modules()
        if isinstance(layer, nn.Linear | nn.Conv3d) and layer is not _last(layers)
    ]


def write_video_decoder(folder: Path, unet: UNet3DConditionModel, image_folder: Path, bits: Bits = UNET_BITS) -> None:
    """The folder of a `TextToVideoSDPipeline` that shares with the picture decoder in `image_folder` what is the same.

    Random weights that do not count yet are written as zeros, which take no room.
    """
    unet = deepcopy(unet)
    for layer in _idle(unet):
        nn.init.zeros_(layer.weight)
    components = {
        "unet": unet,
        "vae": load_component(image_folder, "vae"),
        "scheduler": new_scheduler(),
        "text_encoder": None,
        "tokenizer": None,
    }
    shared = {name: image_folder / name for name in ("unet", "vae")}
    save_folder(folder, "TextToVideoSDPipeline", components, load_unconditional(image_folder), {"unet": bits}, shared)
