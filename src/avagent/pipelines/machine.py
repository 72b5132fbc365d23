"""Whether the models fit into this machine's memory, told without a model runtime."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence

from avagent.models.needs import Need
from avagent.pipelines.doctor_findings import Finding, Health

HEADROOM = 1.25
"""Activations and caches on top of the weights; more for large batches."""


def memory_findings(needs: Sequence[Need]) -> Iterator[Finding]:
    """Memory that the weights need against what is here, for host and GPUs together; and GPUs that are demanded."""
    sized = [need for need in needs if need.memory_bytes]
    demanded = [need for need in needs if need.device.startswith(("cuda", "balanced"))]
    gpus = gpu_memory() if sized or demanded else ()
    if demanded and not gpus:
        detail = "no NVIDIA GPU is seen here (nvidia-smi): set device: auto or cpu, or run where there is one"
        yield Finding(subject=f"GPU for {len(demanded)} models", health=Health.MISSING, detail=detail)
    if not sized:
        return
    on_host = [need for need in sized if need.device == "cpu" or not gpus]
    on_gpus = [need for need in sized if need not in on_host]
    if on_gpus:
        yield _compared("GPU memory", on_gpus, sum(gpus))
    if on_host:
        yield _compared("RAM", on_host, ram_bytes())


def _compared(subject: str, needs: Sequence[Need], there: int) -> Finding:
    wanted = int(sum(need.memory_bytes for need in needs) * HEADROOM)
    detail = f"about {wanted / 2**30:.1f} GiB for {len(needs)} models, {there / 2**30:.1f} GiB here"
    if wanted <= there:
        return Finding(subject=subject, health=Health.OK, detail=detail)
    return Finding(subject=subject, health=Health.MISSING, detail=f"{detail}: quantize, or run on a larger machine")


def ram_bytes() -> int:
    """Host memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def gpu_memory() -> tuple[int, ...]:
    """Bytes of each NVIDIA GPU, by its driver's own tool; empty without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)  # noqa: S603
        return tuple(int(line) << 20 for line in done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()
