"""A Flink cluster of plain processes for tests, by the scripts of `infra/flink`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scripted_runs import PORTS, ROOT, Logged

INFRA = ROOT / "infra" / "flink"
NOT_INSTALLED = 69
LIMIT_S = 900


def flink_folder() -> Path:
    """Flink and Beam's job server, obtained if need be; skips, loudly, where Java or Maven are not installed."""
    folder = Path(os.environ.get("FLINK_FOLDER", ROOT / ".cache" / "flink"))
    command, environment = [INFRA / "setup.sh", folder], {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode == NOT_INSTALLED:
        message = f"NOT RUN: the tests on a Flink cluster: {done.stderr.strip()}"
        sys.__stderr__.write(f"\n{message}\n")
        pytest.skip(message)
    assert done.returncode == 0, done.stderr
    return folder


class Cluster:
    """One JobManager, two TaskManagers of two slots each, a job server."""

    def __init__(self, run: Path) -> None:
        self.logs = run
        self._parts = [self._start("jobmanager")]
        self.task_managers = [self._start("taskmanager") for _ in range(2)]
        self._job_server = self._start("jobserver")

    @property
    def options(self) -> tuple[str, ...]:
        """For a command that is to run on it."""
        return (
            "--runner=PortableRunner",
            f"--job_endpoint=127.0.0.1:{os.environ['JOB_PORT']}",
            "--environment_type=PROCESS",
            f'--environment_config={{"command": "{INFRA / "worker_boot.sh"}"}}',
            "--parallelism=2",
        )

    def wait(self) -> None:
        """Until it takes jobs."""
        for port in (os.environ["FLINK_REST_PORT"], os.environ["JOB_PORT"]):
            while True:
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", int(port))) == 0:
                        break
                for part in (*self._parts, self._job_server):
                    assert not _over(part, 0.1), part.text()[-4000:]

    def workers(self) -> list[int]:
        """Process ids of the Python workers of all TaskManagers."""
        groups = {manager.pid for manager in self.task_managers}
        return [pid for pid in _running("sdk_worker_main") if _group(pid) in groups]

    def replace_a_task_manager(self) -> None:
        """Kill one, with its workers, and start another, as Kubernetes would."""
        lost = self.task_managers.pop(0)
        lost.kill_group()
        lost.text()
        self.task_managers.append(self._start("taskmanager"))

    def replace_the_job_server(self) -> None:
        """Kill it and start another, which knows nothing of the jobs that the first gave to Flink."""
        self._job_server.kill_group()
        self._job_server.text()
        self._job_server = self._start("jobserver")
        self.wait()

    def stop(self) -> None:
        """All of it."""
        for part in (*self._parts, self._job_server, *self.task_managers):
            part.kill_group()
            part.text()

    def _start(self, part: str) -> Logged:
        path = [PORTS.parent / "pipelines" / "scripted_site", PORTS, PORTS.parent, ROOT / "src"]
        return Logged([INFRA / "cluster.sh", part], path, limit=LIMIT_S)


@contextmanager
def flink_cluster(folder: Path, run: Path, **environment: str) -> Iterator[Cluster]:
    """A cluster that is ready; its processes have these variables as well."""
    names = ("FLINK_REST_PORT", "FLINK_RPC_PORT", "FLINK_BLOB_PORT", "JOB_PORT", "ARTIFACT_PORT")
    ports = dict(zip(names, map(str, _free_ports(len(names))), strict=True))
    own = {"FLINK_FOLDER": str(folder), "FLINK_RUN": str(run), "AVAGENT_PYTHON": sys.executable}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ports, **own, **environment}.items():
            patch.setenv(name, value)
        cluster = Cluster(run)
        try:
            cluster.wait()
            yield cluster
        finally:
            cluster.stop()
            shutil.rmtree(run, ignore_errors=True)


def kill(pid: int) -> None:
    """SIGKILL to one process of a cluster."""
    os.kill(pid, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _running(word: str) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if word.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _over(process: Logged, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
