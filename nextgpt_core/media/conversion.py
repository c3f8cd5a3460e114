"""Files that browsers can't play become ones that they can: PNG, MP4 and WAV, made of what the model is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nextgpt_core.media import guard, reading
from nextgpt_core.media.kinds import sniff
from nextgpt_core.media.writing import write_audio, write_image, write_video

# What Chrome, Firefox and Safari all play of each kind; pictures have no codecs.
_PLAYED = {
    "JPEG": (),
    "PNG": (),
    "WebP": (),
    "GIF": (),
    "BMP": (),
    "AVIF": (),
    "MP4": ("h264", "aac", "mp3"),
    "WebM or MKV": ("vp8", "vp9", "opus", "vorbis"),
    "WAV": ("pcm_u8", "pcm_s16le", "pcm_f32le"),
    "MP3": ("mp3",),
    "FLAC": ("flac",),
    "AAC": ("aac",),
}
_FPS, _AUDIO_RATE = 10, 44_100


def preview(path: Path, folder: Path) -> Path:
    """A file that browsers play: `path` itself where they do, else a PNG, MP4 or WAV made in `folder`.

    A converted video has at most 30 s, 640 px and no sound.
    """
    kind = sniff(path)
    played = _PLAYED.get(kind.name)
    if played is not None and (kind.reader == "pillow" or set(guard.call("codecs", path)) <= set(played)):
        return Path(path)
    modality = reading.probe(path)
    suffix = {"image": ".png", "video": ".mp4", "audio": ".wav"}[modality]
    target = Path(folder) / f"{reading.content_hash(path)[:32]}{suffix}"
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"unfinished-{target.name}")
    if modality == "image":
        write_image(np.asarray(reading.read_image(path)), unfinished, {})
    elif modality == "audio":
        write_audio(reading.read_audio(path, _AUDIO_RATE), _AUDIO_RATE, unfinished, {})
    else:
        count, rate = reading.video_length(path)
        frames, _ = reading.read_video(path, frames=max(1, round(count / rate * _FPS)))
        write_video(frames, unfinished, _FPS, {})
    return unfinished.replace(target)
