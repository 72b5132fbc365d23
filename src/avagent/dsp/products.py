"""Inner and matrix products whose bits depend on nothing but their operands.

BLAS sums in an order that goes by the processor's family and by the number of threads, so the last bits of what it
gives differ between workers; `@`, `np.dot`, `np.vdot`, `np.linalg`, and `np.convolve` and `np.correlate` all go there.
What edits sound, or measures what decides about an edit, takes these instead: numpy's own loops, in one order.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.signal import oaconvolve

Array = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]
_Real = TypeVar("_Real", np.float32, np.float64)


def inner(a: AnyArray, b: AnyArray) -> float:
    """Sum of the products of two real arrays of one shape, in double precision."""
    return float(np.sum(np.multiply(a, b, dtype=np.float64)))


def energy(a: AnyArray) -> float:
    """Sum of the squares of a real array, in double precision."""
    return inner(a, a)


def matrix_product(a: npt.NDArray[_Real], b: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """[n, k] and [k, m] to [n, m], in the precision of the operands."""
    return np.einsum("ij,jk->ik", a, b, optimize=False)


def row_products(a: npt.NDArray[_Real], b: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """[n, k] and [m, k] to [n, m]: the inner products of rows; the faster way where k is long."""
    return np.einsum("ij,kj->ik", a, b, optimize=False)


def convolved(a: Array, b: Array) -> Array:
    """The full convolution of two arrays, by transforms; both of at least one value."""
    return np.asarray(oaconvolve(a, b))


def moving_mean(values: Array, width: int) -> Array:
    """Means of every `width` values beside each other, one for each place where all are there."""
    return np.lib.stride_tricks.sliding_window_view(values, width).mean(axis=-1)


def log_average(values: Array, weights: Array) -> Array:
    """Logarithm of the mean of exp(values) over the first axis, by weights that add up to 1.

    Over many values some ten times as fast as SciPy's `logsumexp`: no array as large as `values` is made.
    """
    top = values.max(axis=0)
    total = np.zeros_like(top)
    for part, weight in zip(values, weights, strict=True):
        total += weight * np.exp(part - top)
    return top + np.log(total)
