"""Refusing what is broken, lying, too large or no medium, one sentence each time; and the guard around all reading."""

from __future__ import annotations

import os
import resource
import signal
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextgpt_core import media
from nextgpt_core.media import guard
from tests.media_files import (
    READERS,
    gradient,
    moving_bar,
    refused,
    tone,
    write_container,
    write_flac,
    write_png_bomb,
    write_wav,
)

# ---- what is no medium, broken or lying


HOSTILE = {
    "notes.png": (b"just some words\nof text\n", "is text"),
    "empty.mp4": (b"", "is empty"),
    "list.m3u8": (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "is a playlist"),
    "list.mp4": (b"ffconcat version 1.0\nfile /etc/passwd\n", "is a playlist"),
    "drawing.svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing"),
    "page.jpg": (b"<!DOCTYPE html><html></html>", "is a web page"),
    "paper.gif": (b"%PDF-1.7\n", "is a PDF document"),
    "bytes.bin": (bytes(range(256)) * 20, "not known"),
    "list.mpd": (b"<MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>", "is a playlist"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_medium_is_refused_by_content(tmp_path, name):
    content, found = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in READERS.values():
        message = refused(read, path)
        assert found in message and "accepted are pictures" in message


def test_no_file_a_folder_and_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for read in (*READERS.values(), media.content_hash):
        assert "does not exist" in refused(read, tmp_path / "missing.png")
        assert "is a folder" in refused(read, tmp_path)
        assert "not a file" in refused(read, tmp_path / "pipe.png")


def test_names_are_never_read_as_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http://127.0.0.1:9/x.mp4", "concat:a|b", "file:///etc/passwd", "a\0b", "n" * 5000):
        with pytest.raises(media.MediaError):
            media.probe(Path(name))
    path = write_wav(tmp_path / "concat:a.wav", tone(0.5))
    assert media.probe(Path("concat:a.wav")) == media.probe(path) == "audio"
    weird = tmp_path / "a\x1b[31m\nb.png"
    weird.write_bytes(b"words")
    with pytest.raises(media.MediaError) as raised:
        media.probe(weird)
    assert "\x1b" not in str(raised.value) and "\n" not in str(raised.value)


def test_the_wrong_reader_says_what_the_file_is(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "p.png")
    write_wav(tmp_path / "s.wav", tone(0.5))
    write_container(tmp_path / "v.mp4", moving_bar(4), format="mp4")
    assert "still picture" in refused(READERS["read_video"], tmp_path / "p.png")
    assert "picture (PNG)" in refused(READERS["read_audio"], tmp_path / "p.png")
    assert "no video" in refused(READERS["read_video"], tmp_path / "s.wav")
    assert "no picture" in refused(READERS["read_image"], tmp_path / "s.wav")
    assert "no sound" in refused(READERS["read_audio"], tmp_path / "v.mp4")


def test_a_bomb_of_169_megapixels_is_refused_by_its_header(tmp_path):
    path = write_png_bomb(tmp_path / "bomb.png")
    assert path.stat().st_size < 25_000
    media.probe(write_wav(tmp_path / "warm.wav", tone(0.1)))
    began = time.perf_counter()
    for name in ("probe", "read_image", "read_video"):
        assert "13000 × 13000" in refused(READERS[name], path)
    assert time.perf_counter() - began < 3


def test_a_video_of_too_many_pixels_is_refused(tmp_path):
    clip = np.zeros((1, 2320, 4112, 3), np.uint8)
    path = write_container(tmp_path / "huge.avi", clip, format="avi", video_codec="mpeg4")
    assert "4112 × 2320" in refused(READERS["read_video"], path)


def test_three_hours_of_flac_are_refused_before_they_are_held(tmp_path):
    path = write_flac(tmp_path / "opera.flac", 2, claimed_seconds=3 * 3600)
    assert "lasts 3 h" in refused(READERS["read_audio"], path)
    path = write_flac(tmp_path / "live.flac", 70, claimed_seconds=0)
    assert "more than 60 s" in refused(READERS["read_audio"], path)
    path = write_flac(tmp_path / "cut.flac", 10, claimed_seconds=40)
    assert "cut off" in refused(READERS["read_audio"], path)


@pytest.mark.parametrize("faststart", [False, True])
def test_a_cut_mp4_is_refused(tmp_path, faststart):
    clip = np.random.default_rng(0).integers(0, 255, (48, 64, 64, 3), dtype=np.uint8)
    options = {"movflags": "faststart"} if faststart else {}
    path = write_container(tmp_path / "clip.mp4", clip, tone(6.0), format="mp4", options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for name in ("read_video", "read_audio"):
        assert "cut off" in refused(READERS[name], path)


def test_a_wav_whose_header_lies(tmp_path):
    path = write_wav(tmp_path / "lie.wav", tone(2.0))
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 16_000 * 2 * 30)  # says thirty seconds
    path.write_bytes(data)
    assert len(media.read_audio(path, 16_000)) == 32_000  # what is there counts
    data[40:44] = struct.pack("<I", 0xFFFFFFFF)  # what programs write that stream to a pipe: the rest of the file
    path.write_bytes(data)
    assert len(media.read_audio(path, 16_000)) == 32_000
    data[24:28] = struct.pack("<I", 4_000_000_000)  # a rate that no device has
    path.write_bytes(data)
    refused(READERS["read_audio"], path)


def test_a_header_without_content(tmp_path):
    write_wav(tmp_path / "silent.wav", np.zeros(0))
    refused(READERS["read_audio"], tmp_path / "silent.wav")
    for name, head in {
        "a.jpg": b"\xff\xd8\xff\xe0",
        "a.webm": b"\x1aE\xdf\xa3",
        "a.flac": b"fLaC",
        "a.gif": b"GIF89a",
    }.items():
        (tmp_path / name).write_bytes(head)
        for read in READERS.values():
            refused(read, tmp_path / name)


def test_random_damage_gives_an_array_or_one_sentence(tmp_path):
    """Bits flipped anywhere in real files: never another exception, never a hang."""
    rng = np.random.default_rng(1)
    originals = [
        write_container(tmp_path / "a.mp4", moving_bar(8), tone(1.0), format="mp4"),
        write_container(tmp_path / "a.webm", moving_bar(8), format="webm", video_codec="libvpx"),
        write_container(tmp_path / "a.mp3", audio=tone(1.0), format="mp3", audio_codec="mp3"),
        tmp_path / "a.webp",
        tmp_path / "a.png",
    ]
    for path in originals[3:]:
        Image.fromarray(gradient()).save(path)
    damaged = tmp_path / "damaged"
    for path in originals:
        for _ in range(6):
            data = bytearray(path.read_bytes())
            for at in rng.integers(4, len(data), 12):
                data[at] ^= 1 << rng.integers(8)
            damaged.write_bytes(data)
            for read in READERS.values():
                try:
                    read(damaged)
                except media.MediaError as error:
                    assert "\n" not in str(error)


# ---- the guard


def test_the_guard_survives_a_killed_process_and_a_slow_file(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "s.wav", tone(0.5))
    media.probe(path)
    worker = guard._idle[-1].process
    worker.kill()
    worker.wait()
    assert media.probe(path) == "audio"
    monkeypatch.setattr(guard, "SECONDS", 0.2)
    guard._idle[-1].process.send_signal(signal.SIGSTOP)  # slow by all means: it could answer within any time
    assert "more than 0 s" in refused(media.probe, path)
    monkeypatch.undo()
    assert media.probe(path) == "audio"


@pytest.mark.parametrize("answer", [b"[]", b"{}", b'{"error": "mine"}', b'{"error": ["a", "{a.b}", 3]}', b"\xff"])
def test_a_process_that_a_file_took_over_is_not_believed(tmp_path, monkeypatch, answer):
    path = write_wav(tmp_path / "s.wav", tone(0.5))
    monkeypatch.setattr(guard._Worker, "_read", lambda worker, size, deadline: answer)
    assert "could not be read" in refused(media.probe, path)
    monkeypatch.undo()
    assert media.probe(path) == "audio"


def test_the_guard_bounds_memory(tmp_path):
    path = tmp_path / "large.png"
    Image.new("RGB", (4000, 4000)).save(path)  # 48 megabytes
    media.probe(path)
    worker = guard._idle[-1].process.pid
    _, most = resource.prlimit(worker, resource.RLIMIT_AS)
    assert most <= 4 << 30
    held = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(worker, resource.RLIMIT_AS, (held + (20 << 20), most))
    message = refused(media.read_image, path)
    assert "memory" in message or "damaged" in message
    resource.prlimit(worker, resource.RLIMIT_AS, (most, most))
    assert media.read_image(path).size == (1536, 1536)


def test_files_are_read_beside_each_other(tmp_path):
    paths = [write_wav(tmp_path / f"{i}.wav", tone(0.1 * (i + 1))) for i in range(8)]
    lengths: dict[int, int] = {}

    def read(i: int) -> None:
        lengths[i] = len(media.read_audio(paths[i], 16_000))

    threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == {i: round(1600 * (i + 1)) for i in range(8)}
    assert len(guard._idle) <= 2
