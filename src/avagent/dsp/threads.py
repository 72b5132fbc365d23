"""One thread to a process: the workers of a machine share it among themselves already."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from functools import cache
from typing import Any

import scipy.linalg
import threadpoolctl  # pyright: ignore[reportMissingTypeStubs]

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@cache
def run_one_thread() -> None:
    """From now on the BLAS libraries of this process run one thread, whatever its environment says.

    Threads of model runtimes are their own matter: those of PyTorch follow `OMP_NUM_THREADS`.
    """
    # SciPy's own BLAS is to be there before it can be limited.
    _ = scipy.linalg
    pools: Any = threadpoolctl
    pools.threadpool_limits(limits=1, user_api="blas")


def ask_for_one_thread(environment: MutableMapping[str, str] = os.environ) -> None:
    """The same for libraries that are not loaded yet, here and in child processes; what the user has set stays."""
    for name in _VARIABLES:
        environment.setdefault(name, "1")
