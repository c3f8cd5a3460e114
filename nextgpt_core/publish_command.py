"""`python -m nextgpt_core publish OWNER/NAME`: puts the chat on a Space, with one checkpoint.

Exactly what `--dry-run` lists is uploaded: the code, the assets and the checkpoint folder, by name; nothing hidden, no
caches, no outputs. What was published before and is no longer there is deleted in the same commit. The hub's client
takes care of large files. Frozen weights that the checkpoint takes from the hub are named for preloading.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from nextgpt_core.checkpoint import POCKET
from nextgpt_core.config import Config, ConfigError, load_config
from nextgpt_core.weights import named_sources, wanted_from_hub

ROOT = Path(__file__).parent.parent
_FILES = ("app.py", "LICENSE", "README.md", "requirements.txt", "checkpoints/README.md")
_FOLDERS = ("assets", "nextgpt_core")
_NEVER = re.compile(r"(^|/)(\..*|__pycache__|.*\.pyc)(/|$)")
_VARIABLE = "NEXTGPT_CHECKPOINT"  # tells app.py which checkpoint to load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("space", metavar="OWNER/NAME", help="the Space; it is made if there is none")
    parser.add_argument("--checkpoint", type=Path, default=POCKET, metavar="DIR")
    parser.add_argument("--private", action="store_true", help="a Space that is made is seen by its owner only")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be uploaded; touch no network")


def run(args: argparse.Namespace) -> int:
    try:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", args.space):
            raise ValueError(f"{args.space} names no Space, expected OWNER/NAME.")
        config = load_config(args.checkpoint)
        files = what_is_uploaded(ROOT, args.checkpoint)
        if args.dry_run:
            _list(files, config, args.checkpoint)
            return 0
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        print(publish(HfApi(), args.space, files, config, args.checkpoint, args.private))
    except Exception as error:  # the hub's client raises a dozen unrelated kinds for "no network" and "not allowed"
        print(f"The hub did not take it: {str(error).strip() or repr(error)}", file=sys.stderr)
        return 1
    return 0


def what_is_uploaded(root: Path, checkpoint: Path) -> dict[str, Path]:
    """Where each file is to stand in the Space, and where it lies. Raises ConfigError for an untrained checkpoint."""
    if not (checkpoint / "trained.safetensors").is_file():
        raise ConfigError(
            f"{checkpoint} has no trained.safetensors, so there is nothing to publish; see checkpoints/README.md."
        )
    folders = {name: root / name for name in _FOLDERS} | {f"checkpoints/{checkpoint.resolve().name}": checkpoint}
    files = {name: root / name for name in _FILES}
    for name, folder in folders.items():
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder).as_posix()
            if path.is_file() and not path.is_symlink() and not _NEVER.search(inside):
                files[f"{name}/{inside}"] = path
    return files


def publish(api: Any, space: str, files: dict[str, Path], config: Config, checkpoint: Path, private: bool) -> str:
    """Makes the Space if need be, and brings it to hold `files`, in one commit. Returns its address."""
    preloaded = list(preloads(config, checkpoint, api.list_repo_files))
    api.create_repo(space, repo_type="space", space_sdk="gradio", private=private or None, exist_ok=True)
    ours = (*(f"{folder}/" for folder in _FOLDERS), "checkpoints/")
    old = [name for name in api.list_repo_files(space, repo_type="space") if name.startswith(ours)]
    card = with_preloads(files["README.md"].read_text(encoding="utf-8"), preloaded).encode()
    operations = [CommitOperationDelete(name) for name in old if name not in files]
    operations += [CommitOperationAdd(name, card if name == "README.md" else path) for name, path in files.items()]
    if (name := checkpoint.resolve().name) != POCKET.name:
        api.add_space_variable(space, _VARIABLE, f"checkpoints/{name}")
    api.create_commit(space, operations, repo_type="space", commit_message=f"NExT-GPT, profile {config.name}")
    return f"https://huggingface.co/spaces/{space}"


def preloads(config: Config, checkpoint: Path, list_files: Callable[[str], list[str]]) -> Iterator[str]:
    """Lines for a Space's `preload_from_hub`: what it would fetch from the hub first, and only what loading needs."""
    for _, source in named_sources(config):
        if any((checkpoint / uri.removeprefix("file:")).exists() for uri in source.uris if uri.startswith("file:")):
            continue
        scheme, _, name = next((uri for uri in source.uris if not uri.startswith("file:")), "").partition(":")
        if scheme == "hub":
            repository, _, file = name.partition("!")
            yield f"{repository} {file or ','.join(wanted_from_hub(list_files(repository)))}"


def with_preloads(card: str, lines: list[str]) -> str:
    """The README with `preload_from_hub` at the end of its front matter."""
    if not lines:
        return card
    _, front, text = card.split("---\n", 2)
    return f"---\n{front}preload_from_hub:\n" + "".join(f"  - {line}\n" for line in lines) + f"---\n{text}"


def _list(files: dict[str, Path], config: Config, checkpoint: Path) -> None:
    total = 0
    for name, path in files.items():
        total += path.stat().st_size
        print(f"{path.stat().st_size:>12,}  {name}")
    print(f"{total:>12,}  bytes in {len(files)} files")
    for line in preloads(config, checkpoint, lambda repository: []):  # which of its files, the hub says later
        print(f"preloaded from the hub: {line}")
