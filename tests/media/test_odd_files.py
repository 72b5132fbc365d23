"""Relatives of what broke: chained Ogg, timestamps that are makeshift, tails, formats that are only read, cuts of sound
that cannot be copied. Each makes its own input."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_samples import (
    VP8,
    Recipe,
    build,
    encode_video,
    lag_in_samples,
    picture,
    reason_of,
    song_with_cover,
    tone_bursts,
)
from test_timeline import restamped

from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import Waveform
from avagent.core.state import LEFT_AS_IT_IS
from avagent.media.container import DEFAULT_LIMITS, decode_audio, decode_motion, probe, remux
from avagent.media.iso_boxes import movie
from avagent.media.pyav import fill_durations
from avagent.media.sound import _Track, decode_timed
from avagent.media.trim import Trimmed, trim

FFMPEG = shutil.which("ffmpeg")
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="made by FFmpeg's command: apt-get install ffmpeg")


def decoded(data: bytes) -> Waveform:
    sound = decode_audio(data)
    assert sound is not None
    return sound


def repaired(data: bytes, **options: str) -> bytes:
    """With the sound turned over and halved, which is exact; it comes out where it was."""
    sound = decoded(data)
    edited = Waveform(sound.samples * np.float32(-0.5), sound.rate)
    result = remux(data, edited, **options)
    again = decoded(result)
    assert (again.rate, again.samples.shape) == (sound.rate, sound.samples.shape)
    assert lag_in_samples(edited.samples, again.samples) == 0
    return result


@pytest.mark.parametrize("codec", ["libopus", "flac"])
@pytest.mark.parametrize("times", [2, 3])
def test_all_links_of_a_chained_ogg_are_heard(codec: str, times: int):
    """A recorded web radio: each piece has a clock of its own. The later ones were taken for the first come twice."""
    one = build(Recipe(muxer="ogg", video_codec=None, audio_codec=codec, sound=tone_bursts(1.0)))
    alone, chained = decoded(one), decoded(one * times)
    # The first block of a later link of Opus is heard, and a link that is cut loses at most a block.
    assert chained.length == pytest.approx(alone.length * times, abs=960 * times if codec == "libopus" else 0)
    assert lag_in_samples(alone.samples, chained.samples[:, -alone.length :]) <= 960
    repaired(one * times)


def test_blocks_of_two_lengths_are_no_links():
    """FFmpeg times the blocks of Vorbis to and fro where a short one follows a long one."""
    line = _Track(DEFAULT_LIMITS, chained=True)
    found = [line._behind(Fraction(at, 44_100), Fraction(count, 44_100)) for at, count in VORBIS]
    assert found == [Fraction(at, 44_100) for at, _ in VORBIS]


VORBIS = [(21_952, 1024), (23_552, 576), (23_680, 128), (23_808, 576), (24_384, 1024)]


def test_a_cover_in_the_tag_of_a_wav_stays():
    """Players and taggers put ID3 into WAV: its picture kept the sound from being repaired."""
    song = song_with_cover()
    tag = song[: song.find(b"\xff\xfb")]
    assert tag.startswith(b"ID3")
    data = build(Recipe(muxer="wav", video_codec=None, audio_codec="pcm_s16le"))
    chunk = struct.pack("<4sI", b"id3 ", len(tag)) + tag + b"\0" * (len(tag) % 2)
    data = data[:4] + struct.pack("<I", len(data) + len(chunk) - 8) + data[8:] + chunk
    with av.open(io.BytesIO(data)) as container:
        assert len(container.streams.video) == 1
    assert chunk in repaired(data)


@pytest.mark.parametrize("codec", ["pcm_s16le", "flac"])
@pytest.mark.parametrize("back", [0.15, 0.23, 0.3])
def test_makeshift_times_behind_a_jump_do_not_move_what_follows(codec: str, back: float):
    """Times that must not go back stand still until the right ones are larger; what came then was up to 28 ms late."""
    whole = build(Recipe(muxer="matroska", audio_codec=codec, video_options={"g": "10"}))
    reached = [-1.0]

    def changed(time: float) -> float:
        reached[0] = max(reached[0], time - back if time > 1.0 else time)
        return reached[0]

    wanted, shown = decoded(whole), decoded(restamped(whole, changed, "matroska"))
    late = lag_in_samples(wanted.samples[:, 72_000:], shown.samples[:, 72_000 - round(back * 48_000) :])
    assert abs(late) <= 48


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"SEFT" + bytes(range(256)) * 9, b"\0\0\0\7junk", b"\xff" * 3])
@pytest.mark.parametrize("muxer", ["mp4", "mov", "ipod"])
def test_what_cameras_write_behind_the_last_box_stays(muxer: str, tail: bytes):
    """It made the muxer write the file, which knows neither the tail nor boxes of others."""
    private = struct.pack(">I4s", 24, b"priv") + b"whatever it is.."
    data = build(Recipe(muxer=muxer, video_codec=None if muxer == "ipod" else "mpeg4")) + private + tail
    result = repaired(data)
    assert result.endswith(private + tail)
    assert movie(result) is not None


ONLY_READ = [
    ("mpegts", "mpeg4", "aac"),
    ("mpegts", "mpeg4", "mp2"),
    ("flv", "flv1", "libmp3lame"),
    ("asf", "mpeg4", "libmp3lame"),
    ("mpeg", "mpeg1video", "mp2"),
    ("aiff", None, "pcm_s16be"),
    ("caf", None, "pcm_s24be"),
    ("w64", None, "pcm_s16le"),
]


@pytest.mark.parametrize(("muxer", "video", "audio"), ONLY_READ)
def test_formats_that_are_only_read_leave_as_they_are(muxer: str, video: str | None, audio: str):
    """A broadcast that is called .mp4 is no broken file; it was a dead letter."""
    sound = tone_bursts(2.0, rate=44_100 if muxer == "flv" else 48_000)
    data = build(Recipe(muxer=muxer, video_codec=video, audio_codec=audio, sound=sound, video_options={"g": "10"}))
    info, heard = probe(data), decoded(data)
    assert (info.has_audio, info.has_video) == (True, video is not None)
    assert heard.length == pytest.approx(sound.length, abs=2400)
    found = lag_in_samples(sound.samples, heard.samples)
    assert found == 0 if audio.startswith("pcm") else 0 <= found < 2400
    assert reason_of(remux, data, heard) == FailureReason.UNSUPPORTED_MEDIA
    assert FailureReason.UNSUPPORTED_MEDIA in LEFT_AS_IT_IS


@pytest.mark.parametrize("muxer", ["matroska", "webm"])
def test_the_last_picture_of_matroska_lasts_as_long_as_before(muxer: str):
    """The muxer was not told how long pictures last: a film of one picture lasted nothing."""
    video, options = ("libvpx", VP8) if muxer == "webm" else ("ffv1", {})
    for frames in (1, 30):
        recipe = Recipe(muxer=muxer, video_codec=video, audio_codec="libopus", video_options=options, frames=frames)
        data = build(recipe)
        assert durations(data) == durations(repaired(data)) == {40}


def durations(data: bytes) -> set[int | None]:
    with av.open(io.BytesIO(data)) as container:
        return {packet.duration for packet in container.demux(video=0) if packet.size}


@needs_ffmpeg
def test_the_head_that_an_edit_without_length_hides_is_not_missing(tmp_path: Path):
    """Fragmented files say `up to the end` by a length of 0; the sound before it was taken for what is cut off."""
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    whole.write_bytes(build(Recipe(sound=tone_bursts(4.0), frames=100, video_options={"g": "50"})))
    ffmpeg("-ss", "1.3", "-i", str(whole), "-c", "copy", "-movflags", "frag_keyframe+delay_moov", str(cut))
    heard, before = decoded(cut.read_bytes()), decoded(whole.read_bytes())
    assert heard.length == pytest.approx(2.7 * 48_000, abs=1024)
    assert lag_in_samples(before.samples[:, -heard.length :], heard.samples) == 0


def ffmpeg(*arguments: str) -> bytes:
    command = [str(FFMPEG), "-nostdin", "-v", "error", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


@needs_ffmpeg
def test_ambisonics_do_not_become_speakers():
    """Sound that was recorded on a sphere left as that of four loudspeakers."""
    placed = "pan=ambisonic 1|c0=c0|c1=0.5*c0|c2=0.25*c0|c3=0.1*c0"
    coded = ("-c:a", "libopus", "-mapping_family", "2", "-f", "ogg", "-")
    made = ffmpeg("-f", "lavfi", "-i", "sine=r=48000:d=1", "-af", placed, *coded)
    assert reason_of(remux, made, decoded(made)) == FailureReason.UNSUPPORTED_SOUND


@pytest.mark.parametrize("mask", [0xFFF, 0x2D63F, 0x3F, 0])
def test_the_speakers_that_a_wav_names_stay(mask: int):
    """FFmpeg named others for twelve channels: three loudspeakers would have played what was not theirs."""
    count, rate = mask.bit_count() or 12, 48_000
    body = np.random.default_rng(1).integers(-9000, 9000, (rate // 4, count), np.int16).tobytes()
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    form = struct.pack("<HHIIHHHHI", 0xFFFE, count, rate, rate * count * 2, count * 2, 16, 22, 16, mask) + guid
    chunks = struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", len(body)) + body
    data = struct.pack("<4sI4s", b"RIFF", len(chunks) + 4, b"WAVE") + chunks
    result = repaired(data)
    place = result.find(b"fmt ") + 8
    assert result[place : place + 2] == b"\xfe\xff"
    assert int.from_bytes(result[place + 20 : place + 24], "little") == mask


CUTS = [("matroska", "tta"), ("matroska", "wavpack"), ("avi", "libmp3lame"), ("avi", "adpcm_ms"), ("avi", "aac")]


@pytest.mark.parametrize(("muxer", "codec"), CUTS)
@pytest.mark.parametrize("start", [0.0, 0.7, 1.31])
def test_cuts_of_sound_that_cannot_be_copied(muxer: str, codec: str, start: float):
    """TTA was cut to what nobody can decode; AVI's pictures came one late where the sound began before them."""
    sound = tone_bursts(3.0)
    whole = build(Recipe(muxer=muxer, audio_codec=codec, sound=sound, video_options={"g": "13"}, frames=75))
    check_sync(whole, trim(whole, start, start + 1.2), tolerance=48 if muxer == "matroska" else 1)


def check_sync(whole: bytes, cut: Trimmed, *, tolerance: int) -> None:
    """The sound at the first picture is what it was there; the tolerance is in samples."""
    (before, begin), (after, now) = timed(whole), timed(cut.data)
    first = shown(cut.data)[0]
    place = next(time for time, picture in shown(whole) if picture == first[1])
    assert place == pytest.approx(cut.start, abs=0.0011)
    then, there = round((place - begin) * before.rate), round((first[0] - now) * after.rate)
    wanted = before.samples[:, max(then, 0) :][:, : after.length - there]
    assert wanted.shape[1] > before.rate // 2
    assert abs(lag_in_samples(wanted, after.samples[:, there:][:, : wanted.shape[1]])) <= tolerance


def timed(data: bytes) -> tuple[Waveform, float]:
    found = decode_timed(data)
    assert found is not None
    return found[0], float(found[1])


def shown(data: bytes) -> list[tuple[float, int]]:
    with av.open(io.BytesIO(data)) as container:
        return [(float(f.pts * f.time_base), hash(f.to_ndarray().tobytes())) for f in container.decode(video=0)]


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["pcm_mulaw", "adpcm_ms", "wmav2"])
def test_cuts_of_codecs_that_no_muxer_here_takes(codec: str, tmp_path: Path):
    path = tmp_path / "a.mkv"
    sources = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=3", "-f", "lavfi", "-i", "anoisesrc=d=3:r=48000:seed=3")
    ffmpeg(*sources, "-c:v", "mpeg4", "-g", "10", "-c:a", codec, str(path))
    whole = path.read_bytes()
    check_sync(whole, trim(whole, 0.9, 2.1), tolerance=48)


def test_a_cut_that_cannot_be_written_is_no_cut():
    data = build(Recipe(muxer="mpegts", video_options={"g": "10"}))
    with pytest.raises(MediaError, match="cannot write mpegts"):
        trim(data, 0.3, 1.2)


def test_pictures_that_change_their_shape_half_way_are_measured():
    """Calls over the web do so; the motion of such a clip raised what nobody expects."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as out:
        stream = out.add_stream("libvpx", rate=25, options=VP8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        packets = list(encode_video(stream, Recipe(frames=10)))
        other = av.CodecContext.create("libvpx", "w")
        other.width, other.height, other.pix_fmt, other.time_base = 48, 96, "yuv420p", Fraction(1, 25)
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(picture(index, (48, 96)), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = 10 + index, Fraction(1, 25)
            packets += other.encode(frame)
        for packet in [*packets, *other.encode(None)]:
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            out.mux(packet)
    motion = decode_motion(buffer.getvalue())
    assert motion is not None
    assert motion.energy.size == 20


@needs_ffmpeg
@pytest.mark.parametrize(("muxer", "codec"), [("webm", "libvpx"), ("matroska", "mpeg4")])
def test_pictures_keep_their_width(muxer: str, codec: str):
    """Matroska may say how wide pixels are where the pictures themselves do not: they came out squeezed."""
    sources = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "anoisesrc=d=1:r=48000")
    coded = ("-c:v", codec, "-aspect", "2:1", "-c:a", "libopus", "-f", muxer, "-")
    data = ffmpeg(*sources, *coded)
    stretched = aspect(data)
    assert stretched == pytest.approx(1.5, abs=0.02)
    if codec == "libvpx":
        with pytest.raises(MediaError, match="as wide as before") as caught:
            remux(data, decoded(data))
        assert caught.value.reason == FailureReason.UNSUPPORTED_STREAM
    else:
        assert aspect(remux(data, decoded(data))) == pytest.approx(stretched, rel=0.01)


def aspect(data: bytes) -> float:
    with av.open(io.BytesIO(data)) as container:
        return float(container.streams.video[0].sample_aspect_ratio or 1)


def test_packets_without_a_duration_last_until_the_next():
    def packet(pts: int, duration: int) -> av.Packet:
        made = av.Packet(b"x")
        made.pts, made.duration, made.time_base = pts, duration, Fraction(1, 1000)
        return made

    packets = [packet(500, 0), packet(0, 0), packet(800, 0), packet(700, 40)]
    fill_durations(packets)
    assert [p.duration for p in packets] == [200, 500, 40, 40]
    alone = [packet(3, 0)]
    fill_durations(alone)
    assert alone[0].duration == 0
