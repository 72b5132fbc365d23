"""Clips as arrays, for tests of the models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np

from avagent.core.actions import Action
from avagent.core.clip import ClipRef
from avagent.core.errors import ClipError
from avagent.core.facts import Facts
from avagent.core.media import Frames, Motion, StreamInfo, Waveform
from avagent.core.region import Region
from avagent.dsp.actions.edit import DspEditor
from avagent.dsp.measures.sound_facts import measure

RATE = 16_000
FPS = 25


@dataclass(frozen=True)
class ArrayView:
    """A ClipView over arrays; `broken` is raised wherever media is asked for."""

    key: str = "clip"
    sound: Waveform | None = None
    pictures: Frames | None = None
    movement: Motion | None = None
    actions: tuple[Action, ...] = ()
    broken: ClipError | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def ref(self) -> ClipRef:
        digest = hashlib.sha256(self.key.encode())
        for part in (self.sound and self.sound.samples, self.pictures and self.pictures.pixels):
            digest.update(b"-" if part is None else part.tobytes())
        return ClipRef(key=self.key, shard="memory://tests", offset=0, length=0, content_sha256=digest.hexdigest())

    def edited(self, *actions: Action) -> ArrayView:
        return replace(self, actions=actions, asked=[])

    def streams(self) -> StreamInfo:
        self._note("streams")
        duration = float(self.movement.times[-1]) + 1 / FPS if self.movement is not None else None
        return StreamInfo(
            has_audio=self.sound is not None, has_video=self.pictures is not None, video_duration=duration
        )

    def audio(self) -> Waveform | None:
        self._note("audio")
        if self.sound is None or not self.actions:
            return self.sound
        return DspEditor().edit(self.sound, self.actions)

    def frames(self) -> Frames | None:
        self._note("frames")
        return self.pictures

    def frames_at(self, times: tuple[float, ...]) -> Frames | None:
        self._note("frames_at")
        if self.pictures is None or self.movement is None:
            return None
        nearest = [int(np.abs(self.pictures.times - t).argmin()) for t in times]
        return Frames(self.pictures.pixels[nearest], np.array(times))

    def region(self, region: Region) -> Frames | None:
        self._note("region")
        if self.pictures is None or self.movement is None:
            return None
        high, wide = self.pictures.pixels.shape[1:3]
        rows = slice(int(region.top * high), int(np.ceil(region.bottom * high)))
        columns = slice(int(region.left * wide), int(np.ceil(region.right * wide)))
        return Frames(self.pictures.pixels[:, rows, columns], self.pictures.times)

    def motion(self) -> Motion | None:
        self._note("motion")
        return self.movement

    def facts(self) -> Facts | None:
        waveform = self.audio()
        return None if waveform is None else measure(waveform, motion=self.movement, streams=self.streams())

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self.broken is not None:
            raise self.broken


def picture(path: Path) -> Frames:
    """A picture on white, as one frame."""
    with av.open(str(path)) as container:
        rgba = next(container.decode(video=0)).reformat(format="rgba").to_ndarray().astype(np.float32)
    alpha = rgba[..., 3:] / 255.0
    return Frames(np.rint(rgba[None, ..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8), np.zeros(1))


def grey(count: int = 1) -> Frames:
    return Frames(np.full((count, 48, 64, 3), 128, np.uint8), np.arange(count, dtype=np.float64))


def sound(path: Path) -> Waveform:
    """A file's sound as mono float32."""
    options = {"format": "g722"} if path.suffix == ".g722" else {}
    with av.open(str(path), **options) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=stream.rate)
        blocks = [out.to_ndarray() for frame in container.decode(stream) for out in resampler.resample(frame)]
        blocks += [out.to_ndarray() for out in resampler.resample(None)]
        return Waveform(np.concatenate(blocks, axis=1, dtype=np.float32), stream.rate)


def events(times: Sequence[float], seconds: float, *, rate: int = RATE, seed: int = 0) -> Waveform:
    """Struck tones that decay, at these times, over a faint floor."""
    rng = np.random.default_rng(seed)
    samples = 1e-4 * rng.standard_normal(round(seconds * rate))
    t = np.arange(round(0.35 * rate)) / rate
    for at in times:
        strike = 0.4 * np.exp(-t / 0.07) * np.sin(2 * np.pi * rng.uniform(300, 900) * t)
        begin = round(at * rate)
        part = samples[begin : begin + strike.size]
        part += strike[: part.size]
    return Waveform(samples[None].astype(np.float32), rate)


def movement(times: Sequence[float], seconds: float, *, fps: int = FPS) -> Motion:
    """Motion energy that rises at these times and decays."""
    clock = np.arange(round(seconds * fps)) / fps
    energy = np.full(clock.size, 0.05, np.float32)
    for at in times:
        energy += np.where(clock >= at - 0.5 / fps, 8.0 * np.exp(-(clock - at) / 0.08), 0.0).astype(np.float32)
    energy[0] = 0.0
    return Motion(energy, clock)


def struck(seconds: float = 8.0, *, count: int = 9, seed: int = 3, key: str = "struck") -> ArrayView:
    """A clip in which every sound has its movement."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.4, seconds - 0.5, count))
    return ArrayView(
        key=key, sound=events(times, seconds, seed=seed), pictures=grey(), movement=movement(times, seconds)
    )
