"""The pocket profile's frozen weights, where they were fetched; CI fetches them before the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from nextgpt_core import weights
from nextgpt_core.config import load_config
from nextgpt_core.encoders import Encoder, build_encoder

PROFILE = Path(__file__).parents[2] / "checkpoints" / "pocket"
EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"


def pocket_encoder(kind: str) -> Encoder:
    """The profile's encoder of this kind; skips the test where its weights are not on this machine."""
    config = next(encoder for encoder in load_config(PROFILE).encoders.values() if encoder.kind == kind)
    try:
        return build_encoder(kind, weights.resolve(config.source, PROFILE, offline=True))
    except weights.WeightsError as error:
        pytest.skip(str(error))
