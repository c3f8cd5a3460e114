"""axe-core, the checker of web accessibility, finds nothing serious. Fetched once from npm into the tests' cache."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from nextgpt_core import weights
from tests.page.conftest import ask, attach, open_tab, press
from tests.page.scripted import make

PACKAGE = "axe-core@4.14.1"


@pytest.fixture(scope="module")
def axe() -> Path:
    folder = weights.cache_folder() / "tests"
    script = folder / f"{PACKAGE}.js"
    if not script.is_file():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(f"{PACKAGE} is not in {folder}, and there is no npm to fetch it")
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run([npm, "pack", PACKAGE], cwd=folder, capture_output=True, text=True, timeout=120)
        if packed.returncode:
            pytest.skip(f"{PACKAGE} could not be fetched from npm")
        archive = folder / packed.stdout.split()[-1]
        with tarfile.open(archive) as file:
            script.write_bytes(file.extractfile("package/axe.min.js").read())
        archive.unlink()
    return script


def serious(tab, axe: Path) -> list[str]:
    tab.evaluate(axe.read_text(encoding="utf-8"))  # a script tag would do, too, but not under every policy
    found = tab.evaluate("axe.run().then((result) => result.violations)")
    return [
        f"{problem['id']}: {node['html'][:120]}"
        for problem in found
        if problem["impact"] in ("serious", "critical")
        for node in problem["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_on_an_empty_page_in_a_talk_and_in_the_settings(chromium, served, axe, tmp_path, scheme):
    for tab in open_tab(chromium, served.address, color_scheme=scheme):
        tab.wait_for_selector("#chat .card")
        assert serious(tab, axe) == []
        attach(tab, make("image", tmp_path, {"height": 32, "width": 48}))
        ask(tab, "a picture a clip and a sound")
        ask(tab, "fail a picture")
        press(tab, "received")
        press(tab, "toggle", 1)
        tab.wait_for_selector("#chat .received img")
        tab.wait_for_selector("#set-seed")
        tab.once("dialog", lambda dialog: dialog.accept())
        press(tab, "share")
        tab.wait_for_selector("#keeping .shared")
        assert serious(tab, axe) == []
        tab.locator("#box button[name=camera]").click()
        assert serious(tab, axe) == []
