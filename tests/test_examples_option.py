"""`--examples N`, of `tests/conftest.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROPERTIES = """
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

@settings(max_examples=7)
@given(st.integers())
def test_own_settings(number):
    print("own")

class TestMethod:
    @pytest.mark.parametrize("side", [0, 1])
    @given(number=st.integers())
    def test_default_settings(self, side, number):
        print("default", side)

def test_without_examples():
    print("plain")
"""


@pytest.mark.parametrize("factor", [1, 3])
def test_every_property_tries_so_many_times_its_examples(tmp_path, factor):
    (tmp_path / "test_properties.py").write_text(PROPERTIES, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-q", "-s", f"--examples={factor}", "."]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    printed = [line.lstrip(".") for line in done.stdout.splitlines()]
    counts = {word: printed.count(word) for word in ("own", "default 0", "default 1", "plain")}
    assert counts == {"own": 7 * factor, "default 0": 100 * factor, "default 1": 100 * factor, "plain": 1}
