"""The house's order: imports run one way, heavy libraries stay in their rooms, and every one is in the requirements."""

from __future__ import annotations

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nextgpt_core"

# A module may import from its own storey and from those before it. Clients know the model, not each other's insides.
STOREYS = [
    {"conversation", "config", "storage", "hardware", "circles", "outline"},
    {"media", "weights", "signals", "prompt", "tokenizer", "sentencepiece_model", "projectors", "weight_folder"},
    {"llama_weights", "lean_llama", "base_model"},
    {"encoders", "decoders", "decoding", "language_model", "sizes", "memory", "seats", "parts", "turn"},
    {"multimodal"},
    {"model", "checkpoint", "official_checkpoint", "vicuna_delta"},
]
CLIENTS = {"page", "training", "evaluation", "pocket"}
KNOWS = {"evaluation": {"pocket"}}  # the judges of the pocket decoders render the scenes that these learn from
EXCHANGED = "nextgpt_core.training.data"  # the sample format, in which clients hand each other conversations
# They put clients together.
ENTRIES = {"__main__", "app", "chat_command", "weights_command", "memory_command", "publish_command", "benchmark"}
ROOMS = {"gradio": {"page", "app"}, "diffusers": {"decoders", "pocket"}}
DISTRIBUTIONS = {"PIL": "pillow"}  # where the imported name is not the distribution's
REQUIREMENTS = ("requirements.txt", "requirements-pocket.txt")
OPTIONAL = {"spaces"}  # only there on a Space

FILES = sorted([*PACKAGE.rglob("*.py"), ROOT / "app.py"])


def part_of(file: Path) -> str:
    """The first name under the package: `decoders` for nextgpt_core/decoders/image.py."""
    inside = file.relative_to(PACKAGE if PACKAGE in file.parents else ROOT)
    return inside.parts[0].removesuffix(".py")


def imported(file: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import in line {node.lineno}; the project imports by full name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_parts(file: Path) -> set[str]:
    own = {name for name in imported(file) if name.startswith("nextgpt_core.")}
    return {name.split(".")[1] for name in own if not name.startswith(EXCHANGED)}


def may_import(part: str) -> set[str]:
    """What `part` may import of the package, itself included."""
    for height, storey in enumerate(STOREYS):
        if part in storey:
            return set().union(*STOREYS[: height + 1])
    everything_below = set().union(*STOREYS)
    if part in CLIENTS:
        return everything_below | {part} | KNOWS.get(part, set())
    if part in ENTRIES:
        return everything_below | CLIENTS | ENTRIES
    raise AssertionError(f"nextgpt_core.{part} has no place in the house; give it one in STOREYS, CLIENTS or ENTRIES")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_one_way(file):
    part = part_of(file)
    if part == "__init__":
        assert not own_parts(file)
        return
    wrong = own_parts(file) - may_import(part)
    assert not wrong, f"{part} may not import {', '.join(sorted(wrong))}"


def test_no_two_files_need_each_other():
    """Not even inside of functions or for types alone."""
    files = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}
    needs = {
        module: {name if name in files else name.rpartition(".")[0] for name in imported(file)} & files.keys()
        for module, file in files.items()
    }
    assert needs["nextgpt_core.page.session"] >= {"nextgpt_core.page.talk.live"}
    TopologicalSorter(needs).prepare()  # CycleError names the circle


@pytest.mark.parametrize("library", ROOMS)
def test_heavy_libraries_stay_in_their_rooms(library):
    users = {part_of(file) for file in FILES if library in {name.split(".")[0] for name in imported(file)}}
    assert users <= ROOMS[library]


def test_what_is_imported_is_required():
    lines = [line for name in REQUIREMENTS for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    required = {re.match(r"[\w.-]+", line)[0].replace("-", "_") for line in lines if line and line[0] not in "#-"}
    roots = {name.split(".")[0] for file in FILES for name in imported(file)}
    outside = roots - set(sys.stdlib_module_names) - {"nextgpt_core"} - OPTIONAL
    assert {DISTRIBUTIONS.get(name, name) for name in outside} - required == set()


def test_requirements_give_their_reason():
    for name in (*REQUIREMENTS, "requirements-dev.txt"):
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            assert not line or line.startswith("-r ") or "#" in line, f"{name}: say why: {line}"


def test_the_small_modules_need_no_torch():
    """`weights` runs before anything heavy is there, and messages are plain values."""
    for part in ("conversation", "config", "weights"):
        assert "torch" not in {name.split(".")[0] for name in imported(PACKAGE / f"{part}.py")}, part
