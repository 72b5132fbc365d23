"""Clean clips in many forms for the reflection's benchmark: short and long, stereo and 5.1, coded, mixed, made."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from _array_clips import LOWEST_RATE, ArrayView, decode_sound
from _reflection_clips import AUDIBLE, BENCH_MEDIA, KINDS, Clip, fitted, paths_of, under

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.faults import Reverberation, inject
from avagent.dsp.resampling import resample

SECONDS = 6.0
FORMS_EACH = 3
"""Forms that are made of every recording, besides the plain cut."""
BED_DB = -16.0
"""Music under dialogue, beside it (EBU Tech 3343 and BBC guidance: 7 to 23 LU below)."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recording, of the whole of which forms are made."""

    key: str
    group: str
    sound: Waveform

    @property
    def kind(self) -> str:
        """What it holds."""
        return KINDS[self.group]


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """What can be put under or beside a recording."""

    music: Sequence[Path]
    speech: Sequence[Path]
    any: Sequence[Path]


Form = Callable[[Recording, Others, np.random.Generator], Waveform | None]


def forms(*, setting: bool, every: slice, media: Path = BENCH_MEDIA) -> Iterator[tuple[str, Clip]]:
    """Every recording as a cut of some seconds and in some other forms, by turns; then what is made by reckoning."""
    paths = paths_of(setting=setting, media=media)
    others = Others(
        music=[p for p in paths if KINDS[_group(p, media)] == "music"],
        speech=[p for p in paths if KINDS[_group(p, media)] == "speech"],
        any=paths,
    )
    names = tuple(FORMS)
    for path in paths[every]:
        key = str(path.relative_to(media))
        sound = decode_sound(path)
        if sound.rate < LOWEST_RATE or float(np.abs(sound.samples).max(initial=0.0)) <= AUDIBLE:
            continue
        recording = Recording(key, _group(path, media), sound)
        number = zlib.crc32(key.encode())
        for i in range(FORMS_EACH + 1):
            name = "cut" if i == 0 else names[1 + (number + i * 5) % (len(names) - 1)]
            made = FORMS[name](recording, others, np.random.default_rng([number, i]))
            if made is not None and made.length:
                yield name, _clip(f"{key}#{name}", recording.group, recording.kind, made, others.any)
    if setting:
        for name, made in synthetic():
            yield "synthetic", _clip(f"synthetic/{name}", "synthetic", "synthetic", made, others.any)


def _group(path: Path, media: Path) -> str:
    return path.relative_to(media).parts[0]


def _clip(key: str, group: str, kind: str, sound: Waveform, paths: Sequence[Path]) -> Clip:
    """Under a still picture, one that follows the sound, or one that follows another sound."""
    number = zlib.crc32(key.encode())
    leader = sound if number % 3 else fitted(_decoded(paths[number % len(paths)]), sound)
    picture = under(key, sound, None if number % 3 == 2 else leader)
    return Clip(source=group, kind=kind, view=ArrayView(key=key, sound=sound, picture=picture))


@lru_cache(maxsize=8)
def _decoded(path: Path) -> Waveform:
    return decode_sound(path)


def _cut(seconds: float) -> Form:
    def cut(recording: Recording, _: Others, rng: np.random.Generator) -> Waveform | None:
        sound = recording.sound
        size = round(seconds * sound.rate)
        if sound.length < min(size, round(0.5 * sound.rate)):
            return None
        start = int(rng.integers(0, max(1, sound.length - size + 1)))
        return Waveform(np.ascontiguousarray(sound.samples[:, start : start + size]), sound.rate)

    return cut


def _telephone(recording: Recording, others: Others, rng: np.random.Generator) -> Waveform | None:
    cut = _cut(SECONDS)(recording, others, rng)
    if cut is None or cut.rate <= LOWEST_RATE:
        return None
    return Waveform(np.asarray(resample(cut.mono(), cut.rate, 8000), np.float32)[None, :], 8000)


def _reverberant(recording: Recording, others: Others, rng: np.random.Generator) -> Waveform | None:
    cut = _cut(SECONDS)(recording, others, rng)
    if cut is None:
        return None
    fault = Reverberation(rt60_s=float(rng.uniform(0.4, 3.0)), direct_db=float(rng.uniform(-3.0, 6.0)))
    made = inject(fault, cut, seed=int(rng.integers(1 << 31))).waveform
    return Waveform(made.samples / max(1.0, float(np.abs(made.samples).max(initial=0.0)) / 0.97), made.rate)


def _over_bed(recording: Recording, others: Others, rng: np.random.Generator) -> Waveform | None:
    """Speech with music under it, or the recording over other music."""
    cut = _cut(SECONDS)(recording, others, rng)
    if cut is None or not others.music:
        return None
    bed = fitted(_decoded(others.music[int(rng.integers(len(others.music)))]), cut).samples[0]
    return _mixed(cut, bed, BED_DB + float(rng.uniform(-5.0, 5.0)))


def _mixed(cut: Waveform, bed: FloatArray, level_db: float) -> Waveform:
    level = np.sqrt(np.mean(np.square(cut.samples), dtype=np.float64))
    under_it = np.sqrt(np.mean(np.square(bed), dtype=np.float64))
    gain = np.float32(level / max(under_it, 1e-9) * 10.0 ** (level_db / 20.0))
    mixed = cut.samples + gain * bed
    return Waveform(np.ascontiguousarray(mixed / max(1.0, float(np.abs(mixed).max()) / 0.97)), cut.rate)


def _surround(recording: Recording, others: Others, rng: np.random.Generator) -> Waveform | None:
    """5.1 (L R C LFE Ls Rs): a voice in the centre, the recording in front, its late copy behind."""
    cut = _cut(SECONDS)(recording, others, rng)
    if cut is None or not others.speech:
        return None
    mono = cut.mono()
    voice = fitted(_decoded(others.speech[int(rng.integers(len(others.speech)))]), cut).samples[0]
    late = np.roll(mono, round(0.02 * cut.rate)) * np.float32(0.4)
    low = np.asarray(resample(resample(mono, cut.rate, cut.rate / 40), cut.rate / 40, cut.rate), np.float32)
    low = np.resize(low, mono.size) * np.float32(0.3)
    left, right = cut.samples[0], cut.samples[-1]
    return Waveform(np.stack([left, right, voice * np.float32(0.7), low, late, -late]).astype(np.float32), cut.rate)


def _faded(recording: Recording, others: Others, rng: np.random.Generator) -> Waveform | None:
    cut = _cut(SECONDS)(recording, others, rng)
    if cut is None:
        return None
    ramp = np.minimum(np.arange(cut.length, dtype=np.float32) / np.float32(2.0 * cut.rate), np.float32(1.0)) ** 2
    return Waveform(cut.samples * (ramp if rng.integers(2) else ramp[::-1]), cut.rate)


def _among_silence(recording: Recording, others: Others, rng: np.random.Generator) -> Waveform | None:
    """Short pieces, each faded, in digital silence that belongs."""
    cut = _cut(SECONDS)(recording, others, rng)
    if cut is None:
        return None
    window = np.zeros(cut.length, np.float32)
    for _ in range(5):
        size = round(float(rng.uniform(0.15, 0.8)) * cut.rate)
        if size < cut.length:
            at = int(rng.integers(cut.length - size))
            window[at : at + size] = np.hanning(size)
    return Waveform(cut.samples * window, cut.rate)


def _coded(codec: str, kilobits: int) -> Form:
    def coded(recording: Recording, others: Others, rng: np.random.Generator) -> Waveform | None:
        cut = _cut(SECONDS)(recording, others, rng)
        if cut is None:
            return None
        rate = 48_000 if codec == "libopus" else 44_100
        mono = np.asarray(resample(cut.mono(), cut.rate, rate), np.float32)
        return _through(Waveform(mono[None, :], rate), codec, kilobits)

    return coded


def _through(sound: Waveform, codec: str, kilobits: int) -> Waveform:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=sound.rate, layout="mono")
        stream.bit_rate = 1000 * kilobits
        frame = av.AudioFrame.from_ndarray(np.clip(sound.samples, -1.0, 1.0), format="fltp", layout="mono")
        frame.sample_rate = sound.rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=sound.rate, frame_size=_frame(stream))
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        blocks = [f.to_ndarray().reshape(1, -1) for f in container.decode(audio=0)]
    samples = np.concatenate(blocks, axis=1)
    whole = samples.astype(np.float32) / 32768.0 if samples.dtype == np.int16 else samples.astype(np.float32)
    return Waveform(np.ascontiguousarray(whole), sound.rate)


def _frame(stream: av.AudioStream) -> int:
    stream.codec_context.open()
    return stream.codec_context.frame_size


FORMS: Mapping[str, Form] = {
    "cut": _cut(SECONDS),
    "1 s": _cut(1.0),
    "2 s": _cut(2.0),
    "30 s": _cut(30.0),
    "8 kHz": _telephone,
    "in a room": _reverberant,
    "over music": _over_bed,
    "5.1": _surround,
    "faded": _faded,
    "among silence": _among_silence,
    "AAC 64 kbit/s": _coded("aac", 64),
    "Opus 24 kbit/s": _coded("libopus", 24),
    "MP3 64 kbit/s": _coded("libmp3lame", 64),
}


def synthetic(rate: int = 44_100, seconds: float = 6.0) -> Iterator[tuple[str, Waveform]]:
    """Sounds that are made on purpose: tones, drones, clicks on silence, noise that is the programme."""
    time = np.arange(round(rate * seconds)) / rate
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(time.size)
    beat = np.exp(-30.0 * np.mod(time, 0.5))
    swell = 0.5 - 0.5 * np.cos(2.0 * np.pi * time / 3.0)
    for hertz in (49.0, 50.0, 55.0, 60.0, 100.0, 110.0, 120.0, 440.0, 1000.0, 4000.0):
        yield f"tone {hertz:g} Hz", _wave(0.3 * np.sin(2 * np.pi * hertz * time), rate)
        yield f"pulsed tone {hertz:g} Hz", _wave(0.3 * beat * np.sin(2 * np.pi * hertz * time), rate)
    for hertz in (50.0, 60.0, 110.0):
        drone = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 12))
        lead = beat * np.sin(2 * np.pi * 660.0 * time)
        yield f"drone {hertz:g} Hz under notes", _wave(0.1 * drone + 0.3 * lead, rate)
        yield f"bass note {hertz:g} Hz that swells", _wave(0.2 * swell * drone + 0.2 * lead, rate)
    steps = 220.0 * 2 ** (np.floor(4 * time) % 12 / 12)
    yield "square wave tune", _wave(0.2 * np.sign(np.sin(2 * np.pi * steps * time)), rate)
    yield "clipped guitar", _wave(np.clip(3.0 * swell * np.sin(2 * np.pi * 147.0 * time), -0.5, 0.5), rate)
    yield "metronome on silence", _wave(0.2 * noise * np.where(np.mod(time, 0.5) < 0.004, 1.0, 0.0), rate)
    yield "clicks on silence", _wave(0.7 * (np.mod(np.arange(time.size), rate // 3) == 0), rate)
    yield "hi-hats", _wave(0.2 * noise * np.exp(-60.0 * np.mod(time, 0.125)), rate)
    yield "surf", _wave(0.2 * noise * swell, rate)
    yield "steady noise", _wave(0.1 * noise, rate)
    yield "snare over noise bed", _wave(0.02 * noise + 0.4 * noise[::-1] * beat, rate)
    yield "sweep", _wave(0.3 * np.sin(2 * np.pi * (50.0 + 500.0 * time) * time), rate)
    yield "morse", _wave(0.3 * np.sin(2 * np.pi * 600.0 * time) * (np.mod(np.floor(time * 8), 3) > 0), rate)
    yield "gated pad", _wave(0.2 * (np.mod(time, 0.25) < 0.17) * np.sin(2 * np.pi * 220.0 * time), rate)


def _wave(samples: npt.NDArray[np.float64], rate: int) -> Waveform:
    return Waveform(np.asarray(samples, np.float32)[None, :], rate)
