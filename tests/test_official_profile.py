"""The paper's own system in miniature: a release is converted, loaded beside small frozen parts, and asked.

Every file has its real format: the release's pickle, a Llama folder, ImageBind's keys, pipelines as diffusers saves
them. The prompt is held against the pieces that the released weights were trained on, each encoded by itself.
"""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from nextgpt_core import checkpoint
from nextgpt_core.config import load_config
from nextgpt_core.conversation import (
    ChatOptions,
    Media,
    MediaFailed,
    MediaReady,
    Message,
    Notice,
    Sampling,
    Text,
    TurnDone,
)
from nextgpt_core.memory_command import CHECKPOINTS
from nextgpt_core.official_checkpoint import convert
from nextgpt_core.prompt import PromptRenderer, Run, Upload
from nextgpt_core.seats import Seats
from tests.decoders import tiny
from tests.encoders.test_imagebind import GOLDEN
from tests.official_release import WORDS, write_base, write_profile, write_release

PLAIN_MARKERS = ("{'<Img>'}", "{'</Img>'}")
BOS, EOS = (1,), 2


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The checkpoint folder, and the release and base that it was made of."""
    path = tmp_path_factory.mktemp("official")
    torch.manual_seed(0)
    base = write_base(path / "base")
    state = write_release(path / "release", base.get_input_embeddings().weight, PLAIN_MARKERS)
    convert(path / "release", path / "base", path / "out", profile=write_profile(path / "profile"))
    with safe_open(GOLDEN, framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith("state.")]  # noqa: SIM118
        tensors = {key.removeprefix("state."): file.get_tensor(key) for key in keys}
        save_file(tensors, path / "out" / "imagebind.safetensors", metadata=file.metadata())
    for modality, name in tiny.PIPELINES.items():
        getattr(diffusers, name)(**tiny.components(modality)).save_pretrained(path / "out" / modality)
    return path / "out", state, base


@pytest.fixture(scope="module")
def model(converted):
    return checkpoint.load(converted[0], "cpu")


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("uploads") / "bus.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(path)
    return Media("image", path)


def test_logits_are_those_of_the_base_with_the_releases_weights_merged_by_hand(model, converted):
    _, state, base = converted
    merged = LlamaForCausalLM(base.config).eval()
    merged.load_state_dict(base.state_dict())
    merged.resize_token_embeddings(WORDS + 38, mean_resizing=False)
    prefix = "llama_model.base_model.model."
    with torch.no_grad():
        for name, value in merged.named_parameters():
            if prefix + name in state:
                value.copy_(state[prefix + name])
            stem = prefix + name.removesuffix(".weight")
            if f"{stem}.lora_A.default.weight" in state:
                halves = [state[f"{stem}.lora_{half}.default.weight"].float() for half in "BA"]
                value.add_(halves[0] @ halves[1])
        ids = torch.tensor([[1, 300, WORDS, WORDS + 2, WORDS + 37, 5]])  # a marker and two signal tokens among them
        expected = merged(ids).logits
        dtype = model.language_model.base.dtype
        answer = model.language_model.logits(model.language_model(model.language_model.embed(ids))).float()
    tolerance = 1e-4 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(answer, expected, atol=tolerance, rtol=tolerance)


def test_the_prompt_is_made_of_the_pieces_of_training(model, picture):
    encode = model.tokenizer.encode
    described = [
        Message("user", (picture, Text("describe"))),
        Message("assistant", (Text("a bus"),)),
        Message("user", (Text("draw it"),)),
    ]
    segments = model.renderer.render(described)
    assert isinstance(segments[2], Upload)
    assert _ids(segments[:2]) == [*BOS, *encode("### Human: <Img>")]
    assert _ids(segments[3:]) == [
        *encode("</Img> describe\n### Assistant: "),
        *encode("a bus\n###"),
        *encode("Human: draw it\n### Assistant: "),
    ]
    bus = (Text("a bus "), Media("image", picture.path))
    drawn = [Message("user", (Text("draw a bus"),)), Message("assistant", bus)]
    segments = model.renderer.render(drawn, reply=False)
    run = next(segment for segment in segments if isinstance(segment, Run))
    assert run.ids == tuple(range(WORDS + 2, WORDS + 6))
    assert _ids(segments) == [
        *BOS,
        *encode("### Human: "),
        *encode("draw a bus\n### Assistant: "),
        *encode("a bus"),
        *run.ids,
        *encode("###"),  # the release's tokenizer dropped white space beside a signal token
        *encode("Human: "),
    ]


def test_new_training_speaks_vicunas_own_template(model, picture):
    config = load_config(CHECKPOINTS / "7b-new")
    renderer = PromptRenderer(config.language_model.template, model.tokenizer, model.signals)
    encode = model.tokenizer.encode
    bus = (Text("a bus"), Media("image", picture.path))
    segments = renderer.render([Message("user", (picture, Text("draw"))), Message("assistant", bus)], reply=False)
    segments += renderer.render([Message("user", (Text("again"),))])
    opening = config.language_model.template.system.removeprefix("<s>")
    run = model.signals.runs["image"]
    assert _ids(segments) == [
        *BOS,
        *encode(opening + "USER: "),
        *encode("\ndraw ASSISTANT:"),
        *encode("a bus"),
        *run,
        EOS,
        *BOS,
        *encode(opening + "USER: again ASSISTANT:"),
    ]
    assert [segment.ids for segment in segments if getattr(segment, "loss", False)] == [
        tuple(encode("a bus")),
        run,
        (EOS,),
    ]


def test_markers_of_the_release_are_plain_text_here(model):
    assert "<Img>" not in model.tokenizer.special_tokens
    assert max(model.tokenizer.encode("<Img>")) < WORDS


def test_answers_with_all_three_media(model, picture, tmp_path):
    options = ChatOptions(
        sampling=Sampling(max_tokens=6), wanted=dict.fromkeys(tiny.PIPELINES, "always"), out_dir=tmp_path, seed=0
    )
    events = list(model.chat([Message("user", (picture, Text("draw a bus")))], options))
    made = [event for event in events if isinstance(event, MediaReady)]
    assert [event.media.modality for event in made] == ["image", "video", "audio"], events
    assert all(event.media.path.stat().st_size for event in made)
    assert isinstance(events[-1], TurnDone)
    assert len(events[-1].message.media) == 3


def test_a_full_memory_is_freed_once_and_told(model, picture, tmp_path, monkeypatch):
    decoder = model.decoder("image")
    generate, faults = decoder.generate, [torch.OutOfMemoryError("full")]

    def out_of_memory_at_first(*args):
        if faults:
            raise faults.pop()
        return generate(*args)

    monkeypatch.setattr(decoder, "generate", out_of_memory_at_first)
    monkeypatch.setattr(model._parts, "_seats", Seats("cpu", None))
    options = ChatOptions(sampling=Sampling(max_tokens=2), wanted={"image": "always"}, out_dir=tmp_path, seed=0)
    question = [Message("user", (Text("draw a bus"),))]
    first = list(model.chat(question, options))
    notice = next(event for event in first if isinstance(event, Notice))
    assert notice.text.startswith("The GPU's memory ran out.")
    assert sum(isinstance(event, MediaReady) for event in first) == 1
    faults.append(torch.OutOfMemoryError("full"))
    second = list(model.chat(question, options))
    assert sum(isinstance(event, MediaFailed) for event in second) == 1
    assert not any(isinstance(event, Notice) for event in second)


def _ids(segments) -> list[int]:
    return [number for segment in segments for number in getattr(segment, "ids", ())]
