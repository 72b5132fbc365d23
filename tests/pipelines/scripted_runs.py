"""Whole runs with ports that answer by script: the reading, deciding, writing and commit are the real ones."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import wave
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTS = ROOT / "tests" / "transforms"
RECIPE = """
name: scripted
captioner: {name: scripted}
planner: {name: scripted}
scorer: {name: scripted}
policy: {reflection: scores}
max_failure_ratio: 1
"""
KEYS = ("threshold", "fixable", "second", "hopeless", "silent", "broken")
"""What becomes of clips with such keys: see `scripted_ports`."""

sys.path.insert(0, str(PORTS))
from scripted_ports import ASKED  # noqa: E402, F401
from tfrecord_tools import example, records  # noqa: E402


@contextmanager
def scripted_ports() -> Iterator[None]:
    """Recipes may name the ports `scripted`."""
    from avagent.models import registry  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        for known, port in (("CAPTIONERS", "Captioner"), ("PLANNERS", "Planner"), ("SCORERS", "Scorer")):
            patch.setattr(registry, known, {"scripted": f"scripted_ports:Scripted{port}"})
        yield


def write_recipe(folder: Path) -> Path:
    path = folder / "scripted.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def wav(number: int, seconds: float = 0.3, rate: int = 16_000) -> bytes:
    """Noise and a tone, 16-bit, another for each number."""
    rng = np.random.default_rng(number)
    t = np.arange(round(seconds * rate)) / rate
    samples = 3000 * np.sin(2 * np.pi * (300 + number) * t) + 200 * rng.standard_normal(len(t))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def write_corpus(folder: Path, *, tars: int, records_files: int = 0, clips: int = 6, seconds: float = 0.3) -> list[str]:
    """Shards of clips of every sort, the last clip of each without media; gives the keys."""
    folder.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    for shard in range(tars + records_files):
        samples = [
            (f"{KEYS[clip % len(KEYS)]}-{shard}-{clip}", wav(100 * shard + clip, seconds)) for clip in range(clips)
        ]
        found += [key for key, _ in samples] + [f"corrupt-{shard}"]
        samples.append((f"corrupt-{shard}", b"no media"))
        if shard < tars:
            _write_tar(folder / f"part-{shard:06d}.tar", samples)
        else:
            data = records([example({"example/id": key.encode(), "wav": media}) for key, media in samples])
            (folder / f"part-{shard:06d}.tfrecord").write_bytes(data)
    return found


def _write_tar(path: Path, samples: Sequence[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for key, data in samples:
            for suffix, content in (("wav", data), ("txt", key.encode())):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


class Logged(subprocess.Popen[bytes]):
    """A command as the leader of a process group of its own; what it prints goes to a file: a pipe may fill up.

    What is not over after `limit` seconds is killed, so that nothing waits for it for ever.
    """

    def __init__(self, command: Sequence[object], path: Sequence[Path] = (), *, limit: float = 3600) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `text`, or with this)
        weakref.finalize(self, self._log.close)
        found = os.pathsep.join(filter(None, [*(str(p) for p in path), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
        super().__init__(
            [str(part) for part in command],
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._watchdog = threading.Timer(limit, self.kill_group)
        self._watchdog.daemon = True
        self._watchdog.start()

    def kill_group(self) -> None:
        """SIGKILL to the command and its children, if it is not over."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)

    def communicate(self, *_: object, **__: object) -> tuple[bytes, bytes]:
        """As of a process with a pipe."""
        return self.text().encode(), b""

    def text(self) -> str:
        """What it printed, once it is over."""
        self.wait()
        self._watchdog.cancel()
        with self._log as log:
            log.seek(0)
            return log.read().decode(errors="replace")


def start(*arguments: object, limit: float = 3600) -> Logged:
    """The command `avagent`, with the scripted ports known to it and to its workers."""
    path = [Path(__file__).parent / "scripted_site", PORTS, ROOT / "tests"]
    return Logged([sys.executable, "-m", "avagent.pipelines.cli", *arguments], path, limit=limit)
