"""What is published, and how: against a stand-in for the hub's client that records what it is told."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from nextgpt_core import publish_command
from nextgpt_core.checkpoint import POCKET
from nextgpt_core.config import ConfigError, load_config

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project with everything in it that must never be published."""
    for name in (
        "app.py", "LICENSE", "requirements.txt", "requirements-dev.txt", "Makefile", "secrets.txt",
        "checkpoints/README.md", "checkpoints/pocket/config.json", "checkpoints/pocket/trained.safetensors",
        "checkpoints/pocket/decoders/image/unet/config.json", "checkpoints/pocket/.cache/x",
        "checkpoints/other/config.json", "assets/page.css", "assets/.DS_Store",
        "nextgpt_core/model.py", "nextgpt_core/page/words.py", "nextgpt_core/.env",
        "nextgpt_core/__pycache__/model.pyc", "nextgpt_core/page/__pycache__/words.cpython-312.pyc",
        ".git/config", ".venv/bin/python", "outputs/image.png", "runs/a/trained.safetensors", "tests/test_x.py",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "README.md").write_text("---\ntitle: NExT-GPT\n---\n# Text\n\n---\nmore\n")
    (tmp_path / "nextgpt_core" / "link.py").symlink_to("/etc/passwd")
    shutil.copy(POCKET / "config.json", tmp_path / "checkpoints" / "pocket")
    return tmp_path


PUBLISHED = {
    "app.py", "LICENSE", "README.md", "requirements.txt", "checkpoints/README.md", "checkpoints/pocket/config.json",
    "checkpoints/pocket/trained.safetensors", "checkpoints/pocket/decoders/image/unet/config.json", "assets/page.css",
    "nextgpt_core/model.py", "nextgpt_core/page/words.py",
}  # fmt: skip


class Hub:
    """Records what the hub's client is told; `files` is what repositories hold."""

    def __init__(self, files: dict[str, list[str]]) -> None:
        self.files = files
        self.created: dict[str, object] = {}
        self.variables: dict[str, str] = {}
        self.added: dict[str, object] = {}
        self.deleted: set[str] = set()

    def list_repo_files(self, name: str, repo_type: str | None = None) -> list[str]:
        return self.files[name]

    def create_repo(self, name: str, **values: object) -> None:
        self.created = {"name": name, **values}

    def add_space_variable(self, name: str, key: str, value: str) -> None:
        self.variables[key] = value

    def create_commit(self, name: str, operations: list, **values: object) -> None:
        for operation in operations:
            if hasattr(operation, "path_or_fileobj"):
                self.added[operation.path_in_repo] = operation.path_or_fileobj
            else:
                self.deleted.add(operation.path_in_repo)


def publish(hub: Hub, tree: Path, checkpoint: Path) -> None:
    files = publish_command.what_is_uploaded(tree, checkpoint)
    publish_command.publish(hub, "me/chat", files, load_config(checkpoint), checkpoint, private=True)


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    publish_command.add_arguments(parser)
    return publish_command.run(parser.parse_args(list(words)))


def test_exactly_what_is_named_is_published(tree):
    files = publish_command.what_is_uploaded(tree, tree / "checkpoints" / "pocket")
    assert set(files) == PUBLISHED
    assert all(path.is_file() for path in files.values())


def test_the_project_itself_is_published_whole():
    git = subprocess.run(["git", "ls-files", "nextgpt_core", "assets"], cwd=ROOT, capture_output=True, text=True)
    if git.returncode:
        pytest.skip("this is no clone, so there is no list to compare with")
    kept = {name for name in git.stdout.splitlines() if (ROOT / name).is_file()}
    assert kept
    assert kept <= set(publish_command.what_is_uploaded(ROOT, POCKET))


def test_the_dry_run_prints_that_list_and_its_size(capsys):
    assert call("me/chat", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    files = publish_command.what_is_uploaded(ROOT, POCKET)
    assert [line.split()[-1] for line in lines[:-1]] == list(files)
    total = sum(path.stat().st_size for path in files.values())
    assert lines[-1].split() == [f"{total:,}", "bytes", "in", str(len(files)), "files"]


def test_a_commit_brings_the_space_to_hold_that_list(tree):
    hub = Hub(
        {"me/chat": [".gitattributes", "notes.md", "app.py", "nextgpt_core/old.py", "checkpoints/old/config.json"]}
    )
    publish(hub, tree, tree / "checkpoints" / "pocket")
    assert hub.created == {
        "name": "me/chat", "repo_type": "space", "space_sdk": "gradio", "private": True, "exist_ok": True,
    }  # fmt: skip
    assert set(hub.added) == PUBLISHED
    assert hub.deleted == {"nextgpt_core/old.py", "checkpoints/old/config.json"}  # nothing that others put there
    assert hub.variables == {}


def test_another_checkpoint_is_named_and_its_weights_from_the_hub_are_preloaded(tree):
    checkpoint = tree / "runs" / "mine"
    checkpoint.mkdir()
    values = json.loads((POCKET / "config.json").read_text())
    values["language_model"]["source"] = {"uris": ["file:absent", "hub:some/model"]}
    values["encoders"]["visual"]["source"] = {"uris": ["hub:some/eyes!eyes.pth"]}
    (checkpoint / "config.json").write_text(json.dumps(values))
    (checkpoint / "trained.safetensors").touch()
    files = ["README.md", "config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"]
    hub = Hub({"me/chat": [], "some/model": files})
    publish(hub, tree, checkpoint)
    assert hub.variables == {"NEXTGPT_CHECKPOINT": "checkpoints/mine"}
    assert {name for name in hub.added if name.startswith("checkpoints/")} == {
        "checkpoints/README.md", "checkpoints/mine/config.json", "checkpoints/mine/trained.safetensors",
    }  # fmt: skip
    card = hub.added["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["preload_from_hub"] == [
        "some/model config.json,tokenizer.json,model.safetensors",
        "some/eyes eyes.pth",
    ]
    assert card.endswith("---\n# Text\n\n---\nmore\n")


def test_what_cannot_be_published_is_said(tree, capsys):
    with pytest.raises(ConfigError, match="nothing to publish"):
        publish_command.what_is_uploaded(tree, tree / "checkpoints" / "other")
    assert call("chat", "--dry-run") == 1
    assert "expected OWNER/NAME" in capsys.readouterr().err


def test_the_hubs_refusal_is_told_in_a_line(capsys):
    """The hub is out of reach in tests."""
    assert call("me/chat") == 1
    assert capsys.readouterr().err.startswith("The hub did not take it: ")
