"""Motion energy of a moving picture, from its luma."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from avagent.core.errors import ParameterError
from avagent.core.media import ByteArray, FloatArray, Motion
from avagent.dsp.measures.impact import impact_curve

Cells = npt.NDArray[np.uint8]

_CELLS = 48
_DEAD_ZONE = 2
_FLICKER = 20
"""Range of a cell's mean over a whole clip, in grey levels, that poor coding of a still picture reaches (measured on
pictures encoded by x264 at CRF 35, MPEG-4 and VP8: up to 18); things that move reach 50 to 200."""
_STILL = 0.01
_CUT_SHARE = 0.6
_CUT_CORRELATION = 0.5
_CUT_RATIO = 4.0
_AROUND = 4
"""Pictures before and after a cut whose median stands for it."""
_STEADY_RATIO = 3.0
_DIMENSIONS = 2
_CHUNK = 256
_BATCH = 32
"""Pictures averaged at a time."""


def motion_energy(frames: Iterable[tuple[ByteArray, float]]) -> Motion:
    """How much the picture changes from frame to frame.

    Each picture is averaged over cells (at most 48 on its longer side), which removes the noise of coding. Cells that
    stay within 20 grey levels for the whole clip, and changes below 3 grey levels, count as none: a still picture has
    no energy, however it was encoded. Scene cuts are compressed to the median around them: a cut says nothing about
    when something in the scene moved, and would outweigh all else. Frames that repeat the one before them amid steady
    movement, again and again at the same distance (24 frames/s converted to 25), take the mean of their neighbours.

    Args:
        frames: in the order of presentation: luma uint8 [height, width], time in s. Read once; about 1 KB a frame
            is kept.

    Returns:
        energy float32 [n], mean over all cells in grey levels, energy[0] = 0; times; and, from the same cells, the
        impacts (see :func:`avagent.dsp.measures.impact.impact_curve`).

    Raises:
        ParameterError: a frame that is not uint8 [height, width], frames of different shapes.
    """
    pictures: list[Cells] = []
    times: list[float] = []
    waiting: list[ByteArray] = []
    for luma, time in frames:
        if waiting and (len(waiting) == _BATCH or luma.shape != waiting[0].shape):
            _add(pictures, waiting)
            waiting = []
        waiting.append(_checked(luma))
        times.append(float(time))
    energy = impact = np.zeros(len(times), np.float32)
    if len(times) > 1:
        _add(pictures, waiting)
        film = np.concatenate(pictures)
        moving = film.max(axis=0) - film.min(axis=0) >= _FLICKER
        cuts = _differs(film)
        compressed = _compress(_changes(film, moving), cuts)
        energy = _bridge_repeats(compressed)
        impact = impact_curve(film, moving, cuts | (energy != compressed))
    return Motion(energy, np.asarray(times, dtype=np.float64), impact)


def is_still(motion: Motion) -> bool:
    """Whether the picture hardly ever moves: a photograph, a single frame."""
    return float(motion.energy.max(initial=0.0)) < _STILL


def _checked(luma: ByteArray) -> ByteArray:
    if luma.dtype != np.uint8 or luma.ndim != _DIMENSIONS or luma.size == 0:
        raise ParameterError(f"luma must be uint8 [height, width], got {luma.dtype} of shape {luma.shape}")
    return luma


def _add(pictures: list[Cells], lumas: list[ByteArray]) -> None:
    cells = _cells(np.stack(lumas))
    if pictures and pictures[0].shape[1:] != cells.shape[1:]:
        raise ParameterError(
            f"frames must be of one shape, got {pictures[0].shape[1:]} and then {cells.shape[1:]} cells"
        )
    pictures.append(cells)


def _cells(lumas: ByteArray) -> Cells:
    """Means over square cells; what does not fill a cell at the right and the bottom is left out.

    Of uint8 [n, height, width]: many at a time, for numpy's calls cost more than the sums.
    """
    count, height, width = lumas.shape
    step = -(-max(height, width) // _CELLS)
    tall, wide = min(step, height), min(step, width)
    rows, columns = height // tall, width // wide
    exact = np.uint16 if 255 * tall * wide + tall * wide // 2 < 1 << 16 else np.uint32
    # Rows first, in integers: a quarter of the time of a mean over a view of more dimensions.
    lines = np.zeros((count, rows, columns * wide), exact)
    for place in range(tall):
        lines += lumas[:, place : rows * tall : tall, : columns * wide]
    total = np.full((count, rows, columns), tall * wide // 2, exact)
    for place in range(wide):
        total += lines[:, :, place::wide]
    return np.asarray(total // exact(tall * wide), dtype=np.uint8)


def _changes(film: Cells, moving: npt.NDArray[np.bool_]) -> FloatArray:
    """Energy of each frame of uint8 [n, rows, columns]."""
    energy = np.zeros(film.shape[0], np.float32)
    for start in range(1, film.shape[0], _CHUNK):
        part = film[start - 1 : start + _CHUNK, moving].astype(np.int16)
        change = np.maximum(np.abs(np.diff(part, axis=0)) - _DEAD_ZONE, 0)
        energy[start : start + _CHUNK] = change.sum(axis=1, dtype=np.int64) / moving.size
    return energy


def _differs(film: Cells) -> npt.NDArray[np.bool_]:
    """Which frames are another picture: most cells changed, and not all in one way (as in a flash or a fade)."""
    different = np.zeros(film.shape[0], np.bool_)
    changed = np.zeros(film.shape[0], np.float64)
    for start in range(1, film.shape[0], _CHUNK):
        part = film[start - 1 : start + _CHUNK].astype(np.int16)
        changed[start : start + _CHUNK] = (np.abs(np.diff(part, axis=0)) > 2 * _DEAD_ZONE).mean(axis=(1, 2))
    for index in np.flatnonzero(changed >= _CUT_SHARE):
        before, after = film[index - 1].astype(np.float32), film[index].astype(np.float32)
        first, second = before - before.mean(), after - after.mean()
        spread = float(np.sqrt((first * first).mean() * (second * second).mean()))
        different[index] = spread > 1.0 and float((first * second).mean()) < _CUT_CORRELATION * spread
    return different


def _compress(energy: FloatArray, different: npt.NDArray[np.bool_]) -> FloatArray:
    if not different.any():
        return energy
    # Without SciPy's filter: importing it takes half as long as all else that the decoder process imports.
    padded = np.pad(np.where(different, np.float32(0.0), energy), _AROUND, mode="edge")
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1), axis=1)
    # A scene that changes wholly in every frame is fast movement, not a row of cuts.
    cuts = different & (energy > _CUT_RATIO * around + 1.0)
    return np.where(cuts, around, energy).astype(np.float32)


def _bridge_repeats(energy: FloatArray) -> FloatArray:
    padded = np.pad(energy, 2)
    around = np.stack([padded[:-4], padded[1:-3], padded[3:-1], padded[4:]])
    steady = (around.min(axis=0) > 0.0) & (around.max(axis=0) < _STEADY_RATIO * around.min(axis=0))
    repeats = _recurring(np.flatnonzero((energy == 0.0) & steady))
    bridged = energy.copy()
    bridged[repeats] = 0.5 * (around[1] + around[2])[repeats]
    return bridged


def _recurring(halts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Those of ascending indices that recur: three in a row at one distance, and all others at multiples of it.

    What moves may well halt for the time of one frame. A conversion of the frame rate repeats a frame at every so
    many, or at one more or less where the rates do not divide; not each of them falls amid steady movement.
    """
    found = np.zeros(halts.size, np.bool_)
    for first in np.flatnonzero(np.abs(np.diff(halts, n=2)) <= 1):
        found[first : first + 3] = True
        found |= (halts - halts[first]) % (halts[first + 1] - halts[first]) == 0
    return halts[found]
