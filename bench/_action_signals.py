"""Real recordings for bench/actions.py, and what spoils them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soxr

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.faults import Babble, Fault, HumFault, Noise, inject

RATE = 16_000
SNRS_DB = (0.0, 5.0, 10.0)
CONTENT_SNR_DB = 5.0
MUSIC = ("cello.ogg", "violin.ogg", "bassoon.ogg", "drumkit.ogg", "final-roll-call.ogg")
_CLIP_S = 8.0
_VOICES = (0.82, 0.9, 0.97, 1.05, 1.13, 1.22)


@dataclass(frozen=True, slots=True)
class Case:
    """Clean sound and the same with noise, float32 [samples] at 16 kHz."""

    noise: str
    snr_db: float
    clean: FloatArray
    noisy: FloatArray


@dataclass(frozen=True, slots=True)
class Recordings:
    """float32 [samples] each, at 16 kHz: speech (8 s), music, other sounds of 2 s or more, babble of six voices."""

    speech: list[FloatArray]
    music: list[FloatArray]
    content: list[FloatArray]
    babble: FloatArray


def decode(path: Path) -> Waveform:
    """The sound of a file."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts: list[npt.NDArray[np.float32]] = []
        for frame in container.decode(stream):
            data = frame.to_ndarray()
            if not frame.format.is_planar:
                data = data.reshape(-1, frame.layout.nb_channels).T
            scale = np.float32(1 / 32768) if data.dtype == np.int16 else np.float32(1)
            parts.append(data.astype(np.float32) * scale)
        return Waveform(np.concatenate(parts, axis=1), stream.rate)


def load(media: Path, speech_clips: int) -> Recordings:
    """Decode and resample what is needed of the media folder (tools/fetch_media.py)."""
    talk = [_mono(path) for path in sorted((media / "speech").glob("*.g722"))]
    talk = [x for x in talk if x.size >= 3 * RATE]
    whole = np.concatenate(talk)
    size = int(_CLIP_S * RATE)
    speech = [_normalised(whole[i * size : (i + 1) * size]) for i in range(min(speech_clips, whole.size // size))]
    stamps = sorted((media / "stamps").rglob("*.ogg"))
    music = [_mono(p) for p in stamps if p.name in MUSIC] + [_mono(media / "video" / "bigbuckbunny.mp4")]
    content = [_mono(p) for p in stamps if p.name not in MUSIC]
    content = [x for x in content if x.size >= 2 * RATE and float(np.mean(np.square(x))) > 1e-3]
    return Recordings(speech, music, content, _babble(whole))


def cases(recordings: Recordings, noises: tuple[str, ...], snrs: tuple[float, ...] = SNRS_DB) -> Iterator[Case]:
    """Every speech clip with every noise at every SNR."""
    for noise in noises:
        for seed, clean in enumerate(recordings.speech):
            for snr_db in snrs:
                yield Case(noise, snr_db, clean, _spoilt(clean, noise, snr_db, seed, recordings.babble))


def content_cases(recordings: Recordings) -> Iterator[Case]:
    """Every other sound with white and pink noise at 5 dB."""
    for noise in ("white", "pink"):
        for seed, clean in enumerate(recordings.content):
            spoilt = _spoilt(clean, noise, CONTENT_SNR_DB, seed, recordings.babble)
            yield Case(f"content+{noise}", CONTENT_SNR_DB, clean, spoilt)


def _spoilt(clean: FloatArray, noise: str, snr_db: float, seed: int, babble: FloatArray) -> FloatArray:
    faults: dict[str, Fault] = {
        "white": Noise(snr_db=snr_db, colour="white"),
        "pink": Noise(snr_db=snr_db, colour="pink"),
        "babble": Babble(snr_db=snr_db),
        "hum": HumFault(snr_db=snr_db, fundamental_hz=49.97 if seed % 2 else 60.02),
    }
    waveform = Waveform(clean[None, :], RATE)
    if noise == "swelling":
        steady = inject(Noise(snr_db=snr_db, colour="pink"), waveform, seed=seed).waveform.samples[0] - clean
        swell = 10.0 ** (np.linspace(-20.0, 3.0, clean.size) / 20.0)
        return (clean + steady * swell).astype(np.float32)
    other = Waveform(np.roll(babble, 5 * seed * RATE)[None, : clean.size].copy(), RATE)
    return inject(faults[noise], waveform, seed=seed, other=other).waveform.samples[0]


def _babble(whole: FloatArray) -> FloatArray:
    """Six voices at once: the one speaker, at six rates and six places."""
    length = min(30 * RATE, whole.size // 2)
    total = np.zeros(length, np.float32)
    for index, ratio in enumerate(_VOICES):
        voice = soxr.resample(np.roll(whole, index * whole.size // len(_VOICES)), ratio, 1.0)[:length]
        total[: voice.size] += voice / np.sqrt(np.mean(np.square(voice)))
    return _normalised(total)


def _mono(path: Path) -> FloatArray:
    sound = decode(path)
    mixed = sound.samples.mean(axis=0, dtype=np.float32)
    return np.asarray(soxr.resample(mixed, sound.rate, RATE, quality="VHQ"), np.float32)


def _normalised(samples: FloatArray) -> FloatArray:
    return np.asarray(0.08 * samples / np.sqrt(np.mean(np.square(samples)) + 1e-12), np.float32)
