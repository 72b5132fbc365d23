"""Removal of mains hum, where there is one."""

from __future__ import annotations

from avagent.core.media import Waveform
from avagent.dsp.measures.hum import detect_hum
from avagent.dsp.measures.hum_lines import subtract_lines

_MIN_CONFIDENCE = 0.4


def remove_hum(waveform: Waveform) -> tuple[Waveform, float | None]:
    """The sound without the lines of its hum, and the hum's fundamental in Hz (None: no hum, the sound unchanged)."""
    hum = detect_hum(waveform)
    if hum is None or hum.confidence < _MIN_CONFIDENCE:
        return waveform, None
    return Waveform(subtract_lines(waveform, hum), waveform.rate), hum.fundamental_hz
