"""Debian packages of sounds, fetched by name and unpacked without being installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOUNDFONT = "fluid-soundfont-gm"  # MIT
SAMPLES = "sonic-pi-samples"  # CC0


def fetch_debian(package: str, folder: Path) -> Path:
    """Unpacks a package under `folder`, once, and returns where. Raises RuntimeError where that is not possible."""
    unpacked = folder / package
    if not unpacked.is_dir():
        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise RuntimeError(f"{tool} was not found; it fetches {package}. Unpack that package to {unpacked}.")
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", package], folder)
        archive = next(folder.glob(f"{package}_*.deb"))
        partial = folder / f"{package}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        _run(["dpkg-deb", "-x", archive.name, partial.name], folder)
        partial.rename(unpacked)
    return unpacked


def soundfont(folder: Path) -> Path:
    return next(fetch_debian(SOUNDFONT, folder).rglob("*.sf2"))


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
