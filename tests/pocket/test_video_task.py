"""A clip decoder starts as the picture decoder, frame by frame, and shares its weights on disk."""

from __future__ import annotations

import json
import re

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel

from nextgpt_core.decoders.folder import DecoderError, component_sizes, load_component
from nextgpt_core.decoders.sketch_unet import SketchUNet2DConditionModel, with_unit_vectors
from nextgpt_core.decoders.video import VideoDecoder
from nextgpt_core.decoders.video_unet import PocketUNet3DConditionModel
from nextgpt_core.pocket.denoiser_task import write_decoder
from nextgpt_core.pocket.video_task import freeze_shared, new_video_unet, of_frames, write_video_decoder
from nextgpt_core.storage import load_tensors
from tests.pocket.test_training import tiny_autoencoder

LENGTH, WIDTH = 3, 16
POOLED = {"addition_embed_type": "text", "addition_embed_type_num_heads": 8}


def tiny_unet(kind: type[UNet2DConditionModel] = UNet2DConditionModel, **changes) -> UNet2DConditionModel:
    """Of the shipped one's shape, but for `changes`: two levels with cross-attention, heads of one size; all random."""
    torch.manual_seed(0)
    unet = kind(**{
        "sample_size": 2, "in_channels": 8, "out_channels": 8, "block_out_channels": (8, 16), "layers_per_block": 1,
        "norm_num_groups": 4, "cross_attention_dim": WIDTH, "attention_head_dim": (2, 4),
        "down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2, **changes,
    })  # fmt: skip
    for name, parameter in unet.named_parameters():
        torch.nn.init.normal_(parameter, std=0.03 if name.startswith("sketch.") else 0.2)  # whose poses are all rest
    return unet.eval()


def tiny_sketching_unet() -> SketchUNet2DConditionModel:
    return tiny_unet(SketchUNet2DConditionModel, **POOLED)


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoders") / "image"
    write_decoder(folder, tiny_sketching_unet(), tiny_autoencoder(), LENGTH, WIDTH)
    return folder


@torch.no_grad()
@pytest.mark.parametrize(
    "image_unet, kind",
    [
        (tiny_unet(), UNet3DConditionModel),
        (tiny_unet(use_linear_projection=True), UNet3DConditionModel),
        (tiny_sketching_unet(), PocketUNet3DConditionModel),
    ],
    ids=["plain", "linear", "sketching"],
)
def test_untrained_it_draws_every_frame_as_the_picture_decoder_would(image_unet, kind):
    unet = new_video_unet(image_unet).eval()
    assert type(unet) is kind
    still, condition, times = torch.randn(2, 8, 1, 4, 4), torch.randn(2, LENGTH, WIDTH), torch.tensor([7, 900])
    clips = torch.cat([still.expand(-1, -1, 2, -1, -1), torch.randn(2, 8, 3, 4, 4)], 2)
    made = unet(clips, times, encoder_hidden_states=condition).sample
    for number in range(clips.shape[2]):
        expected = image_unet(clips[:, :, number], times, encoder_hidden_states=condition).sample
        torch.testing.assert_close(made[:, :, number], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_frame_of_a_clip_is_the_picture_of_its_poses():
    image_unet = tiny_sketching_unet()
    image_unet.sketch.poses.copy_(torch.randn(image_unet.sketch.poses.shape))
    unet = new_video_unet(image_unet).eval()
    clips, condition, times = torch.randn(2, 8, 3, 4, 4), torch.randn(2, LENGTH, WIDTH), torch.tensor([7, 900])
    made = unet(clips, times, encoder_hidden_states=condition).sample
    motion = image_unet.sketch.reader(with_unit_vectors(condition)).motion.argmax(-1)
    first, middle, last = image_unet.sketch.poses.view(-1, 16, 10)[motion][:, [0, 7, 15]].unbind(1)
    middle = (middle + image_unet.sketch.poses.view(-1, 16, 10)[motion][:, 8]) / 2  # three of sixteen: between two
    for number, poses in enumerate((first, middle, last)):
        sketched = image_unet.sketch.paint(image_unet.sketch.reader(with_unit_vectors(condition)), poses[:, None])
        expected = image_unet(clips[:, :, number], times, condition, sketched=sketched).sample
        torch.testing.assert_close(made[:, :, number], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_each_clip_of_a_batch_is_drawn_by_its_own_pooled_condition():
    unet = new_video_unet(tiny_sketching_unet()).eval()
    clips, times = torch.randn(2, 8, 3, 4, 4), torch.tensor([7, 900])
    condition = torch.randn(2, LENGTH, WIDTH)
    both = unet(clips, times, encoder_hidden_states=condition).sample
    for number in range(2):
        one = slice(number, number + 1)
        alone = unet(clips[one], times[one], encoder_hidden_states=condition[one]).sample
        torch.testing.assert_close(both[one], alone, atol=1e-4, rtol=1e-4)


def test_heads_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\[4, 8\] channels"):
        new_video_unet(tiny_unet(attention_head_dim=(2, 2)))


def test_another_addition_to_the_timesteps_is_refused():
    with pytest.raises(ValueError, match=r"adds 'text' with 4 heads.*only add 'text' with 8"):
        new_video_unet(tiny_unet(SketchUNet2DConditionModel, **{**POOLED, "addition_embed_type_num_heads": 4}))
    with pytest.raises(ValueError, match=r"adds 'text' with 8 heads.*only add None"):
        new_video_unet(tiny_unet(**POOLED))


def trained(image_folder):
    """As after training: everything that is open to it has changed."""
    unet = new_video_unet(load_component(image_folder, "unet"))
    for parameter in filter(lambda p: p.requires_grad, unet.parameters()):
        torch.nn.init.normal_(parameter, std=0.1)
    return unet


def test_only_what_was_trained_is_written_and_all_is_read(image_folder):
    folder, unet = image_folder.parent / "video", trained(image_folder)
    write_video_decoder(folder, unet, image_folder, bits=32)
    assert not (folder / "vae").exists()
    own = set(load_tensors(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    open_to_training = {name for name, parameter in unet.named_parameters() if parameter.requires_grad}
    reshaped = {name for name in own - open_to_training if re.search(r"\.attentions\.\d\.proj_(in|out)\.weight$", name)}
    assert own == open_to_training | reshaped  # 1×1 convolutions are linear layers there
    assert open_to_training == {
        name
        for name, _ in unet.named_parameters()
        if "temp_" in name or name.startswith(("transformer_in.", "conv_in."))
    }
    for name, value in load_component(folder, "unet").state_dict().items():
        assert torch.equal(value, unet.state_dict()[name]), name
    whole = sum(value.numel() for value in unet.state_dict().values())
    assert component_sizes(folder) == component_sizes(image_folder) | {"unet": whole}
    decoder = VideoDecoder(folder, {"steps": 2, "guidance_scale": 2.0, "frames": 3, "fps": 8})
    assert decoder.prompt_shape == (LENGTH, WIDTH)
    clip = decoder.generate(torch.randn(1, LENGTH, WIDTH), decoder.settings)
    assert clip.shape == (3, 64, 64, 3)
    again = freeze_shared(load_component(folder, "unet").requires_grad_(True))
    assert {name for name, p in again.named_parameters() if p.requires_grad} == open_to_training


@torch.no_grad()
def test_a_painter_of_its_own_is_stored_beside_what_is_shared(image_folder):
    unet, folder = new_video_unet(load_component(image_folder, "unet")), image_folder.parent / "painted"
    for parameter in unet.sketch.painter.parameters():
        parameter.add_(0.1)
    write_video_decoder(folder, unet, image_folder, bits=32)
    painter = {name for name in unet.state_dict() if name.startswith("sketch.painter.")}
    assert painter and painter <= set(load_tensors(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    read, shared = (load_component(one, "unet").state_dict() for one in (folder, image_folder))
    assert all(torch.equal(read[name], unet.state_dict()[name]) for name in painter)
    assert not any(torch.equal(read[name], shared[name]) for name in painter)
    assert all(torch.equal(read[name], shared[name]) for name in shared if name.startswith("sketch.reader."))


@torch.no_grad()
def test_untrained_its_layers_along_time_take_no_room_and_it_draws_the_same(image_folder):
    shared = image_folder.parent / "untrained"
    unet = new_video_unet(load_component(image_folder, "unet")).eval()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    write_video_decoder(shared, unet, image_folder)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())  # it may go on training
    write_video_decoder(image_folder.parent / "full", trained(image_folder), image_folder)
    sizes = [
        (image_folder.parent / name / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size
        for name in ("untrained", "full")
    ]
    assert sizes[0] < 0.7 * sizes[1]
    read = load_component(shared, "unet")
    clips, condition, times = torch.randn(2, 8, 3, 4, 4), torch.randn(2, LENGTH, WIDTH), torch.tensor([7, 900])
    made, expected = (one(clips, times, encoder_hidden_states=condition).sample for one in (read, unet))
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
    assert component_sizes(shared) == component_sizes(image_folder.parent / "full")


def test_what_draws_single_frames_is_found_again(image_folder):
    unet = trained(image_folder)
    for parameter in unet.sketch.painter.parameters():
        parameter.data.add_(0.1)
    found = of_frames(unet, load_component(image_folder, "unet"))
    again = new_video_unet(found).state_dict()
    kept = [name for name in again if not any(part in name for part in ("transformer_in.", ".temp_"))]
    assert len(kept) == len(found.state_dict())
    assert all(torch.equal(again[name], unet.state_dict()[name]) for name in kept)


def test_it_trains_on_a_cpu_from_its_start(image_folder):
    unet = new_video_unet(load_component(image_folder, "unet")).train()
    for parameter in unet.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    made = unet(torch.randn(1, 8, 3, 4, 4), torch.tensor([5]), encoder_hidden_states=torch.randn(1, LENGTH, WIDTH))
    made.sample.square().mean().backward()
    moved = {name for name, p in unet.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert any("temp_convs" in name for name in moved)
    assert any("temp_attentions" in name for name in moved)
    assert all("temp_" in name or name.startswith(("transformer_in.", "conv_in.")) for name in moved)


def test_another_picture_decoder_in_its_place_is_refused(image_folder, tmp_path):
    folder = tmp_path / "video"
    write_video_decoder(folder, trained(image_folder), image_folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["_shared"]["unet"]["sha256"] = "0" * 64
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(DecoderError, match="train the decoder that shares it anew"):
        load_component(folder, "unet")
    index["_shared"]["unet"]["folder"] = "../nowhere"
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(DecoderError, match=r"there is no diffusion_pytorch_model\.safetensors"):
        load_component(folder, "unet")


@torch.no_grad()
def test_noise_that_frames_share_makes_what_rests_stand_still(image_folder):
    folder = image_folder.parent / "still"
    write_video_decoder(folder, new_video_unet(load_component(image_folder, "unet")), image_folder, bits=32)
    settings = {"steps": 2, "guidance_scale": 1.0, "height": 64, "width": 64, "frames": 3, "fps": 8}
    decoder, condition = VideoDecoder(folder, settings), torch.randn(1, LENGTH, WIDTH)
    spread = [
        decoder.generate(condition, {"shared_noise": share}, seed=1).astype(float).std(0).mean()
        for share in (1.0, 0.9, 0.0)
    ]
    assert spread[0] < 0.01 < spread[1] < spread[2]
    again = [decoder.generate(condition, {"shared_noise": 0.9}, seed=seed) for seed in (1, 1, 2)]
    assert (again[0] == again[1]).all() and (again[0] != again[2]).any()
