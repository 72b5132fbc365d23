"""Remuxing: everything but the sound is copied, the sound is in time."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_samples import VP8, Recipe, build, faststart, lag_in_samples, snr_db, tone_bursts

from avagent.core.errors import FailureReason, MediaError, ParameterError, Stage
from avagent.core.media import Waveform
from avagent.media.container import decode_audio, probe, remux
from avagent.media.edit_list import moov_first

LOSSLESS = ("flac", "alac", "pcm_s16le", "pcm_s24le", "pcm_f32le")


def packets(data: bytes, kind: str = "video") -> list[tuple[bytes, Fraction | None, Fraction | None, bool, Fraction]]:
    with av.open(io.BytesIO(data)) as container:
        return [
            (
                bytes(p),
                None if p.pts is None else p.pts * p.time_base,
                None if p.dts is None else p.dts * p.time_base,
                p.is_keyframe,
                p.time_base,
            )
            for p in container.demux(next(s for s in container.streams if s.type == kind))
            if p.size
        ]


def quieter(waveform: Waveform) -> Waveform:
    """An edit that keeps the 16-bit grid."""
    return Waveform((np.round(waveform.samples * 16384) / 32768).astype(np.float32), waveform.rate)


CONTAINERS = [("mp4", "mpeg4", codec) for codec in ("aac", "flac", "libmp3lame", "ac3", "libopus", "alac")]
CONTAINERS += [("mov", "mpeg4", codec) for codec in ("aac", "pcm_s16le", "pcm_s24le")]
CONTAINERS += [("matroska", "mpeg4", codec) for codec in ("aac", "flac", "libmp3lame", "libopus", "ac3", "pcm_f32le")]
CONTAINERS += [("webm", "libvpx", "libopus"), ("webm", "libvpx-vp9", "libopus")]


@pytest.mark.parametrize("start", [0.0, 0.5])
@pytest.mark.parametrize(("muxer", "video_codec", "audio_codec"), CONTAINERS)
def test_video_is_bit_identical_and_sound_in_time(muxer: str, video_codec: str, audio_codec: str, start: float) -> None:
    options = VP8 if video_codec.startswith("libvpx") else {"bf": "2", "g": "10"}
    data = build(
        Recipe(muxer=muxer, video_codec=video_codec, video_options=options, audio_codec=audio_codec, audio_start=start)
    )
    sound = decode_audio(data)
    assert sound is not None
    edited = quieter(sound)
    result = remux(data, edited)
    again = decode_audio(result)
    assert again is not None
    assert packets(result) == packets(data)
    before, after = probe(data), probe(result)
    assert after.audio_codec == before.audio_codec
    # The declared start of delayed Opus in mp4 counts its pre-skip once more: half a video frame is far from it.
    assert after.audio_start == pytest.approx(before.audio_start, abs=0.008)
    assert after.video_duration == before.video_duration
    assert (again.rate, again.channels, again.length) == (edited.rate, edited.channels, edited.length)
    assert lag_in_samples(edited.samples, again.samples) == 0
    snr = snr_db(edited.samples, again.samples)
    assert snr == np.inf if audio_codec in LOSSLESS and sound_is_on_grid(sound) else snr > 14


def sound_is_on_grid(waveform: Waveform) -> bool:
    return bool(np.array_equal(np.round(waveform.samples * 32768), waveform.samples * 32768))


@pytest.mark.parametrize("muxer", ["mp4", "mov", "matroska", "webm"])
def test_same_input_gives_the_same_bytes(muxer: str) -> None:
    options = VP8 if muxer == "webm" else {"bf": "2", "g": "10"}
    video, audio = ("libvpx", "libopus") if muxer == "webm" else ("mpeg4", "aac")
    data = build(Recipe(muxer=muxer, video_codec=video, audio_codec=audio, video_options=options))
    sound = tone_bursts(2.0)
    assert remux(data, sound) == remux(data, sound)


def test_remuxing_again_and_again_moves_nothing() -> None:
    for muxer, video, audio in (
        ("mp4", "mpeg4", "aac"),
        ("matroska", "mpeg4", "libopus"),
        ("matroska", "mpeg4", "aac"),
    ):
        data = build(Recipe(muxer=muxer, video_codec=video, audio_codec=audio, audio_start=0.5))
        first = decode_audio(data)
        assert first is not None
        result = data
        for _ in range(4):
            sound = decode_audio(result)
            assert sound is not None
            result = remux(result, sound)
        last = decode_audio(result)
        assert last is not None
        assert probe(result).audio_start == probe(data).audio_start
        assert lag_in_samples(first.samples, last.samples) == 0
        assert last.length == first.length


@pytest.mark.parametrize(
    ("muxer", "wanted", "codec"),
    [
        ("mp4", "flac", "flac"),
        ("mp4", "alac", "alac"),
        ("mp4", "ac3", "ac3"),
        ("mp4", "opus", "opus"),
        ("mp4", "mp3", "mp3"),
        ("mov", "pcm_s24le", "pcm_s24le"),
        ("matroska", "flac", "flac"),
        ("matroska", "opus", "opus"),
        ("matroska", "pcm_f32le", "pcm_f32le"),
    ],
)
def test_codec_asked_for(muxer: str, wanted: str, codec: str) -> None:
    data, sound = build(Recipe(muxer=muxer)), tone_bursts(2.0)
    result = remux(data, sound, audio_codec=wanted)
    again = decode_audio(result)
    assert probe(result).audio_codec == codec
    assert packets(result) == packets(data)
    assert again is not None
    assert again.length == sound.length
    assert lag_in_samples(sound.samples, again.samples) == 0
    if codec in LOSSLESS:
        assert snr_db(sound.samples, again.samples) == np.inf


def test_lossless_keeps_24_bits_of_sound_that_was_lossy() -> None:
    data = build(Recipe())
    sound = decode_audio(data)
    assert sound is not None
    again = decode_audio(remux(data, sound, audio_codec="flac"))
    assert again is not None
    assert np.abs(again.samples - sound.samples).max() <= 2.0**-24


def test_bit_rate_is_not_below_the_source() -> None:
    for channels in (1, 2):
        data = build(Recipe(sound=tone_bursts(4.0, channels=channels), frames=100))
        sound = decode_audio(data)
        assert sound is not None
        before, after = packets(data, "audio"), packets(remux(data, sound), "audio")
        assert sum(len(p[0]) for p in after) >= 0.9 * sum(len(p[0]) for p in before)


def test_sound_beyond_full_scale_is_limited_not_wrapped() -> None:
    data = build(Recipe(muxer="mov", audio_codec="pcm_s16le"))
    loud = Waveform(np.tile(np.float32([[2.0], [-2.0]]), (1, 96_000)), 48_000)
    again = decode_audio(remux(data, loud))
    assert again is not None
    assert again.samples[0].min() == pytest.approx(1.0, abs=1e-4)
    assert again.samples[1].max() == pytest.approx(-1.0, abs=1e-4)


def test_another_length_of_sound_is_kept() -> None:
    data, sound = build(Recipe()), tone_bursts(1.7)
    again = decode_audio(remux(data, sound))
    assert again is not None
    assert again.length == sound.length


def test_sound_is_added_to_a_silent_clip() -> None:
    data, sound = build(Recipe(audio_codec=None)), tone_bursts(2.0)
    result = remux(data, sound)
    again = decode_audio(result)
    assert again is not None
    assert packets(result) == packets(data)
    assert lag_in_samples(sound.samples, again.samples) == 0


@pytest.mark.parametrize("muxer", ["mp4", "mov", "matroska"])
def test_metadata_subtitles_and_chapters_are_carried(muxer: str) -> None:
    data = with_chapters(build(Recipe(muxer=muxer, subtitles=True, metadata={"title": "A cat", "artist": "Me"})), muxer)
    result = remux(data, tone_bursts(2.0))
    with av.open(io.BytesIO(data)) as before, av.open(io.BytesIO(result)) as after:
        assert [s.type for s in after.streams if s.type != "data"] == ["video", "audio", "subtitle"]
        assert {k.lower(): v for k, v in after.metadata.items() if k.lower() in ("title", "artist")} == {
            "title": "A cat",
            "artist": "Me",
        }
        assert after.streams.audio[0].metadata.get("language") == "fra"
        names = [(c["metadata"].get("title"), c["start"] * c["time_base"]) for c in after.chapters()]
        assert names == [("one", 0), ("two", 1)]
        assert [c["metadata"] for c in before.chapters()] == [c["metadata"] for c in after.chapters()]
    assert [(p[0], p[1]) for p in packets(result, "subtitle")] == [(p[0], p[1]) for p in packets(data, "subtitle")]


UNUSUAL = {
    "fragmented": ("mp4", {"movflags": "+frag_keyframe+empty_moov"}, 0.0, 0.0),
    "no edit list": ("mp4", {"use_editlist": "0"}, 0.0, 0.0),
    "clock of 600 Hz": ("mov", {"video_track_timescale": "600"}, 0.0, 0.0),
    "clock of 1000 Hz": ("mp4", {"video_track_timescale": "1000"}, 0.0, 0.0),
    "late picture": ("mp4", {}, 0.3, 0.0),
    "late picture, mkv": ("matroska", {}, 0.3, 0.0),
    "late start": ("mp4", {}, 1.4, 1.4),
    "late start, mkv": ("matroska", {}, 1.4, 1.4),
    "m4v": ("ipod", {}, 0.0, 0.0),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_containers(name: str) -> None:
    muxer, options, video_start, audio_start = UNUSUAL[name]
    data = build(Recipe(muxer=muxer, options=options, video_start=video_start, audio_start=audio_start))
    sound = decode_audio(data)
    assert sound is not None
    result = remux(data, sound)
    again = decode_audio(result)
    assert again is not None
    assert packets(result) == packets(data)
    before, after = probe(data), probe(result)
    assert (after.video_start, after.video_duration) == (before.video_start, before.video_duration)
    assert after.audio_start == pytest.approx(before.audio_start, abs=1e-3)
    assert (again.length, lag_in_samples(sound.samples, again.samples)) == (sound.length, 0)


@pytest.mark.parametrize("codec", ["eac3", "mp2", "wavpack", "pcm_s16be", "pcm_mulaw"])
def test_other_codecs_are_kept(codec: str) -> None:
    rate = 8_000 if codec == "pcm_mulaw" else 48_000
    muxer = "mov" if codec.startswith("pcm") else "matroska"
    data = build(Recipe(muxer=muxer, audio_codec=codec, sound=tone_bursts(2.0, rate=rate, channels=1)))
    sound = decode_audio(data)
    assert sound is not None
    result = remux(data, sound)
    again = decode_audio(result)
    assert again is not None
    assert probe(result).audio_codec == codec
    assert (again.length, lag_in_samples(sound.samples, again.samples)) == (sound.length, 0)
    assert snr_db(sound.samples, again.samples) > (14 if codec in ("eac3", "mp2") else 1000)


def with_chapters(data: bytes, muxer: str) -> bytes:
    """Copy a clip, adding chapters, a language and dispositions."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format=muxer) as out:
        streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
        for stream in source.streams:
            if stream.type == "audio":
                streams[stream.index].metadata["language"] = "fra"
        out.metadata.update({k: v for k, v in source.metadata.items() if "brand" not in k and "minor" not in k})
        millisecond = Fraction(1, 1000)
        out.set_chapters(
            [
                {"id": 1, "start": 0, "end": 1000, "time_base": millisecond, "metadata": {"title": "one"}},
                {"id": 2, "start": 1000, "end": 2000, "time_base": millisecond, "metadata": {"title": "two"}},
            ]
        )
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    return buffer.getvalue()


def test_second_sound_track_is_copied() -> None:
    buffer = io.BytesIO()
    first, second = build(Recipe()), build(Recipe(sound=tone_bursts(2.0, seed=9)))
    with av.open(io.BytesIO(first)) as a, av.open(io.BytesIO(second)) as b, av.open(buffer, "w", format="mp4") as out:
        streams = [*a.streams, b.streams.audio[0]]
        copies = [out.add_stream_from_template(s, opaque=True) for s in streams]
        for source, stream, copy in zip((a, a, b), streams, copies, strict=True):
            del source
            copy.metadata.update(stream.metadata)
        all_packets: list[tuple[Packet, int]] = [(p, p.stream_index) for p in a.demux() if p.size]
        all_packets += [(p, 2) for p in b.demux(b.streams.audio[0]) if p.size]
        for packet, index in sorted(all_packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            packet.stream = copies[index]
            out.mux(packet)
    data = buffer.getvalue()
    result = remux(data, tone_bursts(2.0, seed=3))
    with av.open(io.BytesIO(data)) as before, av.open(io.BytesIO(result)) as after:
        kept = [bytes(p) for p in before.demux(before.streams.audio[1]) if p.size]
        assert [bytes(p) for p in after.demux(after.streams.audio[1]) if p.size] == kept
        assert len(after.streams.audio) == 2


def test_rotation_and_pixel_shape_are_carried() -> None:
    buffer = io.BytesIO()
    with av.open(io.BytesIO(build(Recipe(audio_codec=None)))) as source, av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.set_display_rotation(90)
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    data = buffer.getvalue()
    result = remux(data, tone_bursts(2.0))
    rotations = []
    for clip in (data, result):
        with av.open(io.BytesIO(clip)) as container:
            rotations.append(next(container.decode(video=0)).rotation)
    assert rotations[0] == rotations[1] != 0


@pytest.mark.parametrize("front", [True, False])
def test_index_stays_at_its_end_of_the_file(front: bool) -> None:
    data = build(Recipe())
    assert not moov_first(data)
    if front:
        data = faststart(data)
    result = remux(data, tone_bursts(2.0))
    assert moov_first(result) == front
    assert packets(result) == packets(data)


def test_real_clip_with_six_channels(media_dir: Path) -> None:
    data = (media_dir / "video" / "bigbuckbunny.mp4").read_bytes()
    sound = decode_audio(data)
    assert sound is not None
    result = remux(data, sound)
    again = decode_audio(result)
    assert again is not None
    assert packets(result) == packets(data)
    assert again.samples.shape == sound.samples.shape == (6, 254_976)
    # One channel at a time: a swapped pair would not show in the sum.
    for channel in range(6):
        one = np.s_[channel : channel + 1]
        if np.abs(sound.samples[one]).max() > 0.01:
            assert snr_db(sound.samples[one], again.samples[one]) > 20


def test_unknown_codec_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"unknown audio codec 'vorbiz'; known: source, aac"):
        remux(build(Recipe()), tone_bursts(2.0), audio_codec="vorbiz")


def test_codec_that_the_container_cannot_hold_is_refused() -> None:
    data = build(Recipe(muxer="webm", video_codec="libvpx", video_options=VP8, audio_codec="libopus"))
    with pytest.raises(MediaError, match="cannot write the webm container with flac sound") as caught:
        remux(data, tone_bursts(2.0), audio_codec="flac")
    assert (caught.value.reason, caught.value.stage) == (FailureReason.WRITE_FAILED, Stage.WRITE)


def test_container_that_is_not_written_is_refused() -> None:
    data = build(Recipe(muxer="adts", video_codec=None))
    with pytest.raises(MediaError, match="cannot write aac containers again; convert") as caught:
        remux(data, tone_bursts(2.0))
    assert caught.value.reason == FailureReason.UNSUPPORTED_MEDIA


def test_rate_that_opus_lacks_is_resampled_for_webm_only() -> None:
    data = build(Recipe(muxer="webm", video_codec="libvpx", video_options=VP8, audio_codec=None))
    sound = tone_bursts(2.0, rate=44_100)
    again = decode_audio(remux(data, sound))
    assert again is not None
    assert again.rate == 48_000
    assert again.length == 96_000


@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]),
    channels=st.sampled_from([1, 2, 6]),
    samples=st.integers(1, 12_000),
    codec=st.sampled_from(["flac", "source"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_length_rate_and_layout(rate: int, channels: int, samples: int, codec: str) -> None:
    sound = Waveform(tone_bursts(samples / rate + 0.001, rate, channels).samples[:, :samples].copy(), rate)
    again = decode_audio(remux(CLIP, sound, audio_codec=codec))
    assert again is not None
    assert again.samples.shape == sound.samples.shape
    if codec == "flac":
        assert np.array_equal(again.samples, sound.samples)


CLIP = build(Recipe(frames=12))
