"""A whole run writes the same bytes, and decides the same, whatever the threads and the processor's BLAS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import contents, counts_add_up

SETTINGS = {
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "four threads": {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"},
    "another family": {"OPENBLAS_CORETYPE": "Nehalem"},
}


def refined(corpus: Path, output: Path, **environment: str) -> dict[str, str]:
    command = [sys.executable, "-m", "avagent.pipelines.cli", "refine", "--input", corpus / "shards"]
    done = subprocess.run(
        [*command, "--output", output],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts_add_up(output, 6)
    return contents(output)


@pytest.fixture(scope="module")
def usual(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return refined(corpus, tmp_path_factory.mktemp("usual") / "out")


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_run_writes_the_same_bytes(setting: str, corpus: Path, usual: dict[str, str], tmp_path: Path):
    assert refined(corpus, tmp_path / "out", **SETTINGS[setting]) == usual
