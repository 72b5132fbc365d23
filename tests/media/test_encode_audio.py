"""Separate audio members."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from media_samples import Recipe, build, lag_in_samples, song_with_cover, tone_bursts

from avagent.core.errors import FailureReason, MediaError, ParameterError, Stage
from avagent.core.media import Waveform
from avagent.media.audio_codec import Source, possible_encodings
from avagent.media.container import decode_audio, encode_audio, probe


@pytest.mark.parametrize(
    ("suffix", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "mp3"), ("ogg", "opus"), ("m4a", "aac")]
)
def test_separate_audio_member(suffix: str, codec: str) -> None:
    sound = tone_bursts(1.3)
    data = encode_audio(sound, suffix)
    again = decode_audio(data)
    assert again is not None
    assert probe(data).audio_codec == codec
    assert again.samples.shape == sound.samples.shape
    assert lag_in_samples(sound.samples, again.samples) == 0
    like = encode_audio(sound, suffix, data)
    assert probe(like).audio_codec == codec
    assert encode_audio(sound, suffix, data) == like


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8"])
def test_wav_keeps_its_sample_format(codec: str) -> None:
    sound = tone_bursts(0.5, rate=22_050, channels=1)
    source = build(Recipe(muxer="wav", video_codec=None, audio_codec=codec, sound=sound, metadata={"title": "Meow"}))
    result = encode_audio(sound, "wav", source)
    again = decode_audio(result)
    assert again is not None
    assert probe(result).audio_codec == codec
    assert again.rate == 22_050
    assert np.abs(again.samples - sound.samples).max() <= (2.0**-8 if codec == "pcm_u8" else 0.0)
    with av.open(io.BytesIO(result)) as container:
        assert container.metadata.get("title") == "Meow"


def test_vorbis_becomes_opus_at_its_rates_and_flac_at_others() -> None:
    for rate, codec in ((48_000, "opus"), (22_050, "flac")):
        sound = tone_bursts(1.0, rate=rate)
        source = build(
            Recipe(muxer="ogg", video_codec=None, audio_codec="vorbis", audio_options={"strict": "-2"}, sound=sound)
        )
        result = encode_audio(sound, "ogg", source)
        again = decode_audio(result)
        assert again is not None
        assert (probe(result).audio_codec, again.rate, again.length) == (codec, rate, sound.length)


def test_sound_that_cannot_be_written() -> None:
    for samples, reason in (
        (np.zeros((2, 0), np.float32), FailureReason.WRITE_FAILED),
        (np.full((2, 9), np.nan, np.float32), FailureReason.NON_FINITE_SAMPLES),
    ):
        with pytest.raises(MediaError, match="the sound to write") as caught:
            encode_audio(Waveform(samples, 48_000), "wav")
        assert (caught.value.reason, caught.value.stage) == (reason, Stage.WRITE)


def test_cover_and_tags_are_kept() -> None:
    source = song_with_cover("Meow")
    result = encode_audio(tone_bursts(1.0), "mp3", source)
    with av.open(io.BytesIO(source)) as before, av.open(io.BytesIO(result)) as after:
        assert after.metadata.get("title") == "Meow"
        covers = [[bytes(p) for p in container.demux(video=0) if p.size] for container in (before, after)]
        assert covers[0] == covers[1] != []


def test_unknown_suffix_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"cannot write a \.aiff member; known suffixes: wav, flac"):
        encode_audio(tone_bursts(0.1), "aiff")


@pytest.mark.parametrize(
    ("rate", "most"),
    [(8_000, 64_000), (12_000, 64_000), (15_999, None), (16_000, 160_000), (24_000, 160_000), (32_000, 320_000)],
)
def test_an_mp3_gets_at_most_the_bit_rate_that_its_version_knows(rate: int, most: int | None) -> None:
    """MPEG-2 (16 kHz and more, ISO/IEC 13818-3) has other tables than MPEG-1 (32 kHz) and LAME's MPEG-2.5 (less)."""
    sound = tone_bursts(0.2, rate=rate)
    source = Source(codec="mp3", bit_rate=900_000)
    first = next(possible_encodings("mp3", "source", sound, source))
    assert (first.encoder, first.rate) == ("libmp3lame", rate if most else 48_000)
    assert first.bit_rate == (most or 320_000)
    least = next(possible_encodings("mp3", "source", sound, Source(codec="mp3", bit_rate=8_000)))
    assert (least.bit_rate or 0) >= 0.9 * 96_000 * 2 * min(rate, 48_000) / 48_000 or least.bit_rate == most
    encoded = encode_audio(sound, "mp3", build(Recipe(muxer="mp3", video_codec=None, audio_codec="libmp3lame")))
    assert probe(encoded).rate == (rate if most else 48_000)
