"""Audio tags: YAMNet (521 AudioSet classes), 8-bit ONNX weights, our own front end.

Front end as in Hershey et al. 2017 (doi:10.1109/ICASSP.2017.7952132) and the model's card: 16 kHz mono, 25 ms Hann
windows every 10 ms, 64 mel bands between 125 and 7,500 Hz, ln(x + 0.001), patches of 0.96 s, here every 0.24 s: with
8-bit weights the answers are coarse, and denser patches halve how much they change when the sound is moved by 0.1 s.
"""

from __future__ import annotations

import csv
import io
import zipfile
from functools import cache

import numpy as np
import numpy.typing as npt
import soxr
from scipy.special import expit

from avagent.core.errors import FailureReason, MissingModelError, ModelError
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.products import row_products
from avagent.models.embedded.packages import YAMNET_CLASSES, YAMNET_WEIGHTS
from avagent.models.embedded.sessions import open_session

RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512
MEL_BANDS, MEL_LOW, MEL_HIGH = 64, 125.0, 7_500.0
LOG_OFFSET = 1e-3
PATCH, PATCH_HOP = 96, 24
CLASSES = 521
BLOCK_PATCHES = 128
"""Patches worked on at a time: bounds the memory on long sounds (31 s a block)."""

# Quantisation of the exported graph's input and output tensors.
INPUT_SCALE, INPUT_ZERO = 0.047937885, 144
OUTPUT_SCALE, OUTPUT_ZERO = 0.7565417, 190

LEVEL_RMS, LEVEL_PEAK = 0.1, 0.9
INAUDIBLE_PEAK = 10.0 ** (-70.0 / 20.0)

LOOP_BELOW_S, LOOP_TO_S = 1.0, 3.0
"""The network wants 0.96 s at least: shorter sounds are repeated."""


def mel_matrix() -> FloatArray:
    """Triangular mel filters on the HTK scale, float32 [257, 64] (O'Shaughnessy 1987: 1127 ln(1 + f/700))."""
    frequencies = np.linspace(0.0, RATE / 2, FFT // 2 + 1)
    mels = 1127.0 * np.log1p(frequencies / 700.0)
    low, high = 1127.0 * np.log1p(np.array([MEL_LOW, MEL_HIGH]) / 700.0)
    edges = np.linspace(low, high, MEL_BANDS + 2)
    rising = (mels[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    return weights.astype(np.float32)


def to_model_rate(waveform: Waveform) -> FloatArray:
    """Mono at 16 kHz, at least :data:`LOOP_BELOW_S` long, float32 [samples].

    Raises:
        ModelError: no samples, or NaN or infinite ones.
    """
    mono = waveform.mono()
    if mono.size == 0:
        raise ModelError("the sound has no samples", reason=FailureReason.UNSUPPORTED_MEDIA)
    if not np.isfinite(mono).all():
        raise ModelError("the sound has NaN or infinite samples", reason=FailureReason.NON_FINITE_SAMPLES)
    if waveform.rate != RATE:
        mono = soxr.resample(mono, waveform.rate, RATE)
    if mono.size == 0:
        raise ModelError("the sound is shorter than a sample at 16 kHz", reason=FailureReason.UNSUPPORTED_MEDIA)
    if mono.size < LOOP_BELOW_S * RATE:
        mono = np.resize(mono, round(LOOP_TO_S * RATE))
    return np.ascontiguousarray(mono, dtype=np.float32)


def level(mono: FloatArray) -> FloatArray:
    """At a common level: what a sound is does not depend on how loud it was recorded. Near silence stays as it is."""
    peak = float(np.abs(mono).max(initial=0.0))
    if peak < INAUDIBLE_PEAK:
        return mono
    rms = float(np.sqrt(np.mean(np.square(mono, dtype=np.float64))))
    return mono * np.float32(min(LEVEL_PEAK / peak, LEVEL_RMS / rms))


def log_mel(mono: FloatArray, mel: FloatArray) -> FloatArray:
    """Log-mel spectrogram of 16 kHz sound, float32 [frames, 64]; `mono` must hold a window (400 samples) at least."""
    windows = np.lib.stride_tricks.sliding_window_view(mono, WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectrum = np.abs(np.fft.rfft(windows * hann.astype(np.float32), FFT, axis=1)).astype(np.float32)
    return np.log(row_products(spectrum, np.ascontiguousarray(mel.T)) + np.float32(LOG_OFFSET))


class Yamnet:
    """The network, loaded. Safe to use from several threads."""

    def __init__(self) -> None:
        """Raises MissingModelError where the weights or onnxruntime are absent."""
        self.labels = read_labels()
        self._mel = mel_matrix()
        self._session = open_session(*_graph_and_weights())

    def posteriors(self, waveform: Waveform) -> FloatArray:
        """Probability of every class in every 0.96 s patch, float32 [patches, 521].

        Raises:
            ModelError: no samples, or NaN or infinite ones.
        """
        mono = level(to_model_rate(waveform))
        block = (BLOCK_PATCHES * PATCH_HOP) * HOP
        overlap = (PATCH - PATCH_HOP) * HOP + WINDOW - HOP
        answers = [self._block(mono[at : at + block + overlap]) for at in range(0, mono.size, block)]
        return np.concatenate([a for a in answers if a.size])

    def _block(self, mono: FloatArray) -> FloatArray:
        if mono.size < WINDOW:
            return np.zeros((0, CLASSES), np.float32)
        mel = log_mel(mono, self._mel)
        if len(mel) < PATCH:
            return np.zeros((0, CLASSES), np.float32)
        patches = np.lib.stride_tricks.sliding_window_view(mel, (PATCH, MEL_BANDS))[::PATCH_HOP, 0]
        quantised = np.clip(np.rint(patches / INPUT_SCALE + INPUT_ZERO), 0, 255).astype(np.uint8)
        logits = np.concatenate([self._session.run(None, {"audio": q[None, None]})[0] for q in quantised])
        return expit(OUTPUT_SCALE * (logits.astype(np.float32) - OUTPUT_ZERO)).astype(np.float32)


@cache
def read_labels() -> tuple[str, ...]:
    """The 521 display names, in the order of the outputs. Raises MissingModelError."""
    path = YAMNET_CLASSES.locate()
    with path.open(encoding="utf-8", newline="") as file:
        labels = tuple(row["display_name"] for row in csv.DictReader(file))
    if len(labels) != CLASSES:
        raise MissingModelError(f"{path} must list {CLASSES} classes, found {len(labels)}: install the package again")
    return labels


def _graph_and_weights() -> tuple[bytes, dict[str, bytes]]:
    """The graph and its external weights straight from the archive: nothing is unpacked to disk."""
    path = YAMNET_WEIGHTS.locate()
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        members = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
        if not {"model.onnx", "model.data"} <= members.keys():
            raise MissingModelError(f"{path} lacks model.onnx or model.data: {YAMNET_WEIGHTS.remedy} --force-reinstall")
        return archive.read(members["model.onnx"]), {"model.data": archive.read(members["model.data"])}


def pool(posteriors: npt.NDArray[np.float32]) -> FloatArray:
    """Posteriors of the whole sound, float32 [521]: the mean over time."""
    return np.asarray(posteriors.mean(axis=0), dtype=np.float32)
