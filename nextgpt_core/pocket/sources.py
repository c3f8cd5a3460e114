"""The picture packages, fetched by name and rendered to sprites: one tightly cropped RGBA square a concept and style.

Packages come through `npm pack`, so the registry is whatever npm is set up for. What is composed of sprites is the
business of `scenes`.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from nextgpt_core.pocket.catalog import Concept, load_catalog

SIZE = 256  # pixels a side of a sprite
PACKAGES = {  # style → the npm package that draws it; all licences allow redistribution with attribution
    "fluent-3d": "@lobehub/fluent-emoji-3d@1.1.0",  # MIT
    "fluent-flat": "@iconify-json/fluent-emoji-flat@1.2.6",  # MIT
    "noto": "@iconify-json/noto@1.2.9",  # Apache-2.0
    "twemoji": "@iconify-json/twemoji@1.2.5",  # CC BY 4.0
    "emojione": "@iconify-json/emojione@1.2.3",  # CC BY 4.0
    "openmoji": "openmoji@17.0.0",  # CC BY-SA 4.0
}
STYLES = tuple(PACKAGES)


@dataclass(frozen=True)
class Sprites:
    """`pixels` (n, 256, 256, 4) uint8, straight alpha, memory-mapped; `rows[concept name, style]` is the index."""

    pixels: np.ndarray
    rows: dict[tuple[str, str], int]


def fetch_package(spec: str, folder: Path) -> Path:
    """Unpacks an npm package such as `openmoji@17.0.0` under `folder` and returns where; fetched only once.

    Raises RuntimeError when npm is missing or cannot fetch it.
    """
    name, _, version = spec.rpartition("@")
    plain = f"{name.strip('@').replace('/', '-')}-{version}"
    unpacked, archive = folder / plain, folder / f"{plain}.tgz"
    if not unpacked.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        if not archive.is_file():
            if shutil.which("npm") is None:
                raise RuntimeError(f"npm was not found; it fetches the picture package {spec}. Install Node.js.")
            done = subprocess.run(["npm", "pack", "--silent", spec], cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"npm could not fetch {spec}: {done.stderr.strip() or done.stdout.strip()}")
        partial = folder / f"{plain}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        partial.rename(unpacked)
    return unpacked / "package"


def build_sprites(folder: Path, processes: int = 2) -> Sprites:
    """Renders every concept in every style that has it, once; the result lies in `folder` as sprites.npy and .json."""
    index_path = folder / "sprites.json"
    if not index_path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".sprites.lock"):  # of two programs that want them one waits
            if not index_path.is_file():
                _render_sprites(folder, processes)
    index = json.loads(index_path.read_text(encoding="utf-8"))
    pixels = np.load(folder / "sprites.npy", mmap_mode="r")
    return Sprites(pixels, {(name, style): i for i, (name, style) in enumerate(index)})


def _render_sprites(folder: Path, processes: int) -> None:
    jobs = list(_jobs(folder / "packages"))
    partial = folder / "sprites.partial.npy"
    pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(jobs), SIZE, SIZE, 4))
    with ProcessPoolExecutor(processes) as pool:
        drawn = pool.map(_draw, (picture for _, _, picture in jobs), chunksize=16)
        for i, sprite in enumerate(tqdm(drawn, total=len(jobs), desc="sprites", unit="picture")):
            pixels[i] = sprite
    pixels.flush()
    partial.rename(folder / "sprites.npy")
    index = json.dumps([[concept.name, style] for concept, style, _ in jobs])
    (folder / "sprites.json").write_text(index, encoding="utf-8")


def crop(picture: Image.Image) -> np.ndarray:
    """The visible part of an RGBA picture, centred in a transparent square that it touches, (256, 256, 4) uint8."""
    box = picture.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox()
    if box is None:
        raise ValueError("The picture is fully transparent.")
    picture = picture.crop(box)
    scale = SIZE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    square = Image.new("RGBA", (SIZE, SIZE))
    square.paste(picture.resize(size, Image.Resampling.LANCZOS), ((SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
    return np.asarray(square)


def _jobs(packages: Path) -> Iterator[tuple[Concept, str, Path | str]]:
    """(concept, style, a picture file or an SVG's text) for every concept and each style that draws it."""
    find = {style: _finder(style, fetch_package(spec, packages)) for style, spec in PACKAGES.items()}
    names = json.loads((fetch_package(PACKAGES["noto"], packages) / "chars.json").read_text(encoding="utf-8"))
    for concept in load_catalog():
        for style in STYLES:
            slug = next((names[key] for key in _spellings(concept.emoji) if key in names), None)
            picture = find[style](concept.emoji, slug)
            if picture is not None:
                yield concept, style, picture


def _finder(style: str, package: Path):
    """A function (emoji, noto's name for it) → picture file, SVG text or None."""
    if style == "fluent-3d":
        files = {p.stem.replace("-fe0f", ""): p for p in (package / "assets").glob("*.webp")}
        return lambda emoji, slug: files.get(emoji)
    if style == "openmoji":
        files = {p.stem.lower().replace("-fe0f", ""): p for p in (package / "color" / "svg").glob("*.svg")}
        return lambda emoji, slug: files.get(emoji)
    icons = json.loads((package / "icons.json").read_text(encoding="utf-8"))
    codes = package / "chars.json"
    names = json.loads(codes.read_text(encoding="utf-8")) if codes.is_file() else {}

    def find(emoji: str, slug: str | None) -> str | None:
        name = next((names[key] for key in _spellings(emoji) if key in names), slug)
        name = icons.get("aliases", {}).get(name, {}).get("parent", name)
        icon = icons["icons"].get(name)
        if icon is None:
            return None
        width, height = icon.get("width", icons["width"]), icon.get("height", icons["height"])
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'

    return find


def _spellings(emoji: str) -> Iterator[str]:
    """The code points as packages write them: with and without the variation selector."""
    yield emoji
    yield f"{emoji}-fe0f"
    yield emoji.replace("-", "-fe0f-", 1)


def _draw(picture: Path | str) -> np.ndarray:
    if isinstance(picture, Path) and picture.suffix == ".webp":
        return crop(Image.open(picture).convert("RGBA"))
    import resvg_py

    svg = picture.read_text(encoding="utf-8") if isinstance(picture, Path) else picture
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE)
    return crop(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))
