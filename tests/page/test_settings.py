"""The panel fits the decoders that are there, and what is chosen reaches the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nextgpt_core.config import load_config
from nextgpt_core.conversation import Provenance
from nextgpt_core.page.settings import Settings
from nextgpt_core.page.show.examples import examples
from nextgpt_core.page.talk.costs import Costs
from tests.page.scripted import CONFIG

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


def options(values: dict, **more: object):
    return Settings(CONFIG).options(values, Path("out"), "scope", **more)


def test_defaults_leave_the_decoders_as_the_checkpoint_has_them():
    chosen = options({})
    assert chosen.decoding == {}
    assert chosen.seed is None
    assert chosen.sampling == CONFIG.language_model.sampling
    assert set(chosen.wanted.values()) == {"auto"}


def test_what_is_chosen_goes_to_its_decoder():
    chosen = options({"image": "always", "image_steps": 4, "image_width": 96, "audio_seconds": 2, "seed": 0})
    assert chosen.wanted["image"] == "always"
    assert chosen.decoding == {"image": {"steps": 4, "width": 96}, "audio": {"seconds": 2}}
    assert chosen.seed == 0


def test_a_side_becomes_one_that_a_decoder_takes():
    assert options({"image_height": 100}).decoding == {"image": {"height": 96}}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"image_steps": 0}, "image_steps is 0, expected a number from 1 to 50"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"image": "sometimes"}, "expected one of auto, always, never"),
        ({"steps": 3}, "There is no option steps; there are: image,"),
    ],
)
def test_what_can_not_be_is_refused_in_words(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        options(values)


def test_another_answer_is_not_the_same_words_again():
    assert options({}, fresh=True).sampling.temperature > 0
    assert options({"temperature": 0.2}, fresh=True).sampling.temperature == 0.2


def test_nothing_is_offered_for_a_decoder_that_is_not_there():
    silent = replace(CONFIG, decoders={"image": CONFIG.decoders["image"]}, reads={"audio": "nowhere"})
    assert [name for name in Settings(silent).defaults if name.startswith(("video", "audio"))] == []
    kinds = [example.kind for example in examples(silent)]
    assert kinds == ["example_make_image", "example_read_audio", "example_text"]


@pytest.mark.parametrize("profile", sorted(path.parent.name for path in CHECKPOINTS.glob("*/config.json")))
def test_every_profiles_defaults_lie_within_its_own_limits(profile):
    config = load_config(CHECKPOINTS / profile)
    settings = Settings(config)
    chosen = settings.options(settings.defaults, Path("out"), "scope")
    assert chosen.decoding == {}
    for control in settings.decoding:
        assert control.low <= control.default <= control.high
        assert ((control.default - control.low) / control.step).is_integer(), control


def test_every_example_file_is_there():
    shown = examples(CONFIG)
    assert len(shown) == 8
    assert all(example.file.is_file() for example in shown if example.file)


def test_what_media_took_tells_what_others_will_take():
    costs, settings = Costs(), Settings(CONFIG)
    assert settings.expected(options({}), costs) == {}
    for seconds in (9.0, 2.0, 2.0):  # the first had to load its decoder
        costs.learn(Provenance("scripted", "image", "", 0, CONFIG.decoders["image"].settings, seconds))
    assert settings.expected(options({}), costs) == {"image": pytest.approx(2.0)}
    larger = options({"image_steps": 20, "image_width": 128, "image_guidance_scale": 1})
    assert settings.expected(larger, costs) == {"image": pytest.approx(4.0)}  # 2 × 2 × half the passes


def test_an_empty_seed_field_is_a_new_seed_each_time():
    settings = Settings(CONFIG)
    values = list(settings.defaults.values())
    seeds = [settings.named([*values[:-1], text])["seed"] for text in ("", None, " 42 ", "0", "9" * 10, "-1", "red")]
    assert seeds == [None, None, 42, 0, 9999999999 % (2**31 - 1), None, None]
