"""Decoded media as validated, immutable values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avagent.core.errors import ParameterError

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
TimeArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Waveform:
    """Sound.

    Attributes:
        samples: float32 [channels, samples], nominal full scale ±1.
        rate: sampling rate in Hz.

    Raises:
        ParameterError: another dtype or shape, a rate that is not positive.
    """

    samples: FloatArray
    rate: int

    def __post_init__(self) -> None:
        if self.samples.dtype != np.float32 or self.samples.ndim != 2:
            raise ParameterError(
                f"samples must be float32 [channels, samples], got {self.samples.dtype} of shape {self.samples.shape}"
            )
        if self.rate <= 0:
            raise ParameterError(f"rate must be a positive number of Hz, got {self.rate}")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    @property
    def length(self) -> int:
        """Number of samples per channel."""
        return int(self.samples.shape[1])

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return self.length / self.rate

    @property
    def nbytes(self) -> int:
        """Size in memory in bytes."""
        return int(self.samples.nbytes)

    def mono(self) -> FloatArray:
        """The mean of the channels, float32 [samples]."""
        if self.channels == 1:
            return self.samples[0]
        return np.asarray(self.samples.mean(axis=0, dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A few pictures of a clip.

    Attributes:
        pixels: uint8 [n, height, width, 3], RGB.
        times: float64 [n], presentation time in s from the start of the clip.

    Raises:
        ParameterError: another dtype, or shapes that do not agree.
    """

    pixels: ByteArray
    times: TimeArray

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or self.pixels.shape[-1] != 3:
            raise ParameterError(
                f"pixels must be uint8 [n, height, width, 3], got {self.pixels.dtype} of shape {self.pixels.shape}"
            )
        if self.times.shape != (self.pixels.shape[0],):
            raise ParameterError(f"{self.pixels.shape[0]} frames need as many times, got shape {self.times.shape}")

    @property
    def count(self) -> int:
        """Number of frames."""
        return int(self.pixels.shape[0])

    @property
    def nbytes(self) -> int:
        """Size in memory in bytes."""
        return int(self.pixels.nbytes + self.times.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How much the picture changes from frame to frame.

    Attributes:
        energy: float32 [n], mean absolute luma difference to the frame before, in grey levels 0-255; energy[0] = 0.
        times: float64 [n], presentation time in s.
        impact: float32 [n], how suddenly movement ends at each picture, in grey levels; None: not measured.
    """

    energy: FloatArray
    times: TimeArray
    impact: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.energy.ndim != 1 or self.energy.shape != self.times.shape:
            raise ParameterError(
                f"energy and times must be of one shape [n], got {self.energy.shape} and {self.times.shape}"
            )
        if self.impact is not None and self.impact.shape != self.times.shape:
            raise ParameterError(f"impact must be of the shape of times {self.times.shape}, got {self.impact.shape}")

    @property
    def nbytes(self) -> int:
        """Size in memory in bytes."""
        return int(self.energy.nbytes + self.times.nbytes + (0 if self.impact is None else self.impact.nbytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """What a clip's container declares, without decoding it.

    Attributes:
        has_audio, has_video: whether such a stream exists.
        audio_duration, video_duration: in s; None where the container does not tell.
        audio_start, video_start: first presentation time in s.
        audio_codec, video_codec: FFmpeg's short names.
        rate: audio sampling rate in Hz.
        channels: audio channels.
        width, height: in pixels.
        frame_rate: average, in Hz.
        audio_drift: by how much longer the timestamps of the sound take than its samples, as a share of these, where
            the container has timestamps of its own.
    """

    has_audio: bool
    has_video: bool
    audio_duration: float | None = None
    video_duration: float | None = None
    audio_start: float = 0.0
    video_start: float = 0.0
    audio_codec: str | None = None
    video_codec: str | None = None
    rate: int | None = None
    channels: int | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    audio_drift: float = 0.0
