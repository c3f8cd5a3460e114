"""Reading what people upload, safely, and writing what we generate; nothing here knows about models.

A file is judged by its first bytes, never by its name, and opened by the one reader that those bytes call for, with
limits on pixels, seconds, memory and time. All of it happens in a guarded process of its own (`guard`), so that a
file made to break a decoder breaks only that. Whatever goes wrong with a file is a MediaError: one sentence for people
that says what was found and what is accepted.
"""

from __future__ import annotations

from nextgpt_core.media.conversion import preview
from nextgpt_core.media.kinds import MediaError
from nextgpt_core.media.reading import (
    MAX_AUDIO_SECONDS,
    content_hash,
    probe,
    read_audio,
    read_frames,
    read_image,
    read_video,
    video_length,
)
from nextgpt_core.media.writing import read_metadata, write_audio, write_image, write_video

__all__ = [
    "MAX_AUDIO_SECONDS",
    "MediaError",
    "content_hash",
    "preview",
    "probe",
    "read_audio",
    "read_frames",
    "read_image",
    "read_metadata",
    "read_video",
    "video_length",
    "write_audio",
    "write_image",
    "write_video",
]
