"""Dropouts before and behind a lossy codec, and sound that has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avagent.core.actions import FillBlanks
from avagent.core.media import Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.faults import Dropouts, inject
from avagent.dsp.measures.gaps import find_gaps
from avagent.media.container import decode_audio, encode_audio

FAULT = Dropouts(lengths_ms=(20.0, 30.0, 50.0, 80.0))


def recording(path: Path) -> Waveform:
    waveform = decode_audio(path.read_bytes())
    assert waveform is not None
    return Waveform(waveform.samples[:, : 6 * waveform.rate].copy(), waveform.rate)


def through_aac(waveform: Waveform) -> Waveform:
    coded = decode_audio(encode_audio(waveform, "m4a", audio_codec="aac"))
    assert coded is not None
    return coded


@pytest.fixture(scope="module")
def recordings(media_dir: Path) -> list[Waveform]:
    names = ("animals/birds/rooster", "animals/mammals/bovines/cow", "hobbies/music/percussion/drumkit")
    return [recording(media_dir / "stamps" / f"{name}.ogg") for name in names]


@pytest.mark.parametrize("lossy", [False, True])
def test_dropouts_are_found_and_filled(recordings: list[Waveform], lossy: bool):
    for number, clean in enumerate(recordings):
        made = inject(FAULT, clean, seed=number)
        heard = through_aac(made.waveform) if lossy else made.waveform
        found = find_gaps(heard)
        gaps = found.gaps
        assert lossy or not found.coded
        assert len(gaps) == len(made.truth.gaps)
        reach = round(0.005 * clean.rate)
        for gap, true in zip(gaps, made.truth.gaps, strict=True):
            assert abs(gap.start - true.start) <= reach
            assert abs(gap.stop - true.stop) <= reach
        filled = apply(FillBlanks(coded=found.coded), heard).waveform
        inside = np.concatenate([np.arange(gap.start, gap.stop) for gap in gaps])
        assert np.square(filled.samples[:, inside]).sum() > 10 * np.square(heard.samples[:, inside]).sum()
        outside = np.ones(heard.length, bool)
        outside[inside] = False
        assert np.array_equal(filled.samples[:, outside], heard.samples[:, outside])


def test_sound_without_dropouts_is_left_alone(recordings: list[Waveform]):
    for clean in recordings:
        for heard in (clean, through_aac(clean)):
            assert find_gaps(heard).gaps == ()
            assert apply(FillBlanks(coded=True), heard).waveform is heard
