"""What every action demands of the sound that it is given."""

from __future__ import annotations

import numpy as np

from avagent.core.errors import ParameterError
from avagent.core.media import Waveform

MIN_RATE = 8_000
MAX_RATE = 96_000
_CHUNK = 1 << 20


def check_waveform(waveform: Waveform) -> None:
    """Refuse what no action can work on.

    Raises:
        ParameterError: no channel, a rate outside 8-96 kHz, or samples that are NaN or infinite.
    """
    if not MIN_RATE <= waveform.rate <= MAX_RATE:
        raise ParameterError(
            f"rate must lie in [{MIN_RATE}, {MAX_RATE}] Hz, got {waveform.rate}: resample the sound first"
        )
    check_samples(waveform)


def check_samples(waveform: Waveform) -> None:
    """The same at any rate. Raises ParameterError: no channel, or samples that are NaN or infinite."""
    if waveform.channels == 0:
        raise ParameterError("the waveform has no channel: expected float32 [channels, samples] with at least one")
    bad = sum(
        int(np.count_nonzero(~np.isfinite(waveform.samples[:, start : start + _CHUNK])))
        for start in range(0, waveform.length, _CHUNK)
    )
    if bad:
        raise ParameterError(f"{bad} of {waveform.samples.size} samples are NaN or infinite: the sound is damaged")
