"""Sound laid out by its timestamps: holes, overlaps, jitter, and clocks that do not agree."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_samples import VP8, Recipe, build, lag_in_samples, tone_bursts

from avagent.core.media import Waveform
from avagent.dsp.measures.sound_facts import measure
from avagent.media.container import decode_audio, probe, remux
from avagent.media.timeline import Timeline

RATE = 48_000
SOUND = tone_bursts(2.0)


def laid_out(times: list[float], step: int = 1024, *, damaged: tuple[int, ...] = ()) -> np.ndarray:
    line = Timeline(RATE, lambda _: None)
    for index, time in enumerate(times):
        block = SOUND.samples[:, index * step : (index + 1) * step]
        line.add(block, Fraction(round(time * 1e6), 1_000_000), after_damage=index in damaged)
    return line.samples()


def steady(count: int, step: int = 1024, factor: float = 1.0) -> list[float]:
    return [index * step / RATE * factor for index in range(count)]


@given(st.lists(st.floats(-0.014, 0.014), min_size=90, max_size=90))
@settings(max_examples=50, deadline=None)
def test_jitter_changes_no_sample(jitter: list[float]):
    times = [time + 0.02 + off for time, off in zip(steady(90), jitter, strict=True)]
    # Every deviation is judged from the first timestamp on.
    assert np.array_equal(laid_out(times), SOUND.samples[:, : 90 * 1024])


@pytest.mark.parametrize("back", [0.05, 0.2, 0.5])
def test_what_comes_twice_is_heard_once(back: float):
    times = steady(40) + [time - back for time in steady(80)[40:]]
    out = laid_out(times)
    cut = 40 * 1024 - round(back * RATE)
    wanted = np.concatenate([SOUND.samples[:, : 40 * 1024], SOUND.samples[:, 40 * 1024 + round(back * RATE) :]], axis=1)
    assert out.shape[1] == 80 * 1024 - round(back * RATE)
    assert np.array_equal(out[:, :cut], wanted[:, :cut])
    assert np.array_equal(out[:, 40 * 1024 :], wanted[:, 40 * 1024 : out.shape[1]])


@pytest.mark.parametrize("gap", [0.04, 0.3, 2.0])
def test_a_hole_is_silent(gap: float):
    times = steady(40) + [time + gap for time in steady(80)[40:]]
    out = laid_out(times)
    width = round(gap * RATE)
    assert not out[:, 40 * 1024 : 40 * 1024 + width].any()
    assert np.array_equal(out[:, 40 * 1024 + width :], SOUND.samples[:, 40 * 1024 : 80 * 1024])


def test_many_small_holes_are_not_taken_for_a_drift():
    times, at = [], 0.0
    for index in range(80):
        at += 0.010 if index % 20 == 10 else 0.0
        times.append(index * 1024 / RATE + at)
    out = laid_out(times)
    assert abs(out.shape[1] - (80 * 1024 + round(0.03 * RATE))) < 0.031 * RATE
    assert lag_in_samples(SOUND.samples[:, : 10 * 1024], out[:, : 10 * 1024]) == 0


@pytest.mark.parametrize("factor", [0.96, 0.98, 1.0204, 1.04])
def test_a_clock_that_drifts_is_followed(factor: float):
    clicks = np.arange(5_000, 90_000, 7_919)
    line = Timeline(RATE, lambda _: None)
    sound = np.zeros((1, 90 * 1024), np.float32)
    sound[0, clicks] = 1.0
    for index, time in enumerate(steady(90, factor=factor)):
        line.add(sound[:, index * 1024 : (index + 1) * 1024], Fraction(time))
    out = line.samples()[0]
    assert out.size == pytest.approx(90 * 1024 * factor, abs=2)
    for click in clicks:
        place = round(click * factor)
        assert abs(int(np.abs(out[place - 200 : place + 200]).argmax()) - 200) <= 2


def test_timestamps_that_are_no_clock_are_not_followed():
    assert laid_out(steady(90, factor=0.8)).shape[1] == 90 * 1024


def test_a_small_hole_behind_damage_is_filled():
    times = [*steady(10), *(time + 0.005 for time in steady(20)[10:])]
    assert laid_out(times, damaged=(10,)).shape[1] == 20 * 1024 + 240
    assert laid_out(times).shape[1] == 20 * 1024


def restamped(data: bytes, change: Callable[[float], float], muxer: str) -> bytes:
    """The file with other times of its sound's packets."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as given, av.open(buffer, "w", format=muxer) as out:
        copies = [out.add_stream_from_template(s, opaque=True) for s in given.streams]
        packets = [p for p in given.demux() if p.size]
        last = -1
        for p in packets:
            if p.stream.type == "audio":
                p.pts = max(round(change(float(p.pts * p.time_base)) / p.time_base), last + 1)
                p.dts = last = p.pts
                p.duration = 0
        for p in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            p.stream = copies[p.stream_index]
            out.mux(p)
    return buffer.getvalue()


CODECS = [
    ("matroska", "mpeg4", "aac"),
    ("matroska", "mpeg4", "libmp3lame"),
    ("matroska", "mpeg4", "pcm_s16le"),
    ("matroska", "mpeg4", "flac"),
    ("webm", "libvpx", "libopus"),
]


@pytest.mark.parametrize(("muxer", "video", "audio"), CODECS)
@pytest.mark.parametrize("factor", [0.98, 1.03])
def test_drift_is_noticed_and_the_repaired_sound_lies_where_it_was_shown(
    muxer: str, video: str, audio: str, factor: float
):
    sound = tone_bursts(4.0)
    options = VP8 if video == "libvpx" else {"g": "10"}
    whole = build(
        Recipe(muxer=muxer, video_codec=video, audio_codec=audio, sound=sound, video_options=options, frames=100)
    )
    data = restamped(whole, lambda time: time * factor, muxer)
    info = probe(data)
    assert info.audio_drift == pytest.approx(factor - 1, abs=0.002)
    assert probe(whole).audio_drift == 0.0
    shown = decode_audio(data)
    assert shown is not None
    assert measure(shown, streams=info).clock_drift == info.audio_drift
    assert shown.duration == pytest.approx(4.0 * factor, abs=0.03)
    again = decode_audio(remux(data, shown))
    assert again is not None
    assert again.length == shown.length
    assert lag_in_samples(shown.samples, again.samples) == 0


@pytest.mark.parametrize(("muxer", "video", "audio"), CODECS)
def test_joined_pieces_whose_times_overlap(muxer: str, video: str, audio: str):
    """As of broadcasts: from 1 s on, all comes 200 ms earlier than the samples say."""
    sound = tone_bursts(2.0)
    options = VP8 if video == "libvpx" else {"g": "10"}
    whole = build(Recipe(muxer=muxer, video_codec=video, audio_codec=audio, sound=sound, video_options=options))
    data = restamped(whole, lambda time: time - (0.2 if time > 1.0 else 0.0), muxer)
    shown, before = decode_audio(data), decode_audio(whole)
    assert shown is not None
    assert before is not None
    assert shown.duration == pytest.approx(1.8, abs=0.03)
    late = lag_in_samples(before.samples[:, 72_000:], shown.samples[:, 72_000 - 9_600 :])
    assert abs(late) <= 0.03 * RATE
    assert probe(data).audio_drift == 0.0
    again = decode_audio(remux(data, Waveform(shown.samples, shown.rate)))
    assert again is not None
    assert again.length == shown.length
