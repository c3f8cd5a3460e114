"""Reading real containers, and writing what browsers play and what is read back as it was."""

from __future__ import annotations

import struct
import wave

import av
import numpy as np
import pytest
from PIL import Image

from nextgpt_core import media
from tests.media_files import READERS, bar_columns, gradient, moving_bar, refused, tone, write_container, write_wav

# ---- pictures


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "HEIF", "AVIF"])
def test_every_picture_format_reads_under_any_name(tmp_path, format):
    if format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    path = tmp_path / "holiday.txt"
    Image.fromarray(gradient()).save(path, format=format)
    assert media.probe(path) == "image"
    image = media.read_image(path)
    assert image.mode == "RGB" and image.size == (60, 40)
    limit = 1 if format in ("PNG", "BMP") else 12
    assert np.abs(np.asarray(image).astype(int) - gradient()).mean() < limit


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_makes_pictures_upright(tmp_path, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "phone.png"
    Image.fromarray(gradient()).save(path, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(path))
    assert np.array_equal(np.asarray(media.read_image(path)), np.asarray(expected))


def test_transparency_lies_on_white_and_deep_grey_is_scaled(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert media.read_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert media.read_image(tmp_path / "deep.png").getpixel((0, 0)) == (128, 128, 128)


def test_large_pictures_shrink_and_cut_ones_fail(tmp_path):
    path = tmp_path / "wide.jpg"
    Image.new("RGB", (4000, 1000), "navy").save(path)
    assert media.read_image(path).size == (1536, 384)
    noisy = tmp_path / "noise.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(noisy)
    noisy.write_bytes(noisy.read_bytes()[:9000])
    assert "cut off" in refused(media.read_image, noisy)


# ---- sounds


@pytest.mark.parametrize(
    ("format", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "mp3"), ("ogg", "libopus"), ("adts", "aac"), ("ipod", "aac")],
)
def test_every_sound_format_reads_at_the_asked_rate(tmp_path, format, codec):
    rate = 48_000
    path = write_container(tmp_path / "bell", audio=tone(2.0, rate), format=format, audio_codec=codec, rate=rate)
    assert media.probe(path) == "audio"
    sound = media.read_audio(path, 16_000)
    assert sound.dtype == np.float32 and sound.ndim == 1
    assert abs(len(sound) / 16_000 - 2.0) < 0.1
    spectrum = np.abs(np.fft.rfft(sound[8000:24000]))
    assert abs(np.argmax(spectrum) - 440) <= 1  # hertz: the piece is one second
    assert np.sqrt((sound[8000:24000] ** 2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_channels_are_averaged(tmp_path):
    left = tone(1.0)
    path = write_container(tmp_path / "s.wav", audio=np.stack([left, 0 * left]), format="wav", audio_codec="pcm_s16le")
    assert np.abs(media.read_audio(path, 16_000) - left / 2).max() < 1e-3


def test_odd_floats_become_silence_or_full_scale(tmp_path):
    samples = np.array([0.5, np.nan, np.inf, -np.inf, 3.0] * 100, np.float32)
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 8000, 32000, 4, 32)
    body = b"WAVE" + fmt + b"data" + struct.pack("<I", samples.nbytes) + samples.tobytes()
    (tmp_path / "float.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert media.read_audio(tmp_path / "float.wav", 8000)[:5].tolist() == [0.5, 0.0, 1.0, -1.0, 1.0]


def test_a_minute_is_read_and_more_is_refused(tmp_path):
    path = write_wav(tmp_path / "minute.wav", tone(60.5, 8000), 8000)
    assert len(media.read_audio(path, 4000)) == 60 * 4000
    path = write_wav(tmp_path / "longer.wav", tone(200, 8000), 8000)
    assert "3 min 20 s" in refused(READERS["read_audio"], path)
    assert media.read_audio(path, 1000, seconds=300).shape == (200_000,)


# ---- videos


@pytest.mark.parametrize(
    ("format", "codec"),
    [("mp4", "libx264"), ("webm", "libvpx-vp9"), ("matroska", "libvpx"), ("avi", "mpeg4"), ("mpegts", "mpeg2video")],
)
def test_every_video_format_gives_evenly_spaced_frames(tmp_path, format, codec):
    fps = 25 if codec == "mpeg2video" else 8
    path = write_container(tmp_path / "clip", moving_bar(), format=format, video_codec=codec, fps=fps)
    assert media.probe(path) == "video"
    frames, seconds = media.read_video(path, frames=4)
    assert frames.shape == (4, 64, 96, 3) and frames.dtype == np.uint8
    assert seconds == pytest.approx(24 / fps, rel=0.1)
    assert bar_columns(frames) == pytest.approx([0, 8, 15, 23], abs=0.6)


def test_frames_by_index_come_in_the_order_asked(tmp_path):
    path = write_container(tmp_path / "clip.mp4", moving_bar(), format="mp4")
    count, rate = media.video_length(path)
    assert (count, rate) == (24, 8)
    assert bar_columns(media.read_frames(path, [23, 0, 7, 7])) == pytest.approx([23, 0, 7, 7], abs=0.3)
    refused(lambda p: media.read_frames(p, [24]), path)


def test_a_video_is_read_for_thirty_seconds_and_its_sound_as_well(tmp_path):
    clip = np.zeros((80, 32, 32, 3), np.uint8)
    path = write_container(tmp_path / "long.mp4", clip, tone(40.0), format="mp4", fps=2)
    frames, seconds = media.read_video(path, frames=5)
    assert len(frames) == 5 and seconds == 30.0
    assert media.video_length(path)[0] == 61
    assert len(media.read_audio(path, 16_000)) == pytest.approx(40 * 16_000, rel=0.01)


def test_a_phone_video_stands_upright(tmp_path):
    clip = np.zeros((4, 32, 64, 3), np.uint8)
    clip[:, :, :32, 0] = 255  # the left half is red
    path = write_container(tmp_path / "phone.mp4", clip, format="mp4")
    data = path.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)  # a quarter, clockwise
    track = data.index(b"tkhd")
    at = data.index(upright, track)
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])
    frames, _ = media.read_video(path, frames=1)
    assert frames.shape == (1, 64, 32, 3)
    assert frames[0, 5, 16, 0] > 200 and frames[0, 60, 16, 0] < 50  # what was left is on top


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_a_video_and_its_first_frame_a_picture(tmp_path, format):
    frames = [Image.fromarray(f) for f in moving_bar(12)]
    path = tmp_path / "anim"
    frames[0].save(path, format=format, save_all=True, append_images=frames[1:], duration=100, loop=0)
    assert media.probe(path) == "video"
    got, seconds = media.read_video(path, frames=4)
    assert seconds == pytest.approx(1.2, rel=0.02)
    assert bar_columns(got) == pytest.approx([0, 4, 7, 11], abs=0.8)
    assert media.read_image(path).getpixel((1, 30)) > (200, 200, 200)


def test_a_song_with_a_cover_is_a_sound(tmp_path):
    cover = tmp_path / "cover.png"
    Image.fromarray(gradient()).save(cover)
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w", format="mp3") as song, av.open(str(cover)) as picture:
        sound = song.add_stream("mp3", rate=16_000, layout="mono")
        image = song.add_stream_from_template(picture.streams.video[0])
        image.disposition = av.stream.Disposition.attached_pic.value
        for packet in picture.demux():
            if packet.size:
                packet.stream = image
                song.mux(packet)
        frame = av.AudioFrame.from_ndarray(tone(1.0)[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        song.mux(sound.encode(frame))
        song.mux(sound.encode(None))
    assert media.probe(path) == "audio"
    assert "no video" in refused(READERS["read_video"], path)


# ---- writing


@pytest.mark.parametrize("shape", [(16, 32, 48, 3), (5, 33, 47, 3), (1, 32, 32, 3)])
def test_a_written_video_plays_in_browsers_and_reads_back(tmp_path, shape):
    clip = np.broadcast_to(np.linspace(40, 200, shape[0]).astype(np.uint8)[:, None, None, None], shape)
    path = tmp_path / "clip.mp4"
    media.write_video(np.ascontiguousarray(clip), path, 8, {"caption": "a «ball»", "seed": "7"})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 8 and stream.frames == shape[0]
        assert (stream.height, stream.width) == (shape[1] + shape[1] % 2, shape[2] + shape[2] % 2)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    frames, _ = media.read_video(path, frames=shape[0])
    assert np.abs(frames.mean((1, 2, 3)) - clip.mean((1, 2, 3))).max() < 5
    assert media.read_metadata(path) == {"caption": "a «ball»", "seed": "7"}


def test_a_written_picture_and_sound_read_back_with_their_note(tmp_path):
    note = {"caption": "海 “sea”", "seed": "3"}
    media.write_image(gradient(), tmp_path / "p.png", note)
    assert np.array_equal(np.asarray(media.read_image(tmp_path / "p.png")), gradient())
    media.write_audio(1.5 * tone(1.0), 16_000, tmp_path / "s.wav", note)
    sound = media.read_audio(tmp_path / "s.wav", 16_000)
    assert np.abs(sound - 1.5 * tone(1.0)).max() < 1e-4
    with wave.open(str(tmp_path / "s.wav")) as file:
        assert file.getnframes() == 16_000
    for name in ("p.png", "s.wav"):
        assert media.read_metadata(tmp_path / name) == note
    Image.fromarray(gradient()).save(tmp_path / "theirs.png")
    assert media.read_metadata(tmp_path / "theirs.png") == {}


def test_writers_refuse_what_is_no_sample(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        media.write_image(np.zeros((4, 4, 3), np.float32), tmp_path / "x.png", {})
    with pytest.raises(ValueError, match="finite"):
        media.write_audio(np.array([0.0, np.nan]), 8000, tmp_path / "x.wav", {})


def test_preview_converts_what_browsers_cannot_play(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "p.png")
    played = [
        tmp_path / "p.png",
        write_wav(tmp_path / "s.wav", tone(0.5)),
        write_container(tmp_path / "v.mp4", moving_bar(4), tone(0.5), format="mp4"),
        write_container(tmp_path / "v.webm", moving_bar(4), format="webm", video_codec="libvpx-vp9"),
    ]
    for path in played:
        assert media.preview(path, tmp_path / "out") == path
    clip = write_container(tmp_path / "clip.mp4", moving_bar(), format="mp4", video_codec="mpeg4")
    made = media.preview(clip, tmp_path / "out")
    frames, seconds = media.read_video(made, frames=4)
    assert made.suffix == ".mp4" and made.parent == tmp_path / "out" and seconds == pytest.approx(3.0, abs=0.2)
    assert bar_columns(frames) == pytest.approx([0, 8, 15, 23], abs=1)
    assert media.preview(clip, tmp_path / "out") == made == media.preview(made, tmp_path / "out")
    song = write_container(tmp_path / "s", audio=tone(1.0), format="caf", audio_codec="pcm_s16le")
    assert media.preview(song, tmp_path / "out").suffix == ".wav"
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_content_hash_is_of_the_bytes_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * 3_000_000)
    (tmp_path / "c").write_bytes(b"y")
    hashes = [media.content_hash(tmp_path / name) for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2] and len(hashes[0]) == 64
