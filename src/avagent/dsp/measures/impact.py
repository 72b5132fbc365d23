"""When something that moves suddenly stops or turns: where a touch is seen.

Davis & Agrawala 2018, "Visual Rhythm and Beat", ACM Trans. Graph. 37(4), section 4: motion is split by direction, and
what each direction loses from one moment to the next, added up, is the impact envelope: the flux of a spectrum, with
directions in place of frequencies and losses in place of gains. Motion itself is greatest before the touch; its loss
is not early. Optical flow is dear, so that the change of brightness along the picture's gradient stands for it here
(normal flow; Horn & Schunck 1981, Artificial Intelligence 17): an edge that moves changes brightness in its wake by its
contrast, over an area that grows with its speed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avagent.core.errors import ParameterError
from avagent.core.media import ByteArray, FloatArray

Flux = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

DIRECTIONS = 8
_LEAST_GRADIENT = 1.0
"""Grey levels per cell; without one a direction would be noise."""
_DEAD_ZONE = 1.5
"""Grey levels by which codecs change smoothed cells: they renew whole pictures at intervals of their own."""
_LEAST_SHARE = 0.05
"""Of the clip's greatest motion, beside which little motion is none: stopping altogether says little if hardly anything
moved."""
_CHUNK = 8
"""Pictures at a time: what is made of so few stays in the processor's cache, which halves the time."""
_DIMENSIONS = 3


def impact_curve(film: ByteArray, moving: Mask | None = None, unknown: Mask | None = None) -> FloatArray:
    """Sudden loss of motion at each picture.

    A touch between two pictures is divided between both in proportion, so that its centre is exact. Each loss is
    weighted by its share of the motion that was there: what stops counts, not what slows down.

    Args:
        film: uint8 [n, rows, columns], small pictures of about 48 cells a side, each at least 2 by 2.
        moving: bool [rows, columns], cells in which things move; elsewhere changes are a codec's. None: all.
        unknown: bool [n], pictures whose difference to the one before tells no motion: a cut, a repetition. None: none.

    Returns:
        float32 [n], at least 0, in grey levels; 0 for the first and the last picture.

    Raises:
        ParameterError: another dtype or shape.
    """
    if film.dtype != np.uint8 or film.ndim != _DIMENSIONS:
        raise ParameterError(f"film must be uint8 [n, rows, columns], got {film.dtype} of shape {film.shape}")
    impact = np.zeros(film.shape[0], np.float32)
    if film.shape[0] < _DIMENSIONS or min(film.shape[1:]) < 2:
        return impact
    seen = np.float32(1.0) if moving is None else moving.astype(np.float32)
    flux = np.concatenate([_flux(film[i : i + _CHUNK + 1], seen) for i in range(0, film.shape[0] - 1, _CHUNK)])
    if unknown is not None and 0 < np.count_nonzero(unknown[1:]) < len(flux):
        at, known = np.arange(len(flux)), np.flatnonzero(~unknown[1:])
        filled: list[npt.NDArray[np.float64]] = [np.interp(at, known, row[known]) for row in flux.T]
        flux = np.stack(filled, axis=1).astype(np.float32)
    loss = np.maximum(flux[:-1] - flux[1:], np.float32(0.0)).sum(axis=1)
    before = flux[:-1].sum(axis=1)
    least = np.float32(_LEAST_SHARE * max(float(flux.sum(axis=1).max()), 1e-6))
    impact[1:-1] = loss * np.minimum(loss / (before + least), np.float32(1.0))
    return impact


def _flux(film: ByteArray, seen: Flux | np.float32) -> Flux:
    """Motion towards each direction from every picture to the next, mean over cells: float32 [n - 1, directions]."""
    smooth = _smooth(film)
    change = smooth[1:] - smooth[:-1]
    change -= np.clip(change, -_DEAD_ZONE, _DEAD_ZONE)
    change *= seen
    mean = smooth[1:] + smooth[:-1]
    down, right = np.zeros_like(mean), np.zeros_like(mean)
    np.subtract(mean[:, 2:], mean[:, :-2], out=down[:, 1:-1])
    np.subtract(mean[:, :, 2:], mean[:, :, :-2], out=right[:, :, 1:-1])
    # Gradients above are four times too large: two pictures, two cells.
    change /= -(np.sqrt(down * down + right * right) + np.float32(4.0 * _LEAST_GRADIENT))
    right *= change
    down *= change
    towards: list[npt.NDArray[np.float32]] = []
    for angle in np.arange(DIRECTIONS // 2) * (2.0 * np.pi / DIRECTIONS):
        part = right * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle))
        total, size = part.sum(axis=(1, 2)), np.abs(part).sum(axis=(1, 2))
        towards += [0.5 * (size + total), 0.5 * (size - total)]
    return np.stack(towards, axis=1) / np.float32(film.shape[1] * film.shape[2])


def _smooth(film: ByteArray) -> npt.NDArray[np.float32]:
    """Twice a binomial filter of three cells both ways: edges that gradients can be taken of."""
    values = film.astype(np.float32)
    for _ in range(2):
        values[:, 1:-1] += 0.5 * (values[:, :-2] + values[:, 2:] - 2.0 * values[:, 1:-1])
        values[:, :, 1:-1] += 0.5 * (values[:, :, :-2] + values[:, :, 2:] - 2.0 * values[:, :, 1:-1])
    return values
