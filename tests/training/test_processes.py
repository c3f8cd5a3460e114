"""Training in programs of its own: two processes see what one sees, and what was killed goes on as if it never was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nextgpt_core.storage import load_tensors
from tests.training import tiny_run

ROOT = Path(__file__).parents[2]
SCRIPT = [str(ROOT / "tests" / "training" / "tiny_run.py")]
STEPS = 6


@pytest.fixture(scope="module")
def alone(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, never stopped."""
    out = tmp_path_factory.mktemp("alone")
    tiny_run.run(tiny_folder, out, STEPS)
    return out


def start(launcher: list[str], folder: Path, out: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launcher, *SCRIPT, str(folder), str(out), str(STEPS)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_two_processes_learn_what_one_learns(tiny_folder: Path, tmp_path: Path, alone: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = start(launcher, tiny_folder, tmp_path)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    for one, two in zip(lines(alone), lines(tmp_path), strict=True):
        assert two["text"] == pytest.approx(one["text"], rel=2e-3)
        assert two["caption"] == pytest.approx(one["caption"], rel=2e-3)
    expected = load_tensors(alone / "trained.safetensors")
    for name, value in load_tensors(tmp_path / "trained.safetensors").items():
        assert torch.allclose(value.float(), expected[name].float(), atol=2e-3), name


def test_killed_and_started_again_is_as_never_killed(tiny_folder: Path, tmp_path: Path, alone: Path) -> None:
    process = start([], tiny_folder, tmp_path)
    log = tmp_path / "log.jsonl"
    while process.poll() is None and not (log.is_file() and len(lines_there := log.read_text().splitlines()) >= 3):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "trained.safetensors").is_file(), "it was too quick to be killed"
    assert len(lines_there) >= 3
    tiny_run.run(tiny_folder, tmp_path, STEPS)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, STEPS + 1))
    expected = load_tensors(alone / "trained.safetensors")
    for name, value in load_tensors(tmp_path / "trained.safetensors").items():
        assert torch.equal(value, expected[name]), name
