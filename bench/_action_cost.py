"""Time on one core, and memory on ten minutes."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import numpy as np
import soxr
from _action_signals import RATE, Recordings
from _action_tables import Goal, Table, times_realtime

from avagent.core.actions import (
    Action,
    FillBlanks,
    Pitch,
    Shift,
    SpectralGate,
    SpectralSubtraction,
    Speed,
    Volume,
    WaveletDenoise,
    WienerFilter,
)
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import apply

_MINUTES = 10
_HIGH = 48_000
ALL: tuple[Action, ...] = (
    SpectralSubtraction(),
    WienerFilter(),
    WaveletDenoise(),
    SpectralGate(),
    Speed(factor=1.05),
    Speed(factor=25 / 24, mode="resample"),
    Pitch(semitones=2),
    Pitch(semitones=2, formants="keep"),
    Volume(target_lufs=-16.0),
    FillBlanks(),
    Shift(milliseconds=100),
)
_LIBRARYS_OWN = ("speed", "pitch")


def measure(recordings: Recordings, *, memory: bool) -> tuple[list[Table], list[Goal]]:
    """Table and goals of time and memory."""
    table = Table(
        "Cost",
        "Sound per CPU time: 10 s of noisy speech, mono, best of 7; 50 ms: milliseconds a call. Memory:"
        f" peak beyond the input, in multiples of it, on {_MINUTES} minutes of 48 kHz stereo, output included.",
        ["16 kHz mono", "48 kHz mono", "50 ms at 16 kHz", "memory"],
    )
    low = _noisy(recordings)
    high = np.asarray(soxr.resample(low, RATE, _HIGH), np.float32)
    slow: list[str] = []
    hungry: list[str] = []
    for action in ALL:
        paces = [_pace(action, low, RATE), _pace(action, high, _HIGH)]
        brief = 50.0 / _pace(action, low[: RATE // 20], RATE)
        peak = _peak_memory(action, high) if memory else float("nan")
        name = _name(action)
        table.rows.append((name, [f"{paces[0]:.0f}", f"{paces[1]:.0f}", brief, peak]))
        if action.kind not in _LIBRARYS_OWN and not (paces[0] >= 500 and paces[1] >= 150):
            slow.append(f"{name} {paces[0]:.0f}/{paces[1]:.0f}")
        if not peak <= 3.0:
            hungry.append(f"{name} {peak:.2f}")
    goals = [Goal("each action ≥ 500 x realtime at 16 kHz, ≥ 150 x at 48 kHz", ", ".join(slow) or "all", not slow)]
    if memory:
        goals.append(
            Goal("memory on 10 minutes of 48 kHz stereo ≤ 3 x the input", ", ".join(hungry) or "all", not hungry)
        )
    return [table], goals


def _name(action: Action) -> str:
    match action:
        case Speed():
            return f"{action.kind} ({action.mode})"
        case Pitch():
            return f"{action.kind} (formants {action.formants})"
        case _:
            return action.kind


def _noisy(recordings: Recordings) -> FloatArray:
    clean = np.resize(recordings.speech[0], 10 * RATE)
    return (clean + 0.02 * np.random.default_rng(0).standard_normal(clean.size)).astype(np.float32)


def _pace(action: Action, samples: FloatArray, rate: int) -> float:
    waveform = Waveform(np.ascontiguousarray(samples)[None, :], rate)
    return times_realtime(lambda: apply(action, waveform), waveform.duration, 7)


def _peak_memory(action: Action, samples: FloatArray) -> float:
    """Growth of the resident set's high-water mark (Linux), as a multiple of the input."""
    stereo = np.tile(np.stack([samples, samples[::-1]]), (1, 6 * _MINUTES))
    waveform = Waveform(stereo, _HIGH)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    apply(action, waveform)
    return (_status("VmHWM") - before) / stereo.nbytes


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {key}")
