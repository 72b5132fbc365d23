"""Reading back what was written: each fault is found, and what codecs do is none."""

from __future__ import annotations

import numpy as np
import pytest
from iso_tools import set_track_edits
from media_samples import VP8, Recipe, build, reason_of, tone_bursts

from avagent.core.errors import FailureReason
from avagent.core.media import Waveform
from avagent.media.container import DEFAULT_LIMITS, decode_audio, remux
from avagent.media.written import check_pictures, sound_fault

SOUND = tone_bursts(2.0)


def fault(wanted: Waveform, written: Waveform, *, start: float | None = 0.0, codec: str = "flac") -> str | None:
    muxer = "matroska" if codec == "libopus" else "mp4"
    data = remux(build(Recipe(muxer=muxer, audio_codec=codec)), written)
    return sound_fault(data, wanted, start=start, rate=wanted.rate, muxer=muxer, limits=DEFAULT_LIMITS)


def moved(samples: int) -> Waveform:
    return Waveform(np.roll(SOUND.samples, samples, axis=1), SOUND.rate)


@pytest.mark.parametrize("codec", ["flac", "aac", "libopus", "ac3"])
def test_what_codecs_do_is_no_fault(codec: str):
    assert fault(SOUND, SOUND, codec=codec) is None


@pytest.mark.parametrize("samples", [-1105, -256, -2, 2, 256, 1024, 2257])
@pytest.mark.parametrize("codec", ["flac", "aac"])
def test_sound_out_of_time_is_found(samples: int, codec: str):
    assert f"{samples} samples late" in str(fault(SOUND, moved(samples), codec=codec))


def test_sound_too_short_too_long_or_of_other_channels_is_found():
    short = Waveform(SOUND.samples[:, :-2].copy(), SOUND.rate)
    assert "95998 samples come out, not 96000" in str(fault(SOUND, short))
    assert "96000 samples come out, not 95998" in str(fault(short, SOUND))
    mono = Waveform(SOUND.samples[:1].copy(), SOUND.rate)
    assert "1 channels at 48000 Hz come out" in str(fault(SOUND, mono))


def test_channels_in_another_order_are_found():
    swapped = Waveform(SOUND.samples[::-1].copy(), SOUND.rate)
    assert "channel 0 comes out as channel 1" in str(fault(SOUND, swapped))


def test_sound_that_begins_at_another_time_is_found():
    assert "begins at 0.0000 s, not at 0.0100 s" in str(fault(SOUND, SOUND, start=0.01))
    assert fault(SOUND, SOUND, start=None) is None


def test_what_cannot_be_decoded_is_found():
    fault = sound_fault(b"RIFF", SOUND, start=None, rate=48_000, muxer="wav", limits=DEFAULT_LIMITS)
    assert "cannot be decoded" in str(fault)


@pytest.mark.parametrize("silent", [np.zeros((2, 4800), np.float32), np.ones((1, 1), np.float32)])
def test_nothing_can_be_said_of_silence(silent: np.ndarray):
    assert fault(Waveform(silent, 48_000), Waveform(silent, 48_000)) is None


def test_pictures_that_come_later_more_often_or_otherwise_are_found():
    data = build(Recipe())
    sound = decode_audio(data)
    assert sound is not None
    check_pictures(data, remux(data, sound), DEFAULT_LIMITS)
    others = [
        build(Recipe(frames=49)),
        build(Recipe(video_start=0.2)),
        build(Recipe(still=True)),
        build(Recipe(audio_codec="aac", video_codec=None)),
        set_track_edits(data, 1, [(1200, 0)]),
        build(Recipe(video_codec="libvpx", muxer="webm", audio_codec="libopus", video_options=VP8)),
    ]
    for other in others:
        assert reason_of(check_pictures, data, other, DEFAULT_LIMITS) == FailureReason.UNSUPPORTED_STREAM
