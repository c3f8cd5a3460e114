"""The benchmark's figures at tiny size: that every row is there, and what does not depend on the machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from nextgpt_core import benchmark, lean_llama


@pytest.mark.skipif(not lean_llama.packs(torch.float32), reason="this torch has no kernel for 8 bits on this CPU")
def test_every_row_is_printed(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "_cold_start", lambda args: 0.5)  # a new process does not know the tiny encoder
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    words = f"--checkpoint {tiny_folder} --device cpu --runs 1 --tokens 4 --json".split()
    assert benchmark.run(parser.parse_args(words)) == 0
    figures = json.loads(capsys.readouterr().out)
    rates = ("tokens_per_second", "ratio", "step_tokens_per_second")
    assert figures.keys() == {
        "start_to_first_token_seconds", "load_seconds", "first_token_seconds", "warm_first_token_seconds",
        "warm_new_tokens", "tokens_per_second_transformers_generate",
        *(f"{name}_{bits}_bits" for name in rates for bits in (16, 8)),
        *(f"seconds_per_{modality}" for modality in ("image", "video", "audio")),
    }  # fmt: skip
    assert figures["warm_new_tokens"] < 110  # of the second message alone; the first turn is some 80 more
    assert all(value > 0 for value in figures.values())
