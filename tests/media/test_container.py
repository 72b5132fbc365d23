"""Probing and decoding."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_samples import (
    VP8,
    Recipe,
    build,
    faststart,
    lag_in_samples,
    reason_of,
    snr_db,
    song_with_cover,
    spoil,
    tone_bursts,
)

from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import Waveform
from avagent.media.container import (
    MediaLimits,
    decode_audio,
    decode_motion,
    encode_audio,
    probe,
    remux,
    sample_frames,
)

CLIP = build(Recipe())


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    """A float WAV file, float32 [channels, samples]: written by hand, for encoders refuse NaN."""
    body = np.ascontiguousarray(samples.T, "<f4").tobytes()
    channels = samples.shape[0]
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, channels, rate, rate * channels * 4, channels * 4, 32)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(body), b"WAVE") + form + struct.pack("<4sI", b"data", len(body)) + body
    )


class TestProbe:
    def test_clip(self) -> None:
        info = probe(CLIP)
        assert (info.has_audio, info.has_video) == (True, True)
        assert (info.audio_codec, info.video_codec) == ("aac", "mpeg4")
        assert (info.rate, info.channels, info.width, info.height, info.frame_rate) == (48_000, 2, 64, 48, 25.0)
        assert info.audio_duration == pytest.approx(2.0, abs=1e-3)
        assert info.video_duration == pytest.approx(2.0, abs=1e-3)

    def test_real_clip(self, media_dir: Path) -> None:
        info = probe((media_dir / "video" / "bigbuckbunny.mp4").read_bytes())
        assert (info.audio_codec, info.video_codec, info.channels, info.rate) == ("aac", "h264", 6, 48_000)
        assert (info.width, info.height, info.frame_rate) == (1280, 720, 25.0)
        assert (info.audio_duration, info.video_duration) == (5.312, 5.28)

    def test_matroska_durations_are_those_of_the_streams(self) -> None:
        info = probe(build(Recipe(muxer="matroska", audio_codec="flac", sound=tone_bursts(3.0))))
        assert info.audio_duration == pytest.approx(3.0, abs=2e-3)
        assert info.video_duration == pytest.approx(2.0, abs=2e-3)

    @pytest.mark.parametrize("muxer", ["mp4", "matroska"])
    def test_starts(self, muxer: str) -> None:
        late = probe(build(Recipe(muxer=muxer, audio_codec="flac", audio_start=0.5)))
        assert (late.audio_start, late.video_start) == (0.5, 0.0)

    def test_streams_that_are_not_there(self) -> None:
        silent = probe(build(Recipe(audio_codec=None)))
        assert (silent.has_audio, silent.audio_codec, silent.rate) == (False, None, None)
        blind = probe(build(Recipe(video_codec=None)))
        assert (blind.has_video, blind.video_codec, blind.width) == (False, None, None)

    def test_cover_art_is_no_video(self) -> None:
        assert not probe(song_with_cover()).has_video
        assert sample_frames(song_with_cover()) is None
        assert decode_motion(song_with_cover()) is None

    @pytest.mark.parametrize("codec", ["libopus", "flac"])
    def test_truncated_matroska(self, codec: str) -> None:
        data = build(Recipe(muxer="matroska", audio_codec=codec, frames=100, sound=tone_bursts(4.0)))
        with pytest.raises(MediaError, match=r"ends after \d\.\d+ s of the 4\.0\d s declared: it is truncated"):
            probe(data[: len(data) // 2])


class TestDecodeAudio:
    @pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
    def test_pcm_is_exact(self, codec: str) -> None:
        sound = tone_bursts(0.4)
        decoded = decode_audio(build(Recipe(muxer="wav", video_codec=None, audio_codec=codec, sound=sound)))
        assert decoded is not None
        assert decoded.samples.dtype == np.float32
        assert np.array_equal(decoded.samples, sound.samples)

    def test_eight_bits(self) -> None:
        sound = tone_bursts(0.4)
        decoded = decode_audio(build(Recipe(muxer="wav", video_codec=None, audio_codec="pcm_u8", sound=sound)))
        assert decoded is not None
        assert np.abs(decoded.samples - sound.samples).max() <= 1 / 128

    @pytest.mark.parametrize(("muxer", "codec"), [("mp4", "aac"), ("mp4", "libmp3lame"), ("matroska", "libopus")])
    def test_lossy_is_in_time(self, muxer: str, codec: str) -> None:
        sound = tone_bursts(2.0)
        decoded = decode_audio(build(Recipe(muxer=muxer, audio_codec=codec, sound=sound)))
        assert decoded is not None
        assert decoded.length == sound.length
        assert lag_in_samples(sound.samples, decoded.samples) == 0
        assert snr_db(sound.samples, decoded.samples) > 15

    def test_channels_keep_their_order(self) -> None:
        silence = np.zeros((6, 24_000), np.float32)
        silence[3] = tone_bursts(0.5, channels=1).samples[0]
        decoded = decode_audio(build(Recipe(muxer="matroska", audio_codec="flac", sound=Waveform(silence, 48_000))))
        assert decoded is not None
        assert np.array_equal(decoded.samples, silence)

    def test_no_sound(self) -> None:
        assert decode_audio(build(Recipe(audio_codec=None))) is None

    def test_very_short(self) -> None:
        for samples in (1, 50, 2_400):
            sound = Waveform(tone_bursts(0.1).samples[:, :samples].copy(), 48_000)
            decoded = decode_audio(encode_audio(sound, "wav"))
            assert decoded is not None
            assert np.array_equal(decoded.samples, sound.samples)

    def test_delayed_sound_starts_at_its_own_first_sample(self) -> None:
        sound = tone_bursts(1.0)
        for muxer in ("mp4", "matroska"):
            decoded = decode_audio(build(Recipe(muxer=muxer, audio_codec="flac", sound=sound, audio_start=0.75)))
            assert decoded is not None
            assert np.array_equal(decoded.samples, sound.samples)

    def test_holes_in_the_timestamps_become_silence(self) -> None:
        sound = tone_bursts(2.0)
        recipe = Recipe(muxer="matroska", audio_codec="pcm_s16le", sound=sound)
        decoded = decode_audio(build(Recipe(**{**fields(recipe), "dropped_audio": tuple(range(20, 30))})))
        assert decoded is not None
        # Matroska counts in ms, so the sound behind the hole is placed to the ms.
        assert abs(decoded.length - sound.length) <= 48
        hole = decoded.samples[:, 20 * 1024 : 30 * 1024 - 48]
        assert not hole.any()
        assert np.array_equal(decoded.samples[:, : 20 * 1024], sound.samples[:, : 20 * 1024])
        behind = decoded.samples[:, -1024 * 40 :]
        assert np.array_equal(behind, sound.samples[:, -1024 * 40 :])

    def test_jitter_of_timestamps_is_no_hole(self) -> None:
        sound = tone_bursts(2.0, rate=44_100)
        decoded = decode_audio(build(Recipe(muxer="matroska", audio_codec="flac", sound=sound)))
        assert decoded is not None
        assert np.array_equal(decoded.samples, sound.samples)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_samples_that_are_no_numbers(self, value: float) -> None:
        samples = tone_bursts(0.2, 16_000).samples.copy()
        samples[0, 100:103] = value
        with pytest.raises(MediaError, match="holds 3 samples that are NaN or infinite; export it again") as caught:
            decode_audio(wav(samples))
        assert caught.value.reason == FailureReason.NON_FINITE_SAMPLES

    def test_one_damaged_packet_becomes_silence_and_the_rest_stays_in_time(self) -> None:
        sound = tone_bursts(2.0)
        data = bytearray(build(Recipe(audio_codec="flac", sound=sound)))
        spoil(data, "audio", [8])
        decoded = decode_audio(bytes(data))
        assert decoded is not None
        assert abs(decoded.length - sound.length) <= 1
        assert lag_in_samples(sound.samples, decoded.samples) == 0
        wrong = np.flatnonzero((decoded.samples[:, : sound.length] != sound.samples[:, : decoded.length]).any(axis=0))
        assert wrong.max() - wrong.min() < 4608

    def test_many_damaged_packets_are_refused(self) -> None:
        data = bytearray(build(Recipe(audio_codec="flac")))
        spoil(data, "audio", [3, 5, 7, 9])
        assert reason_of(decode_audio, bytes(data)) == FailureReason.CORRUPT_MEDIA

    def test_truncated_sound_is_refused(self) -> None:
        whole = build(Recipe(frames=100, sound=tone_bursts(4.0)))
        front = faststart(whole)
        # The index at the end: without it, nothing can be found. At the front: it tells what is missing.
        assert reason_of(decode_audio, whole[: len(whole) // 2]) == FailureReason.CORRUPT_MEDIA
        assert reason_of(decode_audio, front[: len(front) // 2]) == FailureReason.CORRUPT_MEDIA
        wave = encode_audio(tone_bursts(2.0), "wav")
        assert reason_of(decode_audio, wave[: len(wave) // 2]) == FailureReason.CORRUPT_MEDIA
        song = encode_audio(tone_bursts(2.0), "flac")
        with pytest.raises(MediaError, match=r"ends after 0\.\d+ s of the 2\.00 s declared: the member is truncated"):
            decode_audio(song[: len(song) // 3])


def fields(recipe: Recipe) -> dict[str, object]:
    return {name: getattr(recipe, name) for name in recipe.__dataclass_fields__}


class TestBadInput:
    CALLS = (probe, decode_audio, sample_frames, decode_motion)

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("data", [b"", b"\0" * 5000, b"just text", CLIP[:200], CLIP[: len(CLIP) // 2]])
    def test_corrupt(self, call: object, data: bytes) -> None:
        assert reason_of(call, data) == FailureReason.CORRUPT_MEDIA

    def test_messages_say_what_and_what_to_do(self) -> None:
        with pytest.raises(MediaError, match="the media member has zero bytes; replace the member or drop the clip"):
            probe(b"")
        with pytest.raises(
            MediaError, match=r"cannot open the media member \(9 bytes\): Invalid data.* not one of mp4, .*; replace"
        ):
            probe(b"just text")

    def test_containers_that_are_not_handled(self) -> None:
        for muxer in ("nut", "wtv"):
            data = build(Recipe(muxer=muxer, audio_codec="libmp3lame", video_options={"g": "10"}))
            assert reason_of(probe, data) == FailureReason.CORRUPT_MEDIA

    def test_playlist_opens_nothing_else(self, tmp_path: Path) -> None:
        target = tmp_path / "target.wav"
        target.write_bytes(encode_audio(tone_bursts(1.0), "wav"))
        hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{target}\n#EXT-X-ENDLIST\n".encode()
        concat = f"ffconcat version 1.0\nfile '{target}'\n".encode()
        for script in (hls, concat):
            assert reason_of(probe, script) == FailureReason.CORRUPT_MEDIA
            assert reason_of(decode_audio, script) == FailureReason.CORRUPT_MEDIA

    @pytest.mark.parametrize(
        ("limits", "match"),
        [
            (MediaLimits(media_seconds=1.0), "declares 2 s, the limit is 1 s"),
            (MediaLimits(picture_side=50), "declares pictures of 64x48"),
            (MediaLimits(picture_pixels=1000), "declares pictures of an impossible size or too many pixels"),
            (MediaLimits(channels=1), "declares 2 channels at 48000 Hz"),
            (MediaLimits(sample_rate=16_000), "declares 2 channels at 48000 Hz"),
            (MediaLimits(streams=1), "declares 2 streams"),
        ],
    )
    def test_declared_values_beyond_the_limits(self, limits: MediaLimits, match: str) -> None:
        with pytest.raises(MediaError, match=match) as caught:
            probe(CLIP, limits=limits)
        assert caught.value.reason == FailureReason.LIMIT_EXCEEDED

    def test_sound_that_decodes_to_more_than_the_limit(self) -> None:
        assert reason_of(decode_audio, CLIP, limits=MediaLimits(sound_bytes=9999)) == FailureReason.LIMIT_EXCEEDED

    @given(st.data())
    @settings(max_examples=150, deadline=None)
    def test_any_damage_gives_a_media_error_or_a_valid_result(self, data: st.DataObject) -> None:
        clip = bytearray(SMALL_CLIPS[data.draw(st.sampled_from(sorted(SMALL_CLIPS)), label="clip")])
        for _ in range(data.draw(st.integers(1, 12), label="bytes changed")):
            clip[data.draw(st.integers(0, len(clip) - 1))] = data.draw(st.integers(0, 255))
        clip = clip[: data.draw(st.integers(0, len(clip)), label="length")] if data.draw(st.booleans()) else clip
        for call in (probe, decode_audio, sample_frames, decode_motion, rewrite):
            try:
                result = call(bytes(clip))
            except MediaError:
                continue
            if isinstance(result, Waveform):
                assert np.isfinite(result.samples).all()


def rewrite(data: bytes) -> bytes:
    return remux(data, SHORT)


SHORT = tone_bursts(0.1)
SMALL_CLIPS = {
    "mp4": build(Recipe(frames=8)),
    "mkv": build(Recipe(frames=8, muxer="matroska", audio_codec="libopus")),
    "webm": build(Recipe(frames=8, muxer="webm", video_codec="libvpx", video_options=VP8, audio_codec="libopus")),
    "mov": build(Recipe(frames=8, muxer="mov", audio_codec="pcm_s16le")),
    "fragmented": build(Recipe(frames=8, options={"movflags": "+frag_keyframe+empty_moov"})),
    "wav": encode_audio(tone_bursts(0.2), "wav"),
    "ogg": encode_audio(tone_bursts(0.2), "ogg"),
    "mp3": encode_audio(tone_bursts(0.2), "mp3"),
    "flac": encode_audio(tone_bursts(0.2), "flac"),
}


def test_subtitles_may_outlast_sound_and_picture():
    data = build(Recipe(muxer="matroska", frames=8, subtitles=True))
    assert probe(data).video_duration == pytest.approx(8 / 25, abs=0.05)
