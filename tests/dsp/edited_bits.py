"""Tells a hash of everything that edits and measures give for a few sounds; `test_same_bits.py` runs it."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
from sounds import syllables, tone, white

from avagent.core.actions import ACTIONS, Action
from avagent.core.media import Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.measures.onset import onset_strength
from avagent.dsp.measures.sound_facts import measure

RATE = 48_000
SECONDS = 3.0


def sounds() -> dict[str, Waveform]:
    """Speech with hum, with noise, with clipped peaks, and with dropouts; stereo, the channels not alike."""
    voice = np.concatenate([syllables(RATE, SECONDS), syllables(RATE, SECONDS, pitch_hz=190.0, seed=3)])
    hum = sum(tone(RATE, SECONDS, 50.0 * k, 0.1 / k) for k in (1, 2, 3, 4, 5))
    holed = voice.copy()
    for start in (30_000, 60_000, 90_000):
        holed[:, start : start + 900] = 0.0
    noisy = voice + white(RATE, SECONDS, 0.03, channels=2)
    found = {"hum": voice + hum, "noise": noisy, "clipped": np.clip(3.0 * voice, -0.4, 0.4), "dropouts": holed}
    return {name: Waveform(samples.astype(np.float32), RATE) for name, samples in found.items()}


def action(kind: str) -> Action:
    """With parameters that do something."""
    more = {"speed": {"factor": 1.07}, "pitch": {"semitones": 2.0}, "shift": {"milliseconds": 40.0}}
    return ACTIONS[kind](**more.get(kind, {}))


def hashes() -> dict[str, str]:
    """By what was done to which sound."""
    found: dict[str, str] = {}
    for name, waveform in sounds().items():
        facts = measure(waveform)
        found[f"facts of {name}"] = repr(facts)
        found[f"onsets of {name}"] = _digest(onset_strength(waveform)[0])
        for kind in ACTIONS:
            found[f"{kind} of {name}"] = _digest(apply(action(kind), waveform).waveform.samples)
    return found


def _digest(samples: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(hashes()))
