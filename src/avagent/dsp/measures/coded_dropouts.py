"""Dropouts behind a lossy codec: what was digital silence has become faint residue with sharp edges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avagent.core.media import FloatArray, Waveform

Array = npt.NDArray[np.float64]

_BLOCK_S = 0.0005
_BEFORE = 20
"""Blocks (10 ms) whose level stands for the programme next to an edge."""
_LAST = 4
_AFTER = 4
_SKIPPED = 1
_CLEAR_DB, _LIKELY_DB = 22.0, 18.0
_LIKELY_S = 0.012
_MARGIN_DB = 2.0
_LAST_DB = 14.0
_AUDIBLE_DB = -32.0
_EDGE_DB = 14.0
_TINY = 1e-10


def find_coded_dropouts(
    waveform: Waveform, *, min_gap_ms: float = 4.0, max_gap_ms: float = 500.0, clear_only: bool = False
) -> tuple[tuple[int, int], ...]:
    """Stretches [start, stop) in samples where the sound falls by 22 dB within 2 ms and comes back as suddenly.

    Between two sounds of nature the first fades; between the pulses of a creaking voice too. A codec's residue in a
    dropout mostly lies 25 to 45 dB below the programme (AAC at 128 kbit/s; less at lower rates, where some are missed).

    Args:
        waveform: finite samples.
        min_gap_ms, max_gap_ms: shortest and longest dropout in ms.
        clear_only: leave out the less sharp ones, which are looked for where one is beyond doubt.
    """
    block = max(4, round(_BLOCK_S * waveform.rate))
    count = waveform.length // block
    if waveform.channels == 0 or count < 2 * _BEFORE + _AFTER:
        return ()
    power = _block_power(waveform.samples, block, count)
    shortest = max(1, round(min_gap_ms / 1000.0 * waveform.rate / block))
    longest = round(max_gap_ms / 1000.0 * waveform.rate / block)
    clear = _pairs(power, shortest, longest, _CLEAR_DB)
    pairs: list[tuple[int, int]] = []
    if clear and not clear_only:
        pairs = _pairs(power, max(shortest, round(_LIKELY_S * waveform.rate / block)), longest, _LIKELY_DB)
    pairs += [pair for pair in clear if all(pair[1] < other[0] or pair[0] > other[1] for other in pairs)]
    return tuple(_refine(waveform.samples, power, pair, block) for pair in sorted(pairs))


def _pairs(power: Array, shortest: int, longest: int, step_db: float) -> list[tuple[int, int]]:
    """First and last block of every dropout."""
    starts = np.flatnonzero(_ends(power, step_db))
    stops = np.flatnonzero(_ends(power[::-1], step_db)[::-1])
    found: list[tuple[int, int]] = []
    for first in starts.tolist():
        if found and first <= found[-1][1]:
            continue
        # The nearest return of the sound is the end of this gap, or there is none.
        place = int(np.searchsorted(stops, first + shortest - 1))
        if place == stops.size:
            break
        last = int(stops[place])
        if last < first + longest and _is_quiet(power, first, last, step_db - _MARGIN_DB):
            found.append((first, last))
    return found


def _block_power(samples: FloatArray, block: int, count: int) -> Array:
    """Mean square of every 0.5 ms, of the channel in which it is highest."""
    power = np.zeros(count)
    for channel in samples:
        parts = channel[: count * block].reshape(count, block)
        np.maximum(power, np.einsum("ij,ij->i", parts, parts, dtype=np.float64) / block, out=power)
    return power + _TINY


def _ends(power: Array, step_db: float) -> npt.NDArray[np.bool_]:
    """Blocks in which a sound that went on until then has just stopped."""
    sums = np.concatenate(([0.0], np.cumsum(power)))
    size = power.size
    ends = np.zeros(size, np.bool_)
    at = np.arange(_BEFORE, size - _AFTER - _SKIPPED)
    before = np.maximum(sums[at] - sums[at - _BEFORE], _TINY) / _BEFORE
    last = (sums[at] - sums[at - _LAST]) / _LAST
    after = power[at + _SKIPPED]
    for later in range(1, _AFTER):
        after = np.maximum(after, power[at + _SKIPPED + later])
    audible = float(power.mean()) * 10.0 ** (_AUDIBLE_DB / 10.0)
    ends[at] = (
        (before > audible) & (before > after * 10.0 ** (step_db / 10.0)) & (last > before * 10.0 ** (-_LAST_DB / 10.0))
    )
    return ends


def _is_quiet(power: Array, first: int, last: int, residue_db: float) -> bool:
    inside = power[first + _SKIPPED : last + 1 - _SKIPPED]
    around = min(float(power[first - _BEFORE : first].mean()), float(power[last + 1 : last + 1 + _BEFORE].mean()))
    return inside.size > 0 and float(inside.max()) < around * 10.0 ** (-residue_db / 10.0)


def _refine(samples: FloatArray, power: Array, blocks: tuple[int, int], block: int) -> tuple[int, int]:
    """From the last sample above the residue before the gap to the first one after it."""
    first, last = blocks
    around = min(float(power[first - _BEFORE : first].mean()), float(power[last + 1 : last + 1 + _BEFORE].mean()))
    low, high = (first - 1) * block, (last + 2) * block
    loud = np.flatnonzero(np.abs(samples[:, low:high]).max(axis=0) > np.sqrt(around) * 10.0 ** (-_EDGE_DB / 20.0))
    middle = (high - low) // 2
    before, after = loud[loud < middle], loud[loud >= middle]
    start = low + int(before[-1]) + 1 if before.size else first * block
    stop = low + int(after[0]) if after.size else (last + 1) * block
    return start, stop
