"""Sounds and videos, through PyAV, restricted to one container, known codecs and local files.

What a header claims is used to refuse early, never to trust: seconds, pixels and frames are counted while decoding.
A claim that the content does not bear out is a file that was cut off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from nextgpt_core.media.kinds import Kind, MediaError, damaged, shown, sniff
from nextgpt_core.media.pictures import MAX_FRAME_PIXELS, animation_frames, is_animated

VIDEO_SECONDS = 30.0  # decoded of a longer video
FRAME_SIDE = 640
UNKNOWN_CODEC = "an unknown codec"
_HD = 1920 * 1088
_MAX_FRAMES = 30 * 240
_MAX_CHANNELS, _MAX_RATE = 16, 384_000
_MAX_DAMAGED_PACKETS = 3  # old files often start or end with a broken one
# Containers whose duration is written down, not guessed from the bit rate: what they claim must be there.
_TRUE_TO_DURATION = {"mov", "matroska", "wav", "flac", "aiff", "caf"}

_VIDEO_CODECS = (
    "h264,hevc,av1,libdav1d,vp8,vp9,mpeg4,mpeg1video,mpeg2video,h263,mjpeg,theora,prores,dnxhd,flv,"
    "msmpeg4,msmpeg4v2,wmv1,wmv2,wmv3,vc1,ffv1,huffyuv,rawvideo,png,gif,dvvideo"
)
_AUDIO_CODECS = (
    "aac,mp3,mp3float,mp2,mp2float,mp1,mp1float,opus,libopus,vorbis,flac,alac,ac3,eac3,wmav1,wmav2,amrnb,amrwb,"
    "libopencore_amrnb,libopencore_amrwb,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,"
    "pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw"
)


def probe(path: Path) -> str:
    """ "image", "video" or "audio"; see `nextgpt_core.media.probe`."""
    kind = sniff(path)
    if kind.reader == "pillow":
        return "video" if is_animated(path, kind) else "image"
    with _opened(path, kind) as container:
        if _video_stream(container) is not None:
            return "video"
        if container.streams.audio:
            return "audio"
    raise MediaError("{file} is {kind}, but holds neither video nor sound.", file=shown(path), kind=kind.name)


def codecs(path: Path) -> list[str]:
    """The names of what a container's streams are coded with, cover pictures left out."""
    with _opened(path, sniff(path)) as container:
        streams = [stream for stream in (_video_stream(container), *container.streams.audio) if stream is not None]
        return ["unknown" if s.codec_context is None else s.codec_context.codec.canonical_name for s in streams]


def read_audio(path: Path, rate: int, seconds: float) -> np.ndarray:
    """(n,) float32 mono; see `nextgpt_core.media.read_audio`."""
    kind = sniff(path)
    if kind.reader == "pillow":
        raise MediaError("{file} is no sound but a picture ({kind}).", file=shown(path), kind=kind.name)
    with _opened(path, kind) as container:
        if not container.streams.audio:
            raise MediaError("{file} has no sound in it.", file=shown(path))
        stream = container.streams.audio[0]
        _check_codec(path, stream, _AUDIO_CODECS)
        channels, hertz = stream.codec_context.channels, stream.codec_context.rate
        if channels > _MAX_CHANNELS or not 0 < hertz <= _MAX_RATE:
            raise MediaError(
                "{file} claims {channels} channels of {hertz} Hz; "
                "accepted are up to {most} channels of up to {top} Hz.",
                file=shown(path), channels=channels, hertz=hertz, most=_MAX_CHANNELS, top=_MAX_RATE,
            )  # fmt: skip
        claimed = _claimed_seconds(container, stream)
        if claimed > seconds + 1:
            raise MediaError(
                "{file} lasts {found}; accepted are sounds of up to {limit}.",
                file=shown(path), found=_spoken(claimed), limit=_spoken(seconds),
            )  # fmt: skip
        pieces, count = [], 0
        for samples in _resampled(_decoded(path, container, stream), rate):
            pieces.append(samples)
            count += len(samples)
            if count > (seconds + 1) * rate:
                raise MediaError(
                    "{file} lasts more than {limit}; accepted are sounds of up to {limit}.",
                    file=shown(path), limit=_spoken(seconds),
                )  # fmt: skip
        _check_claim(path, kind, claimed, count / rate)
    if not count:
        raise MediaError("{file} has a sound track with nothing in it.", file=shown(path))
    sound = np.concatenate(pieces)[: round(seconds * rate)]
    return np.nan_to_num(sound, posinf=1.0, neginf=-1.0).clip(-1, 1)


def read_video(path: Path, frames: int) -> tuple[np.ndarray, float]:
    """((frames, h, w, 3) uint8, seconds); see `nextgpt_core.media.read_video`."""
    times, length = _times(path)
    wanted = np.linspace(times[0], times[-1], frames)
    return _frames_at(path, wanted.tolist()), length


def video_length(path: Path) -> tuple[int, int, int]:
    """(frames, numerator, denominator of the frames a second)."""
    times, length = _times(path)
    rate = Fraction(len(times) / length).limit_denominator(1001)
    return len(times), rate.numerator, rate.denominator


def read_frames(path: Path, indices: Sequence[int]) -> np.ndarray:
    """(n, h, w, 3) uint8; see `nextgpt_core.media.read_frames`."""
    times, _ = _times(path)
    if not all(0 <= index < len(times) for index in indices):
        raise MediaError(
            "{file} has {count} frames; asked for {indices}.", file=shown(path), count=len(times), indices=list(indices)
        )
    return _frames_at(path, [times[index] for index in indices])


def _times(path: Path) -> tuple[list[float], float]:
    """When each frame of the first 30 s is shown, in order, and how many seconds that is; nothing is decoded yet."""
    kind = sniff(path)
    if kind.reader == "pillow":
        if not is_animated(path, kind):
            raise MediaError("{file} is no video but a still picture ({kind}).", file=shown(path), kind=kind.name)
        times = [time for time, _ in animation_frames(path, kind, VIDEO_SECONDS)]
        return times, min(_length(times), VIDEO_SECONDS)
    with _opened(path, kind) as container:
        stream = _checked_video_stream(path, container)
        claimed = _claimed_seconds(container, stream)
        times, dropped = [], 0
        for packet in container.demux(stream):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None or packet.size == 0:
                continue
            if packet.is_discard or packet.is_corrupt:
                dropped += 1
                continue
            times.append(float(stamp * packet.time_base))
            if times[-1] - times[0] > VIDEO_SECONDS + 2 or len(times) > _MAX_FRAMES:
                break  # frames may come out of order, but not by seconds
    if not times:
        raise damaged(path, kind)
    times.sort()
    times = [time for time in times if time - times[0] <= VIDEO_SECONDS]
    if _length(times) < VIDEO_SECONDS:
        _check_claim(path, kind, min(claimed, VIDEO_SECONDS), _length(times))
    return times, min(_length(times), VIDEO_SECONDS)


def _length(times: list[float]) -> float:
    """From the first frame to the end of the last, which is taken to be as long as the others."""
    return (times[-1] - times[0]) * len(times) / (len(times) - 1) if len(times) > 1 else 1 / 25


def _frames_at(path: Path, wanted: Sequence[float]) -> np.ndarray:
    """(n, h, w, 3) uint8: for each time the frame nearest to it. Memory holds no other frame but the last two."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    found: dict[int, np.ndarray] = {}
    before: tuple[float, Any] | None = None
    with contextlib.closing(_shown_frames(path)) as frames:
        for time, frame in frames:
            while len(found) < len(order) and time >= wanted[order[len(found)]] - 1e-6:
                target = wanted[order[len(found)]]
                nearer = before if before is not None and target - before[0] < time - target else (time, frame)
                found[order[len(found)]] = _pixels(nearer[1])
            if len(found) == len(order):
                break
            before = (time, frame)
    if before is None and not found:
        raise damaged(path, sniff(path))
    for index in order[len(found) :]:
        found[index] = _pixels(before[1])
    shape = found[order[0]].shape
    if any(pixels.shape != shape for pixels in found.values()):
        raise MediaError("{file} changes its size midway; accepted are videos of one size.", file=shown(path))
    return np.stack([found[index] for index in range(len(wanted))])


def _shown_frames(path: Path) -> Iterator[tuple[float, Any]]:
    """(time, PyAV frame or array) in the order shown."""
    kind = sniff(path)
    if kind.reader == "pillow":
        yield from animation_frames(path, kind, VIDEO_SECONDS)
        return
    with _opened(path, kind) as container:
        stream = _checked_video_stream(path, container)
        stream.thread_type = "AUTO"
        if stream.codec_context.width * stream.codec_context.height > _HD:
            stream.codec_context.skip_frame = "NONREF"  # a neighbour will do where decoding all would take minutes
        stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        for index, frame in enumerate(_decoded(path, container, stream)):
            if index > _MAX_FRAMES:
                return
            _check_size(path, frame.width, frame.height)
            yield (frame.time if frame.time is not None else index / float(stream.average_rate or 25)), frame


def _pixels(frame: Any) -> np.ndarray:
    """(h, w, 3) uint8, upright, the long side at most FRAME_SIDE."""
    if isinstance(frame, np.ndarray):
        frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
    scale = min(1.0, FRAME_SIDE / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    small = frame.reformat(width, height, format="rgb24", interpolation="AREA")
    return np.ascontiguousarray(np.rot90(small.to_ndarray(), round(frame.rotation / 90) % 4))


def _resampled(frames: Iterator[av.AudioFrame], rate: int) -> Iterator[np.ndarray]:
    """(n,) float32 pieces at `rate`: the mean over the channels."""
    resampler, key = None, None
    for frame in frames:
        if key != (frame.format.name, frame.layout.name, frame.sample_rate):
            if resampler is not None:
                yield from (piece.to_ndarray().mean(0) for piece in resampler.resample(None))
            resampler, key = (
                av.AudioResampler(format="fltp", rate=rate),
                (frame.format.name, frame.layout.name, frame.sample_rate),
            )
        yield from (piece.to_ndarray().mean(0) for piece in resampler.resample(frame))
    if resampler is not None:
        yield from (piece.to_ndarray().mean(0) for piece in resampler.resample(None))


def _decoded(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    broken = 0
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError as error:
            broken += 1
            if broken > _MAX_DAMAGED_PACKETS:
                raise MediaError("{file} is damaged: parts of it can't be decoded.", file=shown(path)) from error


@contextlib.contextmanager
def _opened(path: Path, kind: Kind) -> Iterator[Any]:
    """The container, opened as what its first bytes say; what fails inside is a MediaError."""
    options = {
        "format_whitelist": _DEMUXERS.get(kind.format, kind.format),
        "protocol_whitelist": "file",
        "codec_whitelist": f"{_VIDEO_CODECS},{_AUDIO_CODECS}",
    }
    try:
        with av.open(str(path.resolve()), format=kind.format, options=options) as container:
            yield container
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise damaged(path, kind) from error


def _video_stream(container: Any) -> Any:
    """The first video stream that is no cover picture."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def _checked_video_stream(path: Path, container: Any) -> Any:
    stream = _video_stream(container)
    if stream is None:
        raise MediaError("{file} has no video in it.", file=shown(path))
    _check_codec(path, stream, _VIDEO_CODECS)
    _check_size(path, stream.codec_context.width, stream.codec_context.height)
    return stream


def _check_codec(path: Path, stream: Any, accepted: str) -> None:
    context = stream.codec_context
    codec = UNKNOWN_CODEC if context is None else context.codec.name
    if codec not in accepted.split(","):
        raise MediaError(
            "{file} is coded with {kind}, which is not accepted; H.264, VP9 or MP3, say, are.",
            file=shown(path), kind=codec,
        )  # fmt: skip


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_FRAME_PIXELS:
        raise MediaError(
            "{file} has frames of {width} × {height} pixels; accepted are up to 4096 × 2304.",
            file=shown(path), width=width, height=height,
        )  # fmt: skip


def _check_claim(path: Path, kind: Kind, claimed: float, found: float) -> None:
    if kind.format in _TRUE_TO_DURATION and found < 0.9 * claimed - 0.5:
        raise MediaError(
            "{file} should last {claimed} or more, but holds {found}: it is damaged or was cut off.",
            file=shown(path), claimed=_spoken(claimed), found=_spoken(found),
        )  # fmt: skip


def _claimed_seconds(container: Any, stream: Any) -> float:
    """What the headers say; 0 where they say nothing."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None else 0.0


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if n]
    return " ".join(parts[:2])


_DEMUXERS = {"mov": "mov,mp4,m4a,3gp,3g2,mj2", "matroska": "matroska,webm"}
