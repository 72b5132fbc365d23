"""Sound as people have it: named for another container, in codecs that their container tells no delay of, of many
channels."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
import pytest
from media_samples import VP8, Recipe, build, lag_in_samples, reason_of, snr_db, tone_bursts

from avagent.core.actions import Volume
from avagent.core.clip import Clip, Member
from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import Waveform
from avagent.media.container import decode_audio, encode_audio, probe, remux
from avagent.media.repair import repair_sound

FROM_BYTES = [
    # muxer, codec, suffix it is under, codec that comes out
    ("mp4", "aac", "wav", "aac"),
    ("mp4", "aac", "mp3", "aac"),
    ("mp4", "libopus", "m4a", "opus"),
    ("mp4", "flac", "m4a", "flac"),
    ("mp4", "aac", "mkv", "aac"),
    ("wav", "pcm_s16le", "mp3", "pcm_s16le"),
    ("wav", "pcm_f32le", "flac", "pcm_f32le"),
    ("wav", "pcm_mulaw", "m4a", "pcm_mulaw"),
    ("wav", "adpcm_ms", "wav", "pcm_s16le"),
    ("mp3", "libmp3lame", "m4a", "mp3"),
    ("mp3", "libmp3lame", "ogg", "mp3"),
    ("webm", "libopus", "m4a", "opus"),
    ("webm", "libopus", "mp3", "opus"),
    ("matroska", "pcm_s16le", "wav", "pcm_s16le"),
    ("ogg", "libopus", "mp3", "opus"),
    ("ogg", "flac", "flac", "flac"),
    ("flac", "flac", "wav", "flac"),
]


@pytest.mark.parametrize(("muxer", "codec", "suffix", "wanted"), FROM_BYTES)
def test_the_container_is_what_the_bytes_are(muxer: str, codec: str, suffix: str, wanted: str):
    data = build(Recipe(muxer=muxer, video_codec=None, audio_codec=codec, sound=tone_bursts(1.5)))
    result = repaired_member(data, suffix)
    with av.open(io.BytesIO(data)) as before, av.open(io.BytesIO(result)) as after:
        assert after.format.name == before.format.name
    assert probe(result).audio_codec == wanted


def repaired_member(data: bytes, suffix: str) -> bytes:
    """Through the whole repair; the sound comes out as it should, to the sample."""
    name = f"a.{suffix}"
    clip = Clip(key="a", members=(Member(name=name, suffix=suffix, data=data),))
    sound = decode_audio(data)
    assert sound is not None
    member = repair_sound(clip, [Volume(target_lufs=-30.0)])
    again = decode_audio(member.data)
    assert again is not None
    assert member.name == name
    assert (again.rate, again.samples.shape) == (sound.rate, sound.samples.shape)
    assert lag_in_samples(sound.samples, again.samples) == 0
    return member.data


@pytest.mark.parametrize(
    ("muxer", "codec"),
    [
        ("wav", "libmp3lame"),
        ("wav", "ac3"),
        ("wav", "eac3"),
        ("wav", "mp2"),
        ("avi", "libmp3lame"),
        ("avi", "aac"),
        ("avi", "ac3"),
        ("avi", "mp2"),
    ],
)
def test_a_container_that_tells_no_delay_gets_a_lossless_codec(muxer: str, codec: str):
    """MP3 in WAV came out 23 ms later with each repair, AC-3 5 ms."""
    video = None if muxer == "wav" else "mpeg4"
    data = build(Recipe(muxer=muxer, video_codec=video, audio_codec=codec, video_options={"g": "10"}))
    suffix = "wav" if muxer == "wav" else "mp4"
    result = repaired_member(data, suffix)
    assert probe(result).audio_codec == ("pcm_s16le" if codec == "mp2" else "pcm_s24le")
    again = repaired_member(result, suffix)
    sounds = [decode_audio(d) for d in (data, again)]
    assert lag_in_samples(sounds[0].samples, sounds[1].samples) == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(("suffix", "wanted"), [("m4a", "aac"), ("mp4", "aac"), ("mp3", "mp3"), ("wav", "pcm_s24le")])
def test_a_stream_without_a_container_gets_one(suffix: str, wanted: str):
    data = build(Recipe(muxer="adts", video_codec=None))
    result = repaired_member(data, suffix)
    assert probe(result).audio_codec == wanted


@pytest.mark.parametrize("codec", ["pcm_mulaw", "pcm_alaw", "adpcm_ima_wav", "pcm_s16le"])
def test_pcm_that_a_muxer_does_not_take_becomes_lossless(codec: str):
    """µ-law in Matroska can be read, but FFmpeg writes it to other containers only: here by way of AVI's tags."""
    data = build(Recipe(muxer="avi", audio_codec=codec, sound=tone_bursts(2.0), video_options={"g": "10"}))
    sound = decode_audio(data)
    assert sound is not None
    result = remux(data, sound)
    again = decode_audio(result)
    assert again is not None
    assert np.array_equal(again.samples[:, : sound.length], sound.samples) or codec in ("pcm_mulaw", "pcm_alaw")
    assert snr_db(sound.samples, again.samples) > 100


def planar(sound: Waveform, muxer: str, codec: str, layout: str, **options: str) -> bytes:
    """By a resampler: PyAV's frames of eight planes and more cannot be filled from arrays."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer) as out:
        stream = out.add_stream(codec, rate=sound.rate, layout=layout, options=options)
        stream.codec_context.bit_rate = 96_000 * sound.channels
        stream.codec_context.open(strict=False)
        form, step = stream.codec_context.format.name, stream.codec_context.frame_size or 1024
        convert = av.AudioResampler(format=form, layout=layout, rate=sound.rate, frame_size=step)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.samples.T).reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.pts = sound.rate, 0
        for part in [*convert.resample(frame), *convert.resample(None)]:
            for packet in stream.encode(part):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return buffer.getvalue()


MANY = [
    ("mp4", "aac", "7.1", {}),
    ("mp4", "aac", "hexadecagonal", {}),
    ("matroska", "libopus", "7.1", {"mapping_family": "1"}),
    ("webm", "libopus", "7.1", {"mapping_family": "1"}),
    ("ogg", "libopus", "7.1", {"mapping_family": "1"}),
    ("ipod", "alac", "7.1(wide)", {}),
    ("mp4", "flac", "7.1", {}),
    ("flac", "flac", "7.1", {}),
    ("matroska", "wavpack", "7.1", {}),
    ("matroska", "pcm_f32le", "9.1.6", {}),
    ("wav", "pcm_s24le", "7.1", {}),
    ("wav", "pcm_s16le", "hexadecagonal", {}),
]


@pytest.mark.parametrize(("muxer", "codec", "layout", "options"), MANY)
def test_many_channels_are_decoded_and_stay_in_order(muxer: str, codec: str, layout: str, options: dict[str, str]):
    """PyAV reads beyond the planes of a frame of eight channels and more: the decoder died of it."""
    channels = 8 if layout.startswith("7.1") else 16
    sound = unlike_channels(channels)
    data = planar(sound, muxer, codec, layout, **options)
    decoded = decode_audio(data)
    assert decoded is not None
    assert loudest_channels(decoded, sound) == list(range(channels))
    result = remux(data, decoded)
    again = decode_audio(result)
    assert again is not None
    assert again.samples.shape == decoded.samples.shape
    assert loudest_channels(again, decoded) == list(range(channels))
    assert probe(result).audio_codec == probe(data).audio_codec
    assert probe(result).channels == channels


def unlike_channels(channels: int) -> Waveform:
    """Noise of its own in every channel, below 120 Hz so that a subwoofer's channel keeps it."""
    rng = np.random.default_rng(5)
    coarse = rng.standard_normal((channels, 200))
    samples = np.stack([np.interp(np.arange(48_000) / 240, np.arange(200), row) for row in coarse])
    return Waveform((samples * 0.1).astype(np.float32), 48_000)


def loudest_channels(sound: Waveform, other: Waveform) -> list[int]:
    """Of every channel, which of the other sound's it is most like."""
    n = min(sound.length, other.length)
    a, b = sound.samples[:, :n], other.samples[:, :n]
    alike = np.corrcoef(a, b)[: sound.channels, sound.channels :]
    return [int(i) for i in alike.argmax(axis=1)]


def test_webm_has_no_other_codec():
    data = build(Recipe(muxer="webm", video_codec="libvpx", audio_codec="libopus", video_options=VP8))
    with pytest.raises(MediaError, match="webm container with pcm_s16le sound") as caught:
        remux(data, tone_bursts(2.0), audio_codec="pcm_s16le")
    assert caught.value.reason == FailureReason.WRITE_FAILED


def test_a_new_member_is_of_the_kind_of_its_suffix():
    assert probe(encode_audio(tone_bursts(0.5, channels=1), "ogg")).audio_codec == "opus"


@pytest.mark.parametrize(
    ("muxer", "codec"), [("mp4", "aac"), ("mp4", "flac"), ("mov", "pcm_s16le"), ("ogg", "libopus")]
)
@pytest.mark.parametrize("samples", [1, 2, 10])
def test_a_sound_of_a_few_samples_is_written(muxer: str, codec: str, samples: int):
    data = build(Recipe(muxer=muxer, video_codec=None if muxer == "ogg" else "mpeg4", audio_codec=codec))
    sound = Waveform(np.full((2, samples), 0.25, np.float32), 48_000)
    again = decode_audio(remux(data, sound))
    assert again is not None
    assert again.samples.shape == (2, samples)


@pytest.mark.parametrize(("muxer", "codec"), [("mp3", "libmp3lame"), ("webm", "libopus")])
def test_or_the_clip_is_left_where_no_encoder_can(muxer: str, codec: str):
    video = "libvpx" if muxer == "webm" else None
    data = build(Recipe(muxer=muxer, video_codec=video, audio_codec=codec, video_options=VP8))
    with pytest.raises(MediaError, match="samples come out, not 1") as caught:
        remux(data, Waveform(np.full((2, 1), 0.25, np.float32), 48_000))
    assert caught.value.reason == FailureReason.UNSUPPORTED_SOUND


def sized(data: bytes, riff: int, samples: int) -> bytes:
    """A WAV with other sizes in its headers."""
    place = data.find(b"data") + 4
    return data[:4] + struct.pack("<I", riff) + data[8:place] + struct.pack("<I", samples) + data[place + 4 :]


PLACEHOLDERS = [
    pytest.param(0x7FFFF024, 0x7FFFF000, id="SoX"),
    pytest.param(0x7FFFFFFF, 0x7FFFFFFF, id="speech services"),
    pytest.param(0xFFFFFFFF, 0xFFFFFFFF, id="FFmpeg"),
    pytest.param(0x80000024, 0x80000000, id="arecord"),
    pytest.param(0xFFFFFFF7, 0xFFFFFFD3, id="4 GiB less the header"),
    pytest.param(0, 0, id="GStreamer"),
    pytest.param(None, 0xFFFFFFFF, id="the samples' size alone"),
    pytest.param(None, 0, id="no samples declared"),
    pytest.param(0x7FFFF024, None, id="the file's size alone"),
]


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le", "pcm_mulaw", "pcm_u8"])
@pytest.mark.parametrize(("riff", "samples"), PLACEHOLDERS)
def test_streamed_wav_is_read_to_its_end(riff: int | None, samples: int | None, codec: str):
    sound = tone_bursts(1.0)
    whole = build(Recipe(muxer="wav", video_codec=None, audio_codec=codec, sound=sound))
    declared = len(whole) - whole.find(b"data") - 8
    data = sized(whole, len(whole) - 8 if riff is None else riff, declared if samples is None else samples)
    decoded, before = decode_audio(data), decode_audio(whole)
    assert decoded is not None
    assert before is not None
    assert np.array_equal(decoded.samples, before.samples)
    assert probe(data).audio_duration == pytest.approx(1.0)
    again = encode_audio(decoded, "wav", data)
    assert again[4:8] == struct.pack("<I", len(again) - 8)


@pytest.mark.parametrize("factor", [1.1, 2, 1000])
def test_a_wav_that_was_cut_off_is_still_refused(factor: float):
    whole = build(Recipe(muxer="wav", video_codec=None, audio_codec="pcm_s16le", sound=tone_bursts(1.0)))
    data = sized(whole, int(len(whole) * factor), int(len(whole) * factor) - 36)
    assert reason_of(decode_audio, data) == FailureReason.CORRUPT_MEDIA
