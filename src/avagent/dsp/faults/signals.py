"""The signals that faults are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avagent.core.errors import ParameterError
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.faults.types import Colour, HumFault, Reverberation
from avagent.dsp.resampling import resample

_SLOPES: dict[Colour, float] = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5, "violet": 1.0}
_LOWEST_HZ = 30.0
"""Slopes that rise without limit towards 0 Hz level off below it."""


def coloured_noise(colour: Colour, waveform: Waveform, generator: np.random.Generator) -> FloatArray:
    """Gaussian noise shaped in frequency, independent in each channel; float32, of the waveform's shape."""
    white = generator.standard_normal(waveform.samples.shape)
    if colour == "white" or waveform.length < 2:
        return white.astype(np.float32)
    spectrum = np.fft.rfft(white, axis=1)
    frequencies = np.maximum(np.fft.rfftfreq(waveform.length, 1.0 / waveform.rate), _LOWEST_HZ)
    spectrum *= (frequencies / _LOWEST_HZ) ** _SLOPES[colour]
    spectrum[:, 0] = 0.0
    return np.fft.irfft(spectrum, waveform.length, axis=1).astype(np.float32)


def hum(fault: HumFault, waveform: Waveform, generator: np.random.Generator) -> FloatArray:
    """Lines at the fundamental and its multiples below 0.45 of the rate, the same in every channel."""
    time = np.arange(waveform.length) / waveform.rate
    phases = generator.uniform(0.0, 2.0 * np.pi, fault.harmonics)
    total: npt.NDArray[np.float64] = np.zeros(waveform.length)
    for order, phase in enumerate(phases, start=1):
        frequency = order * fault.fundamental_hz
        if frequency < 0.45 * waveform.rate:
            amplitude = 10.0 ** (-fault.decay_db * (order - 1) / 20.0)
            total += amplitude * np.sin(2.0 * np.pi * frequency * time + phase)
    return np.repeat(total.astype(np.float32)[None, :], waveform.channels, axis=0)


def room_response(fault: Reverberation, rate: int, generator: np.random.Generator) -> FloatArray:
    """Direct sound at sample 0 and a tail of exponentially decaying noise, float32 [samples]."""
    length = max(2, round(fault.rt60_s * rate))
    time = np.arange(length) / rate
    tail = generator.standard_normal(length) * 10.0 ** (-3.0 * time / fault.rt60_s)
    tail[0] = 0.0
    tail *= 10.0 ** (-fault.direct_db / 20.0) / np.sqrt(np.sum(np.square(tail)))
    tail[0] = 1.0
    return tail.astype(np.float32)


def fitted(other: Waveform, like: Waveform, generator: np.random.Generator | None = None) -> FloatArray:
    """Another recording at the rate, channels and length of `like`, from a random place if a generator is given.

    Raises:
        ParameterError: the other recording is empty.
    """
    if other.length == 0 or other.channels == 0:
        raise ParameterError("the other recording is empty: choose one with sound")
    mono = resample(other.mono(), other.rate, like.rate).astype(np.float32)
    if mono.size == 0:
        raise ParameterError(f"the other recording is too short: {other.length} samples at {other.rate} Hz")
    begin = 0 if generator is None else int(generator.integers(0, mono.size))
    index = (begin + np.arange(like.length)) % mono.size
    return np.repeat(mono[index][None, :], like.channels, axis=0)


def scaled_to(unwanted: FloatArray, programme: FloatArray, snr_db: float) -> FloatArray:
    """The unwanted signal, scaled to `snr_db` below the programme; nothing if the programme is silent.

    Raises:
        ParameterError: the unwanted signal is silent.
    """
    wanted = float(np.square(programme, dtype=np.float64).mean()) if programme.size else 0.0
    power = float(np.square(unwanted, dtype=np.float64).mean()) if unwanted.size else 0.0
    if wanted <= 0.0:
        return np.zeros_like(unwanted)
    if power <= 0.0:
        raise ParameterError("the recording to be mixed in is silent: choose one with sound")
    return unwanted * np.float32(np.sqrt(wanted / power) * 10.0 ** (-snr_db / 20.0))
