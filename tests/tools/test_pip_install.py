"""`tools/pip_install.sh` in a log: what is fetched and its size stay, the rest goes, and a failure stays a failure."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "pip_install.sh"
SAID = """Collecting numpy
  Downloading numpy-2.4.6.whl.metadata (6 kB)
  Downloading numpy-2.4.6.whl (16.9 MB)
  Using cached click-8.5.1.whl (126 kB)
Requirement already satisfied: pip in x
  Preparing metadata (pyproject.toml): started
Installing collected packages: click, numpy
Successfully installed click-8.5.1 numpy-2.4.6
ERROR: something odd
"""


@pytest.mark.parametrize("status", [0, 3])
def test_a_log_tells_what_is_fetched_and_the_exit_status_is_pips(tmp_path, status):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat <<'END'\n{SAID}END\nexit {status}\n", encoding="utf-8")
    python.chmod(0o755)
    done = subprocess.run(["sh", SCRIPT, python, "numpy"], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == status
    assert done.stdout.splitlines() == [
        "  Downloading numpy-2.4.6.whl (16.9 MB)",
        "  Using cached click-8.5.1.whl (126 kB)",
        "unpacking ...",
        "installed 2 packages",
        "ERROR: something odd",
    ]
