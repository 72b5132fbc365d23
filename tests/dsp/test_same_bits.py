"""A decision is the edited clip, wherever it is worked on: no bit depends on threads or on the processor's BLAS."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.dsp.products import convolved, energy, inner, matrix_product, moving_mean, row_products
from avagent.dsp.threads import ask_for_one_thread

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src" / "avagent"
SETTINGS = {
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "four threads": {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"},
    "Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
}
"""The last: only where the processor has AVX2; OpenBLAS goes by what it finds otherwise."""
BY_BLAS = {"dot", "vdot", "matmul", "linalg", "convolve", "correlate", "inner", "tensordot", "polyfit", "cov", "lstsq"}


def hashes(**environment: str) -> dict[str, str]:
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(HERE / "edited_bits.py")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **environment},
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def usual() -> dict[str, str]:
    return hashes()


@pytest.mark.parametrize("setting", SETTINGS)
def test_edits_and_measures_are_the_same_everywhere(setting: str, usual: dict[str, str]):
    found = hashes(**SETTINGS[setting])
    assert found == usual


def test_the_settings_reach_blas():
    """Else the test above would say nothing: products by BLAS do differ between the families."""
    code = (
        "import numpy as np\n"
        "a = np.random.default_rng(0).standard_normal((64, 4000)).astype(np.float32)\n"
        "print((a @ a.T).tobytes().hex()[:20000])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "OPENBLAS_CORETYPE": core}, capture_output=True, check=True
        ).stdout
        for core in ("Prescott", "Nehalem", "Haswell")
    }
    assert len(seen) > 1


def test_processes_run_one_thread_even_if_they_were_told_otherwise():
    code = (
        "import json, sys, threadpoolctl\n"
        "from avagent.dsp.threads import run_one_thread\n"
        "before = [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
        "run_one_thread()\n"
        "after = [pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas']\n"
        "json.dump([before, after], sys.stdout)"
    )
    told = {**os.environ, "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, check=True)
    before, after = json.loads(done.stdout)
    assert max(before) > 1
    assert set(after) == {1}


def test_what_the_user_has_set_stays():
    environment = {"OMP_NUM_THREADS": "8"}
    ask_for_one_thread(environment)
    assert environment["OMP_NUM_THREADS"] == "8"
    assert environment["OPENBLAS_NUM_THREADS"] == "1"


def test_nothing_that_edits_or_measures_asks_blas():
    assert not [found for path in (SOURCE / "dsp").rglob("*.py") for found in _by_blas(path)]


def _by_blas(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        operator = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult)
        named = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
        if operator or (named and node.attr in BY_BLAS):
            found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: use avagent.dsp.products")
    return found


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_products_are_products(n: int, k: int, seed: int):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, k)), rng.standard_normal((k, 7))
    np.testing.assert_allclose(matrix_product(a, b), a @ b, atol=1e-12)
    np.testing.assert_allclose(row_products(a, np.ascontiguousarray(b.T)), a @ b, atol=1e-12)
    assert inner(a[0], b[:, 0]) == pytest.approx(float(a[0] @ b[:, 0]), abs=1e-12)
    assert energy(a) == pytest.approx(float(np.sum(a * a)))
    np.testing.assert_allclose(convolved(a[0], b[:, 0]), np.convolve(a[0], b[:, 0]), atol=1e-12)
    np.testing.assert_allclose(
        moving_mean(a[0], 1 + k // 2), np.convolve(a[0], np.full(1 + k // 2, 1 / (1 + k // 2)), "valid"), atol=1e-12
    )
