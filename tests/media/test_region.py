"""One part of every picture: where it is cut, how many, and what is left of whole pictures."""

from __future__ import annotations

import numpy as np
import pytest
from media_samples import Recipe, build, picture

from avagent.core.errors import MediaError, ParameterError
from avagent.core.region import Region
from avagent.media.decoder_process import DecoderPool
from avagent.media.limits import DecodeLimits
from avagent.media.region import decode_region

LOSSLESS = build(Recipe(frames=50, video_codec="ffv1", video_options={}, muxer="matroska"))
PART = Region(left=0.25, top=0.25, right=0.75, bottom=1.0)


def test_every_picture_is_cut_at_its_place():
    found = decode_region(LOSSLESS, PART)
    assert found is not None
    assert found.pixels.shape == (50, 36, 32, 3)
    assert np.allclose(found.times, np.arange(50) / 25, atol=2e-3)
    for index in (0, 17, 49):
        wanted = picture(index, (64, 48))[12:, 16:48].astype(int)
        assert np.abs(found.pixels[index].astype(int) - wanted).mean() < 6  # chroma subsampling only


def test_large_regions_are_scaled_down_and_small_ones_left():
    assert decode_region(LOSSLESS, Region(left=0.0, top=0.0, right=1.0, bottom=1.0, max_side=32)).pixels.shape[1:3] == (
        24,
        32,
    )
    assert decode_region(LOSSLESS, Region(left=0.0, top=0.0, right=1.0, bottom=1.0)).pixels.shape[1:3] == (48, 64)


def test_number_start_and_rate_are_bounded():
    part = {"left": 0.0, "top": 0.0, "right": 0.5, "bottom": 0.5}
    assert decode_region(LOSSLESS, Region(**part, most=7)).count == 7
    assert decode_region(LOSSLESS, Region(**part, start=1.0)).times[0] == pytest.approx(1.0, abs=2e-3)
    every_third = decode_region(LOSSLESS, Region(**part, fastest=9.0))
    assert np.allclose(np.diff(every_third.times), 0.12, atol=2e-3)
    assert decode_region(LOSSLESS, Region(**part, start=5.0)) is None


def test_the_clock_is_that_of_the_sound():
    data = build(Recipe(frames=50))
    moved = decode_region(data, PART, origin=0.5)
    assert moved.times[0] == pytest.approx(decode_region(data, PART, origin=0.0).times[0] - 0.5)


def test_without_a_picture_there_is_none_and_garbage_is_refused():
    assert decode_region(build(Recipe(video_codec=None)), PART) is None
    with pytest.raises(MediaError):
        decode_region(b"no film" * 100, PART)


def test_it_crosses_to_the_decoder_process():
    pool = DecoderPool(DecodeLimits(decode_seconds=60.0), size=1)
    try:
        found = pool.run(decode_region, LOSSLESS, PART)
    finally:
        pool.close()
    assert np.array_equal(found.pixels, decode_region(LOSSLESS, PART).pixels)


@pytest.mark.parametrize(
    "wrong",
    [{"left": 0.75}, {"top": -0.1}, {"bottom": 1.1}, {"max_side": 8}, {"most": 0}, {"fastest": 0.0}],
)
def test_what_is_no_part_of_a_picture_is_refused(wrong):
    whole = {"left": 0.25, "top": 0.25, "right": 0.75, "bottom": 1.0}
    with pytest.raises(ParameterError):
        Region(**{**whole, **wrong})
