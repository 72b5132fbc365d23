"""Recipe `embedded` needs no PyTorch, and does not load it where it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from runs import counts_add_up
from scripted_runs import Logged

SITE = Path(__file__).parent / "watching_site"
WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


def imported(log: Path) -> dict[str, set[str]]:
    """By module: the processes that imported it."""
    found: dict[str, set[str]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        process, module = line.split()
        found.setdefault(module, set()).add(process)
    return found


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one process", "two workers"])
def test_a_run_imports_onnxruntime_and_no_other_model_runtime(corpus, tmp_path, monkeypatch, workers):
    log, output = tmp_path / "imports", tmp_path / "out"
    log.touch()
    monkeypatch.setenv("AVAGENT_WATCHED_IMPORTS", str(log))
    command = [sys.executable, "-m", "avagent.pipelines.cli", "refine", "--recipe", "embedded"]
    run = Logged([*command, "--input", corpus / "shards", "--output", output, *workers], [SITE], limit=600)
    said = run.text()
    assert run.returncode == 0, said
    counts_add_up(output, 6)
    found = imported(log)
    assert set(found) == {"onnxruntime"}
    # The watch reaches the workers: with two of them, processes other than the driver have loaded the networks.
    assert bool(found["onnxruntime"] - {str(run.pid)}) is bool(workers)


def test_the_watch_would_see_torch(tmp_path, monkeypatch):
    log = tmp_path / "imports"
    monkeypatch.setenv("AVAGENT_WATCHED_IMPORTS", str(log))
    monkeypatch.setenv("PYTHONPATH", str(SITE), prepend=":")
    subprocess.run([sys.executable, "-c", "import safetensors"], check=True)
    assert set(imported(log)) == {"safetensors"}
