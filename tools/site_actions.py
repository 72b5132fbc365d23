"""Each action heard and seen: a known fault in a recording, before and after, for the documentation site.

The recording is one of the demo's, where they are at hand (`make media`); sounds and pictures are made when the site is
built, and belong to no commit.
"""

from __future__ import annotations

import io
import sys
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "examples" / "demo")]

from scenes import decode_sound  # noqa: E402

from avagent.core.actions import (  # noqa: E402
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
from avagent.core.media import Waveform  # noqa: E402
from avagent.dsp.actions.edit import apply  # noqa: E402
from avagent.dsp.faults import Dropouts, Fault, Lag, Level, Noise, PitchChange, SpeedChange, inject  # noqa: E402
from avagent.report.pictures import COLUMNS, Drawn, draw  # noqa: E402

RECORDING = ROOT / ".cache" / "media" / "speech" / "demo-congrats.g722"
SECONDS, SEED = 4.0, 1
_NOISE = Noise(snr_db=8.0, colour="pink")
SHOWN: tuple[tuple[Fault, Action], ...] = (
    (_NOISE, SpectralSubtraction()),
    (_NOISE, WienerFilter()),
    (_NOISE, WaveletDenoise()),
    (_NOISE, SpectralGate()),
    (SpeedChange(factor=1.12), Speed(factor=1 / 1.12)),
    (PitchChange(semitones=3.0), Pitch(semitones=-3.0)),
    (Level(gain_db=-24.0), Volume()),
    (Dropouts(lengths_ms=(40.0, 80.0, 120.0)), FillBlanks()),
    (Lag(milliseconds=400.0), Shift(milliseconds=-400.0)),
)


@dataclass(frozen=True, slots=True)
class Example:
    """What is shown of an action: HTML for its page, and the files that it refers to, by name."""

    html: str
    files: dict[str, bytes]


def examples() -> Iterator[tuple[str, Example]]:
    """Kind of action -> what is shown; nothing where the recording is not at hand."""
    if not RECORDING.exists():
        return
    clean = decode_sound(RECORDING, seconds=SECONDS)
    for fault, action in SHOWN:
        before = inject(fault, clean, seed=SEED).waveform
        after = apply(action, before).waveform
        _, drawn = draw([before, after], SECONDS)
        parts = [f"<p><code>{escape(str(fault))}</code>, mended by <code>{escape(str(action))}</code></p>"]
        files: dict[str, bytes] = {}
        for name, sound, shown in zip(("before", "after"), (before, after), drawn, strict=True):
            stem = f"{action.kind}-{name}"
            files |= {f"{stem}.wav": _wav(sound), f"{stem}.png": _png(shown)}
            parts.append(_figure(stem, name, shown))
        yield action.kind, Example("".join(parts), files)


def _figure(stem: str, name: str, shown: Drawn) -> str:
    wave_form = (
        f'<svg viewBox="0 0 {COLUMNS} 100" preserveAspectRatio="none" width="480" height="60" role="img"'
        f' aria-label="Waveform {name}"><path d="{shown.path}" fill="currentColor"/></svg>'
    )
    picture = f'<img src="actions/{stem}.png" alt="Spectrogram {name}" width="480" height="120">'
    player = f'<audio controls preload="none" src="actions/{stem}.wav" aria-label="Sound {name}"></audio>'
    return f"<figure><figcaption>{name}</figcaption>{wave_form}<br>{picture}<br>{player}</figure>"


def _wav(sound: Waveform) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(np.rint(np.clip(sound.mono(), -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
    return buffer.getvalue()


def _png(shown: Drawn) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(shown.pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
