"""Waveforms and spectrograms show what is in a sound, on one scale; players hold it."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from media_samples import Recipe, build

from avagent.core.media import Waveform
from avagent.media.container import decode_audio, sample_frames
from avagent.media.preview import PlayerChoice, encode_webp, make_players
from avagent.report.charts import WIDTH as CHART_WIDTH
from avagent.report.charts import steps
from avagent.report.pictures import HEIGHT, LOWEST_HZ, WIDTH, draw, frequency_ticks

CHOICE = PlayerChoice(seconds=2.0, picture_rate=100_000, sound_rate=48_000, max_side=64, stills=4)


def tone(hertz: float, seconds: float = 2.0, rate: int = 16_000, level: float = 0.5) -> Waveform:
    t = np.arange(round(seconds * rate)) / rate
    return Waveform((level * np.sin(2 * np.pi * hertz * t))[np.newaxis].astype(np.float32), rate)


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 5000.0])
def test_a_tone_is_a_bright_line_at_its_frequency(hertz: float):
    scale, (drawn,) = draw([tone(hertz)], 2.0)
    rows = drawn.pixels.astype(int).sum(axis=(1, 2))
    expected = HEIGHT * (1 - np.log(hertz / LOWEST_HZ) / np.log(scale.top_hz / LOWEST_HZ))
    assert abs(int(rows.argmax()) - expected) <= 2
    assert drawn.pixels.shape == (HEIGHT, WIDTH, 3)


def test_both_sounds_are_on_one_scale():
    loud, soft = tone(1000.0), tone(1000.0, level=0.05)
    _, (first, second) = draw([loud, soft], 2.0)
    assert int(second.pixels.max()) < int(first.pixels.max())
    spans = [max(_heights(d.path)) - min(_heights(d.path)) for d in (first, second)]
    assert spans[0] == pytest.approx(96, abs=3)
    assert spans[1] == pytest.approx(9.6, abs=3)


def test_a_shorter_sound_takes_its_part_of_the_width():
    _, (_, half) = draw([tone(1000.0), tone(1000.0, seconds=1.0)], 2.0)
    columns = half.pixels.astype(int).sum(axis=(0, 2))
    assert columns[: WIDTH // 2 - 12].min() > columns[WIDTH // 2 + 12 :].max()


def test_ticks_stand_where_their_frequencies_are():
    scale, _ = draw([tone(1000.0, rate=48_000)], 2.0)
    assert [text for text, _ in frequency_ticks(scale)] == ["100 Hz", "1 kHz", "4 kHz"]


def test_silence_and_broken_samples_are_drawn():
    broken = np.zeros((1, 1600), np.float32)
    broken[0, 5] = np.nan
    _, (drawn,) = draw([Waveform(broken, 16_000)], 2.0)
    assert drawn.path.startswith("M0,")


def test_a_histogram_is_as_wide_as_its_chart_and_as_high_as_its_top():
    path = steps([0, 4, 2], 4)
    assert path.endswith("V150Z")
    assert f"H{CHART_WIDTH}.0" in path
    assert "V0.0" in path


def _heights(path: str) -> list[int]:
    return [int(point.split(",")[1].rstrip("Z")) for point in path[1:].split(" ")]


def test_a_player_holds_picture_and_sound_in_time():
    clip = build(Recipe(size=(96, 64), frames=50))
    made = make_players(clip, (tone(1000.0, rate=44_100), tone(300.0)), CHOICE)
    assert len(made["players"]) == 2
    for data, hertz in zip(made["players"], (1000.0, 300.0), strict=True):
        frames = sample_frames(data, 4, exact=True)
        assert frames is not None
        assert frames.pixels.shape[1:3] == (42, 64)
        sound = decode_audio(data)
        assert sound is not None
        assert sound.duration == pytest.approx(2.0, abs=0.05)
        spectrum = np.abs(np.fft.rfft(sound.mono()))
        assert spectrum.argmax() * sound.rate / sound.length == pytest.approx(hertz, abs=2)
        with av.open(io.BytesIO(data)) as container:
            assert [s.codec_context.name for s in container.streams] == ["vp8", "opus"]
    assert made["times"] == sorted(made["times"])
    assert all(data[:4] == b"RIFF" for data in made["stills"])


def test_without_room_for_the_picture_there_is_sound_alone():
    choice = PlayerChoice(seconds=1.0, picture_rate=0, sound_rate=48_000, max_side=64, stills=2)
    made = make_players(build(Recipe()), (tone(500.0),), choice)
    with av.open(io.BytesIO(made["players"][0])) as container:
        assert [s.type for s in container.streams] == ["audio"]
    assert len(made["stills"]) == 2
    assert make_players(None, (tone(500.0),), choice)["stills"] == []


def test_a_webp_is_the_picture():
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, 24:] = (200, 100, 50)
    data = encode_webp(pixels, 95)
    with av.open(io.BytesIO(data)) as container:
        found = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(found[4:28, 30:44] - (200, 100, 50)).max() < 12
