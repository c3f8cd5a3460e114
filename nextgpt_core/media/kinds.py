"""What a file is, told by its first bytes. Names and suffixes are never looked at.

The table says which reader opens a kind (Pillow or PyAV) and under which of the reader's own format names, so that no
reader ever guesses. Playlists, vector drawings and anything that refers to other files are no kind, hence refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nextgpt_core.conversation import RefusedError

_HEAD = 4096
ACCEPTED = (
    "accepted are pictures (JPEG, PNG, WebP, GIF, BMP, AVIF, HEIF), videos (MP4, MOV, WebM, MKV, AVI, MPEG, GIF) "
    "and sounds (WAV, MP3, FLAC, Ogg, M4A, AAC, AIFF)."
)


class MediaError(RefusedError):
    """A file cannot be used."""


@dataclass(frozen=True)
class Kind:
    """`name` is for people, `reader` is "pillow" or "av", `format` is what that reader calls it."""

    name: str
    reader: str
    format: str


def sniff(path: Path) -> Kind:
    """The kind of a file; MediaError if there is no file, nothing in it, or nothing that we read."""
    path = check_file(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise MediaError("{file} is empty; " + ACCEPTED, file=shown(path))
    kind = _kind(head)
    if kind is None:
        raise MediaError("{file} is {kind}; " + ACCEPTED, file=shown(path), kind=_stranger(head))
    return kind


def check_file(path: Path) -> Path:
    path = Path(path)
    try:
        if path.is_file():
            return path
        there = path.exists()
    except (OSError, ValueError):  # a name too long, or with a null in it
        raise MediaError("{file} is not a name of a file.", file=shown(path)) from None
    if there:
        raise MediaError("{file} is a folder or a device, not a file.", file=shown(path))
    raise MediaError("{file} does not exist.", file=shown(path))


def shown(path: Path) -> str:
    """The file's name as an error may show it: printable, at most 60 characters."""
    name = "".join(c if c.isprintable() else "�" for c in Path(path).name) or str(path)
    return name if len(name) <= 60 else f"{name[:40]}…{name[-19:]}"


def damaged(path: Path, kind: Kind) -> MediaError:
    return MediaError("{file} starts like {kind}, but it is damaged or was cut off.", file=shown(path), kind=kind.name)


def _kind(head: bytes) -> Kind | None:
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    if head[4:8] == b"ftyp":
        size = int.from_bytes(head[:4], "big")
        brands = {head[at : at + 4] for at in range(8, min(size, len(head)), 4) if at != 12}
        return next((kind for known, kind in _BRANDS if brands & known), _MOV)
    if head[4:8] in (b"moov", b"mdat", b"wide", b"skip", b"free", b"pnot"):
        return _MOV
    if head[:4] in (b"RIFF", b"RF64", b"FORM"):
        return _CHUNKED.get((head[:4], head[8:12]))
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return Kind("MPEG", "av", "mpegts")
    if len(head) > 3 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return Kind("AAC", "av", "aac")
    if len(head) > 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        version, layer, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3
        if version != 1 and layer in (1, 2) and head[2] >> 4 != 15 and rate != 3:
            return _MP3
    return None


def _stranger(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, words in _STRANGERS:
        if start.startswith(magic):
            return words
    if b"<svg" in start:
        return _SVG
    try:
        text = head.decode("utf-8", errors="ignore" if len(head) == _HEAD else "strict")
    except UnicodeDecodeError:
        return _UNKNOWN
    return _TEXT if all(c.isprintable() or c in "\t\r\n\f" for c in text) else _UNKNOWN


_MOV = Kind("MP4", "av", "mov")
_MP3 = Kind("MP3", "av", "mp3")
_MAGIC = (
    (0, b"\xff\xd8\xff", Kind("JPEG", "pillow", "JPEG")),
    (0, b"\x89PNG\r\n\x1a\n", Kind("PNG", "pillow", "PNG")),
    (0, b"GIF87a", Kind("GIF", "pillow", "GIF")),
    (0, b"GIF89a", Kind("GIF", "pillow", "GIF")),
    (0, b"BM", Kind("BMP", "pillow", "BMP")),
    (0, b"\x1aE\xdf\xa3", Kind("WebM or MKV", "av", "matroska")),
    (0, b"OggS", Kind("Ogg", "av", "ogg")),
    (0, b"fLaC", Kind("FLAC", "av", "flac")),
    (0, b"ID3", _MP3),
    (0, b"\x00\x00\x01\xba", Kind("MPEG", "av", "mpeg")),
    (0, b"FLV\x01", Kind("FLV", "av", "flv")),
    (0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), Kind("WMA or WMV", "av", "asf")),
    (0, b"#!AMR", Kind("AMR", "av", "amr")),
    (0, b"caff", Kind("CAF", "av", "caf")),
    (0, b".snd", Kind("AU", "av", "au")),
)
_BRANDS = (
    ({b"avif", b"avis"}, Kind("AVIF", "pillow", "AVIF")),
    ({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}, Kind("HEIF", "pillow", "HEIF")),
)
_CHUNKED = {
    (b"RIFF", b"WEBP"): Kind("WebP", "pillow", "WEBP"),
    (b"RIFF", b"WAVE"): Kind("WAV", "av", "wav"),
    (b"RF64", b"WAVE"): Kind("WAV", "av", "wav"),
    (b"RIFF", b"AVI "): Kind("AVI", "av", "avi"),
    (b"FORM", b"AIFF"): Kind("AIFF", "av", "aiff"),
    (b"FORM", b"AIFC"): Kind("AIFF", "av", "aiff"),
}
_TEXT, _SVG, _UNKNOWN = "text", "an SVG drawing", "a kind of file that is not known here"
_STRANGERS = (
    (b"<svg", _SVG),
    (b"#extm3u", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"<mpd", "a playlist"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"%pdf", "a PDF document"),
    (b"%!ps", "a PostScript document"),
    (b"pk\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a compressed archive"),
    (b"\x7felf", "a program"),
    (b"mz", "a program"),
    (b"ii*\x00", "a TIFF picture"),
    (b"mm\x00*", "a TIFF picture"),
)
