"""What every test stands on: no hub, no analytics, and as many threads as leave other tests room."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest
import torch

from nextgpt_core import checkpoint, encoders

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder at tiny size; see tests/tiny.py."""
    from tests import tiny

    encoders.KINDS["mean-colour"] = "tests.tiny:MeanColour"
    patch = pytest.MonkeyPatch()
    patch.setattr(checkpoint, "pick_dtype", lambda device: torch.float32)
    yield tiny.write_checkpoint(tmp_path_factory.mktemp("tiny"))
    patch.undo()
    del encoders.KINDS["mean-colour"]
