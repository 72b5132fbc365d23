"""The runners that tests give whole runs to."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from scripted_runs import ROOT, Logged

Options = tuple[str, ...]
RUNNERS = ("processes", "job service", "prism")
_LIMIT_S = 300


@contextmanager
def runner(name: str) -> Iterator[Options]:
    """Options by which a command uses this runner; skips, loudly, where it is not at hand."""
    match name:
        case "processes":
            given = nullcontext(("--direct_running_mode=multi_processing", "--direct_num_workers=2"))
        case "job service":
            given = job_service()
        case _:
            location = f"--prism_location={_prism()}"
            given = nullcontext(("--runner=PrismRunner", location, "--environment_type=LOOPBACK"))
    with given as options:
        yield options


@contextmanager
def job_service() -> Iterator[Options]:
    """Beam's own job service, in a process of its own, with workers in others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(__file__).parent
    path = [folder / "scripted_site", folder.parent / "transforms", folder.parent]
    module = "apache_beam.runners.portability.local_job_service_main"
    service = Logged([sys.executable, "-m", module, "-p", port], path, limit=_LIMIT_S)
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert service.poll() is None, service.text()
    yield (
        "--runner=PortableRunner",
        f"--job_endpoint=127.0.0.1:{port}",
        "--environment_type=beam:env:harness_subprocess_python:v1",
        f"--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main",
    )
    service.kill_group()
    service.text()


def _prism() -> Path:
    known = [os.environ.get("PRISM"), shutil.which("prism"), ROOT / ".cache" / "prism" / "prism"]
    for place in known:
        if place and Path(place).is_file():
            return Path(place)
    message = (
        "NOT RUN: whole runs on Prism: no binary at $PRISM, in PATH or in .cache/prism (`make prism` builds it by Go)"
    )
    sys.__stderr__.write(f"\n{message}\n")
    pytest.skip(message)
