"""Restoring clipped peaks: the sparsest spectrum among the sounds that would have been clipped to what is there.

The consistent, cosparse formulation of A-SPADE (Kitić, Bertin & Gribonval 2015, doi:10.1007/978-3-319-22482-4_28) in
the notation of the survey by Záviška, Rajmic, Ozerov & Rencker 2021 (doi:10.1109/JSTSP.2020.3042071), solved by the
alternating direction method of multipliers. Two things differ for speed: one tight Gabor frame spans the whole
passage, where A-SPADE solves every window by itself; and a threshold that falls from round to round picks the
coefficients that count, where A-SPADE counts one more each round. `bench/declip.py` has both side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.measures.clipping import Clipped, Mask, find_clipping
from avagent.dsp.stft import Spectrum, Stft, power_of

MOST_CLIPPED = 0.4
"""Share of a channel's samples above which too little is left to go by."""

_FRAME_S = 0.064
_ROUNDS = 50
_HIGHEST, _LEAST_HIGHEST, _LOWEST = 0.7, 0.08, 0.002
"""The threshold, as shares of the largest coefficient: it begins at the square root of the clipped share, in bounds."""
_HEADROOM = 8.0
_EULER_GAMMA = 0.5772
_INDEPENDENT = 0.7
"""Neighbouring peaks are not independent: the largest of them lies that much lower (set on recordings)."""
_PIECE_S = 4.0


def declip(waveform: Waveform) -> tuple[Waveform, int]:
    """Restore what was clipped; the other samples stay exactly as they are.

    Where a channel is clipped is found by :func:`~avagent.dsp.measures.clipping.find_clipping`. A clipped sample is
    moved outwards only. A channel with more than :data:`MOST_CLIPPED` of them is left alone.

    Returns:
        The sound (its peaks may exceed full scale), and how many samples were restored.
    """
    stft = Stft.of_seconds(_FRAME_S, waveform.rate)
    out, count = waveform.samples, 0
    for index, channel in enumerate(waveform.samples):
        clipped = find_clipping(channel)
        if not 0 < clipped.count <= MOST_CLIPPED * channel.size:
            continue
        if out is waveform.samples:
            out = waveform.samples.copy()
        count += clipped.count
        for start, stop in _passages(clipped.high | clipped.low, stft.frame, round(_PIECE_S * waveform.rate)):
            low, high = max(0, start - stft.frame), min(channel.size, stop + stft.frame)
            inside = slice(low, high)
            restored = _restore(channel[inside], Clipped(clipped.high[inside], clipped.low[inside]), stft)
            out[index, start:stop] = restored[start - low : stop - low]
    return Waveform(out, waveform.rate), count


def _passages(mask: Mask, apart: int, most: int) -> Iterator[tuple[int, int]]:
    """Stretches [start, stop) that hold all clipped samples, at least `apart` from each other, or cut between two runs.

    They are cut where no sample is clipped, so that two halves that were restored apart still meet.
    """
    places = np.flatnonzero(mask)
    gaps = np.diff(places)
    begin = 0
    for index, gap in enumerate(gaps.tolist()):
        if gap > apart or (gap > 1 and places[index] - places[begin] >= most):
            yield int(places[begin]), int(places[index]) + 1
            begin = index + 1
    yield int(places[begin]), int(places[-1]) + 1


def _restore(part: FloatArray, clipped: Clipped, stft: Stft) -> FloatArray:
    """The consistent sound of least non-zero coefficients near the clipped one, float32 [samples]."""
    level = _highest(clipped, part.size) * float(np.abs(part).max())
    least = np.where(clipped.low, np.float32(-level), part)
    most = np.where(clipped.high, np.float32(level), part)
    spectrum = stft.analyse(part[None])
    largest = float(np.sqrt(power_of(spectrum).max()))
    first = min(_HIGHEST, max(_LEAST_HIGHEST, float(np.sqrt(clipped.count / part.size))))
    dual = np.zeros_like(spectrum)
    sound = part
    for threshold in largest * np.geomspace(first, _LOWEST, _ROUNDS):
        sparse = _thresholded(spectrum + dual, float(threshold))
        sound = np.clip(stft.synthesise(sparse - dual, part.size)[0], least, most)
        spectrum = stft.analyse(sound[None])
        dual += spectrum
        dual -= sparse
    return sound


def _highest(clipped: Clipped, size: int) -> float:
    """The highest peak to expect, over the clipping level, at most 8 (18 dB).

    Amplitudes of sound fall off about exponentially: of a share s above the level, the excess has the mean
    level / ln(1 / s), and the largest of m peaks has ln(m) + 0.58 times that (Gumbel 1958). Without the bound, a long
    run in a passage of few coefficients may be answered by a swing far above anything that is heard.
    """
    runs = int(np.count_nonzero(np.diff((clipped.high | clipped.low).astype(np.int8), prepend=0) == 1))
    rarity = float(np.log(size / clipped.count)) if clipped.count < size else 0.0
    excess = _INDEPENDENT * (float(np.log(runs)) + _EULER_GAMMA)
    return min(_HEADROOM, 1.0 + excess / max(rarity, 0.1))


def _thresholded(spectrum: Spectrum, threshold: float) -> Spectrum:
    """Hard thresholding, in place."""
    spectrum[power_of(spectrum) < threshold * threshold] = 0.0
    return spectrum
