"""Readers while a run writes, two workers on one shard, a worker killed in its work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from runs import contents, counts_add_up, members, refined
from scripted_runs import Logged, scripted_ports, start, write_corpus, write_recipe

from avagent import storage
from avagent.shards.listing import list_shards

LIMIT_S = 300
"""For what may hang: far more than it takes."""
WORKER = """
import sys
from avagent.records.decisions import Provenance
from avagent.transforms.write import ApplyTarget, apply_decisions
output, shard = sys.argv[1:]
provenance = Provenance(recipe="scripted", fingerprint="f", models={}, version="0")
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    apply_decisions(shard, ApplyTarget(output=output, provenance=provenance))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "in"
    write_corpus(folder, tars=3)
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, recipe: Path) -> Path:
    with scripted_ports():
        return refined(corpus, corpus.parent / "out", "--recipe", recipe)


def test_a_reader_sees_only_complete_shards(corpus: Path, recipe: Path, undisturbed: Path, tmp_path: Path):
    output = tmp_path / "out"
    expected = {path.name: path.read_bytes() for path in undisturbed.glob("*.tar")}
    over, seen = threading.Event(), list[tuple[str, bytes, bool]]()

    def watch() -> Iterator[tuple[str, bytes, bool]]:
        """Every shard at every moment, as a reader that lists the folder finds it."""
        while not over.is_set():
            done = (output / "_SUCCESS").exists()
            for url in list_shards(str(output)) if list(output.glob("*.tar")) else []:
                yield storage.basename(url), storage.read_bytes(url), done

    def remember() -> None:
        for name, data, done in watch():
            if not seen or seen[-1] != (name, data, done):
                seen.append((name, data, done))

    reader = threading.Thread(target=remember)
    reader.start()
    try:
        with scripted_ports():
            refined(corpus, output, "--recipe", recipe)
    finally:
        over.set()
        reader.join()
    assert any(not done for _, _, done in seen)
    assert all(data == expected[name] for name, data, _ in seen)


def at_once(count: int, *arguments: str) -> list[int]:
    """Exit codes of workers, let go together when all of them are ready."""
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    watchdog = threading.Timer(LIMIT_S, lambda: [worker.kill() for worker in workers])
    watchdog.start()
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(b"go\n")
            worker.stdin.flush()
        for worker in workers:
            worker.communicate()
        return [worker.returncode for worker in workers]
    finally:
        watchdog.cancel()


def test_two_workers_on_one_shard_leave_one_shard(corpus: Path, undisturbed: Path, tmp_path: Path):
    shard = str(corpus / "part-000000.tar")
    outputs = [tmp_path / name for name in ("alone", "both")]
    for output, count in zip(outputs, (1, 2), strict=True):
        target = output / "_manifest" / "decisions" / "part-000000.tar.jsonl"
        target.parent.mkdir(parents=True)
        target.write_bytes((undisturbed / "_manifest" / "decisions" / target.name).read_bytes())
        assert at_once(count, str(output), shard) == [0] * count
    assert contents(outputs[0]) == contents(outputs[1])
    assert members(outputs[1] / "part-000000.tar").keys() == members(undisturbed / "part-000000.tar").keys()
    assert not [path for path in outputs[1].rglob("*") if path.name.endswith(".tmp")]


def workers_of(pid: int) -> list[int]:
    """The worker processes below a run; the shells that start them are left out."""
    found = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], check=True, capture_output=True, text=True).stdout
    rows = [(int(own), int(above), " ".join(more)) for own, above, *more in map(str.split, found.splitlines())]
    below, new = set[int](), {pid}
    while new:
        below |= new
        new = {own for own, above, _ in rows if above in new} - below
    return [own for own, _, args in rows if own in below and "sdk_worker_main" in args and " -c " not in args]


def kill_a_worker(run: Logged, output: Path) -> bool:
    """Kill one of two before all is decided; False: the run was over before."""
    workers: list[int] = []
    while run.poll() is None and len(workers) < 2:
        workers = workers_of(run.pid)
    if run.poll() is not None or (output / "_manifest" / "decisions").exists():
        return False
    os.kill(workers[0], signal.SIGKILL)
    return True


def test_a_killed_worker_ends_the_run_which_can_go_on(corpus: Path, recipe: Path, undisturbed: Path, tmp_path: Path):
    output = tmp_path / "out"
    command = ("refine", "--input", corpus, "--output", output, "--recipe", recipe)
    run = start(*command, "--direct_num_workers=2", "--direct_running_mode=multi_processing", limit=LIMIT_S)
    killed = kill_a_worker(run, output)
    text = run.text()
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)  # the other worker, should it not have noticed yet
    assert killed, text
    assert run.returncode == 1, text
    assert "a worker process died" in text
    assert not (output / "_SUCCESS").exists()
    with scripted_ports():
        refined(corpus, output, "--recipe", recipe)
    counts_add_up(output, 21)
    assert contents(output) == contents(undisturbed)
