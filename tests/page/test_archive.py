"""What is exported comes in again as it was; what anybody else made does no harm."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from nextgpt_core.page.store import archive
from nextgpt_core.page.words import WORDS
from tests.page.test_library import conversation


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    folder = tmp_path / "from"
    folder.mkdir()
    return archive.pack(conversation(folder), folder, WORDS["en"])


def rewrite(path: Path, **changes: bytes | None) -> Path:
    """The archive with entries changed, added, or left out where None; `__` stands for the slash, `_dot_` for a dot."""
    changed = {name.replace("__", "/").replace("_dot_", "."): data for name, data in changes.items()}
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()} | changed
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in entries.items():
            if data is not None:
                new.writestr(name, data)
    return target


def test_an_export_comes_in_again_with_its_media(packed, tmp_path):
    there = tmp_path / "to"
    read = archive.unpack(packed, there, "id-of-its-own")
    before = conversation(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    assert [turn.asked.text for turn in read.path] == [turn.asked.text for turn in before.path]
    made = read.turns[0].reply.media[0]
    assert len(made.versions) == 2
    assert all(version.media.path.parent == there and version.media.path.is_file() for version in made.versions)
    assert read.turns[0].feedback == "like"
    assert read.id == "id-of-its-own"


def test_the_page_in_an_export_shows_what_was_said_and_needs_nothing_else(packed):
    with zipfile.ZipFile(packed) as file:
        page, names = file.read("conversation.html").decode(), file.namelist()
    assert "a picture and a clip" in page
    sources = [piece.split('"')[0] for piece in page.split('src="')[1:]]
    assert len(set(sources)) == 3
    assert set(sources) <= set(names)
    assert "http" not in page and "<script" not in page


@pytest.mark.parametrize(
    "changes",
    [
        {"media__..__x_dot_png": b"x"},
        {"__etc__passwd": b"x"},
        {"media__x_dot_html": b"<script>"},
        {"more_dot_txt": b"x"},
        {"conversation_dot_json": b"[" * 100_000},
        {"conversation_dot_json": b"{}"},
        {"conversation_dot_json": None},
    ],
)
def test_what_is_no_export_is_refused_and_leaves_nothing(packed, tmp_path, changes):
    with pytest.raises(archive.ArchiveError):
        archive.unpack(rewrite(packed, **changes), tmp_path / "to", "new-id-here")
    assert not (tmp_path / "to").exists()


def test_a_medium_of_another_kind_than_its_name_says_is_refused(packed, tmp_path):
    with zipfile.ZipFile(packed) as file:
        picture = next(name for name in file.namelist() if name.endswith(".png"))
    for content in (b"<html><script>alert(1)</script></html>", b"RIFF\x24\0\0\0WAVEfmt "):
        changed = rewrite(packed, **{picture: content})
        with pytest.raises(archive.ArchiveError):
            archive.unpack(changed, tmp_path / "to", "new-id-here")


def test_a_bomb_is_not_unpacked(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    changed = rewrite(packed, **{"media/zeros.png": bytes(2 << 20)})
    assert changed.stat().st_size < 1 << 17
    with pytest.raises(archive.ArchiveError, match="more than 1 MB"):
        archive.unpack(changed, tmp_path / "to", "new-id-here")


def test_a_size_that_lies_is_found_out(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    changed = rewrite(packed, **{"media/zeros.png": bytes(2 << 20)})
    monkeypatch.setattr(archive, "_check", lambda archive: None)  # as if the sizes stated were small
    with pytest.raises(archive.ArchiveError, match="more than 1 MB"):
        archive.unpack(changed, tmp_path / "to", "new-id-here")


def test_no_zip_at_all_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(archive.ArchiveError, match="no conversation"):
        archive.unpack(tmp_path / "x.zip", tmp_path / "to", "new-id-here")
