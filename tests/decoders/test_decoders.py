"""The three decoders on tiny random components, held against the stock pipelines and against formulas by hand."""

from __future__ import annotations

import json

import diffusers
import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertModel, BertTokenizer

from nextgpt_core import media
from nextgpt_core.config import DecoderConfig, Source
from nextgpt_core.decoders import KINDS, build_decoder, latent_diffusion
from nextgpt_core.decoders.audio import presentable
from nextgpt_core.decoders.autoencoder import PocketAutoencoder
from nextgpt_core.decoders.folder import DecoderError, load_unconditional, save_folder
from nextgpt_core.decoders.sentence_condition import SentenceCondition
from nextgpt_core.weights import WeightsError
from tests.decoders.tiny import LENGTH, PIPELINES, SETTINGS, WIDTH, components

MODALITIES = list(PIPELINES)
CAPTION = "a red bus"


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """Equality with the stock pipelines is equality in float32, on every machine."""
    monkeypatch.setattr(latent_diffusion, "unet_dtype", lambda device: torch.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each modality's folder as diffusers itself saves it."""
    made = {}
    for modality, pipeline in PIPELINES.items():
        made[modality] = tmp_path_factory.mktemp(modality)
        options = {"requires_safety_checker": False} if modality == "image" else {}
        getattr(diffusers, pipeline)(**components(modality), **options).save_pretrained(made[modality])
    return made


def build(modality, folder, **changes):
    kind = list(KINDS)[MODALITIES.index(modality)]
    return build_decoder(DecoderConfig(kind, Source(("file:.",)), SETTINGS[modality] | changes), folder).to("cpu")


def stock(modality, folder):
    pipeline = getattr(diffusers, PIPELINES[modality]).from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run_stock(modality, pipeline, seed):
    s = SETTINGS[modality]
    arguments = {
        "image": {"height": 16, "width": 16},
        "video": {"height": 16, "width": 16, "num_frames": 2},
        "audio": {"audio_length_in_s": 0.032},
    }[modality]
    output = pipeline(
        CAPTION, num_inference_steps=s["steps"], guidance_scale=s["guidance_scale"], output_type="np",
        generator=torch.Generator("cpu").manual_seed(seed), **arguments,
    )  # fmt: skip
    return {"image": "images", "video": "frames", "audio": "audios"}[modality], output


@pytest.mark.parametrize("modality", MODALITIES)
def test_generating_from_an_embedded_caption_is_the_stock_pipeline_on_the_caption(modality, folders):
    decoder = build(modality, folders[modality])
    made = decoder.generate(decoder.embed_text([CAPTION]), {}, seed=5)
    field, output = run_stock(modality, stock(modality, folders[modality]), seed=5)
    expected = output[field][0]
    if modality != "audio":
        expected = (expected * 255).round().astype(np.uint8)
        assert made.dtype == np.uint8
        assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1  # where a value lies on the edge of rounding
        assert (made == expected).mean() > 0.99
    else:
        np.testing.assert_allclose(made, expected, atol=1e-6)
    assert made.shape == expected.shape
    assert not np.array_equal(made, decoder.generate(decoder.embed_text([CAPTION]), {}, seed=6))


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_condition_has_the_shape_that_the_decoder_names(modality, folders):
    decoder = build(modality, folders[modality])
    captions = [CAPTION, "a blue car that drives"]
    embeds = decoder.embed_text(captions)
    assert embeds.shape == (2, *decoder.prompt_shape)
    torch.testing.assert_close(embeds[1:], decoder.embed_text(captions[1:]))
    if modality == "audio":
        assert decoder.prompt_shape[0] == 1
        torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(2, 1))
    with pytest.raises(DecoderError, match=r"The condition is \(2, "):
        decoder.generate(embeds, {}, seed=0)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_stored_unconditional_condition_replaces_the_text_encoder(modality, folders, tmp_path):
    """What a chat's decoder folder holds: 8-bit weights, no text encoder, and the same answer but for the 8 bits."""
    whole = build(modality, folders[modality])
    parts = components(modality) | {"text_encoder": None, "tokenizer": None}
    save_folder(tmp_path / "16", PIPELINES[modality], parts, whole.unconditional, bits=16)
    save_folder(tmp_path / "8", PIPELINES[modality], parts, whole.unconditional, bits=8)
    torch.testing.assert_close(load_unconditional(tmp_path / "8"), whole.unconditional, atol=1e-3, rtol=1e-3)

    condition = whole.embed_text([CAPTION])
    expected = whole.generate(condition, {}, seed=5).astype(np.float32)
    scale = 255 if modality != "audio" else np.abs(expected).max()
    for bits, tolerance in (("16", 0.01), ("8", 0.1)):
        lean = build(modality, tmp_path / bits)
        made = lean.generate(condition, {}, seed=5).astype(np.float32)
        assert np.abs(made - expected).max() <= tolerance * scale
        with pytest.raises(DecoderError, match="stores no text encoder"):
            lean.embed_text([CAPTION])


def test_without_a_text_encoder_of_its_own_captions_go_through_the_sentence_encoder(folders, tmp_path):
    """MiniLM's kind of model, named by the config; it is looked for only when a caption is embedded."""
    letters = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "bus"])}
    BertTokenizer(letters).save_pretrained(tmp_path / "sentences")
    config = BertConfig(
        vocab_size=len(letters), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "sentences")
    parts = components("image") | {"text_encoder": None, "tokenizer": None}
    save_folder(tmp_path / "decoder", PIPELINES["image"], parts, torch.zeros(1, 6, WIDTH))

    source = Source(("file:sentences",))
    settings = SETTINGS["image"]
    decoder = build_decoder(DecoderConfig("stable-diffusion", Source(("file:decoder",)), settings, source), tmp_path)
    condition = decoder.embed_text([CAPTION])
    assert condition.shape == (1, *decoder.prompt_shape) == (1, 6, WIDTH)
    torch.testing.assert_close(condition, SentenceCondition(tmp_path / "sentences", 6).embed([CAPTION]))
    assert decoder.generate(condition, {}, seed=0).shape == (16, 16, 3)

    missing = Source(("file:absent",))
    chatting = build_decoder(DecoderConfig("stable-diffusion", Source(("file:decoder",)), settings, missing), tmp_path)
    assert chatting.generate(condition, {}, seed=0).shape == (16, 16, 3)
    with pytest.raises(WeightsError, match="file:absent"):
        chatting.embed_text([CAPTION])


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_step_is_seen_and_what_is_raised_in_one_stops_the_rest(modality, folders):
    decoder = build(modality, folders[modality])
    condition, seen = decoder.embed_text([CAPTION]), []
    decoder.generate(condition, {"steps": 5}, seed=0, on_step=lambda step, steps: seen.append((step, steps)))
    assert seen == [(step, 5) for step in range(1, 6)]

    class Stop(Exception):
        pass

    def stop_at_two(step, steps):
        seen.append(step)
        if step == 2:
            raise Stop

    seen.clear()
    with pytest.raises(Stop):
        decoder.generate(condition, {"steps": 5}, seed=0, on_step=stop_at_two)
    assert seen == [1, 2]
    assert decoder.generate(condition, {}, seed=0).size, "the decoder still works"


@pytest.mark.parametrize("scheduler", ["PNDMScheduler", "HeunDiscreteScheduler", "EulerDiscreteScheduler"])
@pytest.mark.parametrize("modality", ["image", "audio"])
def test_steps_are_counted_as_asked_for_whatever_the_scheduler_walks(modality, scheduler, folders):
    decoder, seen = build(modality, folders[modality]), []
    decoder.pipeline.scheduler = getattr(diffusers, scheduler).from_config(decoder.pipeline.scheduler.config)
    decoder.generate(decoder.unconditional, {"steps": 4}, 0, lambda step, steps: seen.append(step))
    assert sorted(set(seen)) == [1, 2, 3, 4] and seen == sorted(seen)


def test_less_noise_to_start_from_leaves_less_to_chance(folders):
    condition = torch.randn(1, *build("image", folders["image"]).prompt_shape)
    apart = []
    for noise in (0.0, 0.3, 1.0):
        decoder = build("image", folders["image"], noise=noise)
        one, other = (decoder.generate(condition, seed=seed).astype(float) for seed in (1, 2))
        apart.append(np.abs(one - other).mean())
    assert apart[0] == 0 < apart[1] < apart[2]


def targets_of(modality):
    shape = {"image": (2, 3, 16, 16), "video": (2, 3, 3, 16, 16), "audio": (2, 1, 16, 8)}[modality]
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_denoising_loss_is_the_formula(modality, prediction_type, folders):
    decoder = build(modality, folders[modality])
    decoder.pipeline.scheduler.register_to_config(prediction_type=prediction_type)
    targets, embeds = targets_of(modality), decoder.embed_text([CAPTION, "a car"])
    torch.manual_seed(7)
    loss = decoder.denoising_loss(embeds, targets)

    torch.manual_seed(7)
    vae, unet = decoder.pipeline.vae, decoder.pipeline.unet
    if modality == "video":
        latents = torch.stack([vae.encode(targets[:, f]).latent_dist.mean for f in range(3)], dim=2)
        drawn = torch.randn(6, 4, 8, 8)  # the posterior's noise, frame after frame of each clip
        spread = torch.stack([vae.encode(targets[:, f]).latent_dist.std for f in range(3)], dim=2)
        latents = latents + spread * drawn.view(2, 3, 4, 8, 8).transpose(1, 2)
    else:
        posterior = vae.encode(targets).latent_dist
        latents = posterior.mean + posterior.std * torch.randn(posterior.mean.shape)
    latents = 0.7 * latents
    noise = torch.randn(latents.shape)
    times = torch.randint(0, 100, (2,))
    alpha = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 100), 0)[times].view(2, *[1] * (latents.ndim - 1))
    noised = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    if modality == "audio":
        predicted = unet(noised, times, None, class_labels=embeds[:, 0]).sample
    else:
        predicted = unet(noised, times, embeds).sample
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    expected = {"epsilon": noise, "v_prediction": velocity, "sample": latents}[prediction_type]
    torch.testing.assert_close(loss, F.mse_loss(predicted, expected))


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_denoising_loss_teaches_the_condition_and_leaves_the_decoder_frozen(modality, folders):
    decoder = build(modality, folders[modality])
    before = {name: tensor.clone() for name, tensor in decoder.pipeline.unet.state_dict().items()}
    condition = torch.zeros(2, *decoder.prompt_shape, requires_grad=True)
    optimizer = torch.optim.Adam([condition], lr=0.5)

    def loss():
        torch.manual_seed(3)  # the same noise and timesteps each time
        return decoder.denoising_loss(condition, targets_of(modality))

    first = loss()
    for _ in range(5):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss() < first
    for name, tensor in decoder.pipeline.unet.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("modality", MODALITIES)
def test_half_precision_stays_inside_the_unet(modality, dtype, folders, monkeypatch):
    exact = build(modality, folders[modality])
    condition = exact.embed_text([CAPTION])
    expected = exact.generate(condition, {}, seed=5).astype(np.float32)
    monkeypatch.setattr(latent_diffusion, "unet_dtype", lambda device: dtype)
    half = build(modality, folders[modality])
    entered = []
    half.pipeline.unet.conv_in.register_forward_pre_hook(lambda module, args: entered.append(args[0].dtype))
    made = half.generate(condition, {}, seed=5).astype(np.float32)
    assert set(entered) == {dtype}
    assert half.pipeline.vae.dtype == torch.float32
    assert np.abs(made - expected).max() <= 0.1 * (255 if modality != "audio" else np.abs(expected).max())


def test_a_component_may_be_a_class_of_our_own(tmp_path):
    """The pocket decoder's form: an autoencoder that halves a side five times, in 8 bits, between stock parts."""
    torch.manual_seed(0)
    vae = PocketAutoencoder(latent_channels=4, widths=(8, 8, 8, 8)).eval()
    parts = components("image") | {"text_encoder": None, "tokenizer": None, "vae": vae}
    save_folder(tmp_path, PIPELINES["image"], parts, torch.zeros(1, LENGTH, WIDTH))
    assert json.loads((tmp_path / "model_index.json").read_text())["vae"] == [
        "nextgpt_core.decoders.autoencoder",
        "PocketAutoencoder",
    ]
    decoder = build("image", tmp_path, height=64, width=96)
    loaded = decoder.pipeline.vae.state_dict()
    for name, tensor in vae.state_dict().items():
        torch.testing.assert_close(loaded[name], tensor, atol=tensor.abs().max().item() / 127, rtol=0)
    assert decoder.generate(decoder.unconditional, {}, seed=0).shape == (64, 96, 3)
    assert decoder.denoising_loss(decoder.unconditional, torch.zeros(1, 3, 64, 64)).isfinite()


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_is_saved_can_be_read_again(modality, folders, tmp_path):
    decoder = build(modality, folders[modality])
    sample = decoder.generate(decoder.unconditional, {}, seed=0)
    saved = decoder.save(sample, tmp_path / "made.0", {"caption": "ein roter Bus – schön"})
    assert saved.modality == modality == media.probe(saved.path)
    assert saved.path.name.startswith("made.0.")
    assert media.read_metadata(saved.path) == {"caption": "ein roter Bus – schön"}
    if modality == "image":
        np.testing.assert_array_equal(np.asarray(media.read_image(saved.path)), sample)
    elif modality == "video":
        frames, seconds = media.read_video(saved.path, len(sample))
        assert frames.shape == sample.shape and seconds == pytest.approx(2 / 8, abs=0.01)
    else:
        assert decoder.sampling_rate == 16000
        heard = media.read_audio(saved.path, decoder.sampling_rate)
        np.testing.assert_allclose(heard, presentable(sample), atol=1e-3)


def test_wrong_settings_and_folders_are_named(folders, tmp_path):
    with pytest.raises(DecoderError, match=r"Unknown setting 'stpes' .* there are steps, guidance_scale"):
        build("image", folders["image"], stpes=3)
    with pytest.raises(DecoderError, match=r"has no model_index\.json"):
        build("image", tmp_path)
    with pytest.raises(ValueError, match="There is no decoder 'gan'; there are: stable-diffusion"):
        build_decoder(DecoderConfig("gan", Source(("file:.",)), {}), tmp_path)
    parts = components("image") | {"text_encoder": None, "tokenizer": None}
    save_folder(tmp_path, PIPELINES["image"], parts, None)
    with pytest.raises(DecoderError, match=r"neither unconditional.safetensors nor a text encoder"):
        build("image", tmp_path)
    index = tmp_path / "model_index.json"
    index.write_text(index.read_text().replace('"diffusers",\n    "AutoencoderKL"', '"os",\n    "system"'))
    with pytest.raises(DecoderError, match=r"diffusers.pipelines|os system, which is not there"):
        build("image", tmp_path)


def test_weights_that_do_not_fit_their_config_are_an_error(tmp_path):
    parts = components("image") | {"text_encoder": None, "tokenizer": None}
    save_folder(tmp_path, PIPELINES["image"], parts, torch.zeros(1, 12, 16))
    config = tmp_path / "unet" / "config.json"
    config.write_text(config.read_text().replace('"layers_per_block": 1', '"layers_per_block": 2'))
    with pytest.raises(DecoderError, match=r"unet/diffusion_pytorch_model.safetensors does not fit the config.json"):
        build("image", tmp_path)


def test_sounds_that_remember_nothing_take_no_strength(folders):
    with pytest.raises(DecoderError, match="no setting strength"):
        build("audio", folders["audio"], strength=0.5)
    assert type(build("audio", folders["audio"]).pipeline.scheduler) is type(stock("audio", folders["audio"]).scheduler)
