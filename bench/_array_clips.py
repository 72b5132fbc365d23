"""Clips held as arrays, for benchmarks: scenes of the demo, with or without a known fault."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from avagent.core.actions import Action
from avagent.core.clip import ClipRef
from avagent.core.facts import Facts
from avagent.core.media import Frames, Motion, StreamInfo, Waveform
from avagent.core.region import Region
from avagent.dsp.actions.edit import DspEditor
from avagent.dsp.measures.motion import motion_energy
from avagent.dsp.measures.sound_facts import measure

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT / ".cache" / "media"
sys.path.insert(0, str(ROOT / "examples" / "demo"))

from scenes import Clean, Scene, decode_sound, render  # noqa: E402

FRAMES = 4
LOWEST_RATE = 8_000
"""In Hz: what the actions accept."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Symbols and signs whose recording is a spoken name or an unrelated effect, not the sound of what is shown.
NOT_ITS_OWN_SOUND = ("food/", "town/", "seasonal/christmas", "seasonal/hanukkah", "space/", "military/")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What is seen: a few frames, the motion, the duration in s."""

    frames: Frames
    motion: Motion | None
    duration: float


@dataclass(frozen=True, eq=False)
class ArrayView:
    """A :class:`~avagent.core.ports.ClipView` over arrays."""

    key: str
    sound: Waveform
    picture: Picture
    actions: tuple[Action, ...] = ()
    made: dict[tuple[Action, ...], Waveform] = field(default_factory=dict)

    @cached_property
    def ref(self) -> ClipRef:
        """A reference that depends on key and samples."""
        digest = hashlib.sha256(self.key.encode() + self.sound.samples.tobytes()).hexdigest()
        return ClipRef(key=self.key, shard="memory://bench", offset=0, length=0, content_sha256=digest)

    def edited(self, actions: Sequence[Action]) -> ArrayView:
        """The clip with these actions applied to its sound."""
        return replace(self, actions=tuple(actions))

    def streams(self) -> StreamInfo:
        """Durations as a container would declare them."""
        return StreamInfo(
            has_audio=True,
            has_video=self.picture.motion is not None,
            audio_duration=self.sound.duration,
            video_duration=self.picture.duration if self.picture.motion is not None else None,
            rate=self.sound.rate,
            channels=self.sound.channels,
        )

    def audio(self) -> Waveform:
        """The edited sound."""
        if self.actions not in self.made:
            self.made[self.actions] = DspEditor().edit(self.sound, self.actions) if self.actions else self.sound
        return self.made[self.actions]

    def frames(self) -> Frames:
        """A few pictures."""
        return self.picture.frames

    def frames_at(self, times: tuple[float, ...]) -> Frames | None:
        """The nearest of the few pictures."""
        shown = self.picture.frames
        if self.picture.motion is None:
            return None
        return Frames(shown.pixels[[int(np.abs(shown.times - t).argmin()) for t in times]], np.array(times))

    def region(self, region: Region) -> Frames | None:
        """None: there are but a few pictures."""
        del region

    def motion(self) -> Motion | None:
        """Motion energy."""
        return self.picture.motion

    def facts(self) -> Facts:
        """Measured facts of the edited sound."""
        return self._facts

    @cached_property
    def _facts(self) -> Facts:
        return measure(self.audio(), motion=self.motion(), streams=self.streams())


def stamps(media: Path = MEDIA) -> Iterator[tuple[str, Path, Path]]:
    """Key, picture and sound of every stamp whose sound is audible and can be edited."""
    for picture in sorted((media / "stamps").rglob("*.png")):
        sound = next((p for s in (".ogg", ".wav") if (p := picture.with_suffix(s)).is_file()), None)
        if sound is None:
            continue
        waveform = decode_sound(sound)
        if waveform.rate >= LOWEST_RATE and float(np.abs(waveform.samples).max(initial=0.0)) > 1e-3:
            yield picture.relative_to(media / "stamps").with_suffix("").as_posix(), picture, sound


def scenes(media: Path = MEDIA) -> Iterator[Scene]:
    """Every stamp as a moving picture with its sound, speech over stamps, and cuts of the film."""
    known = list(stamps(media))
    for key, picture, sound in known:
        yield Scene(
            key=key,
            kind="object",
            picture=str(picture.relative_to(media)),
            sound=str(sound.relative_to(media)),
            seconds=6.0,
        )
    for i, speech in enumerate(sorted((media / "speech").iterdir())):
        picture = known[(7 * i) % len(known)][1].relative_to(media)
        sound = str(speech.relative_to(media))
        yield Scene(key=f"speech/{speech.stem}", kind="speech", picture=str(picture), sound=sound, seconds=6.0)
    film = "video/bigbuckbunny.mp4"
    for start in (0.0, 1.1, 2.3):
        yield Scene(key=f"film/{start}", kind="film", picture=film, sound=film, start=start, seconds=3.0)


def recordings(media: Path = MEDIA) -> Iterator[ArrayView]:
    """Every recording as it comes, without a picture: stamps, speech, the film."""
    sounds = [sound for _, _, sound in stamps(media)]
    for sound in (*sounds, *sorted((media / "speech").iterdir()), media / "video" / "bigbuckbunny.mp4"):
        nothing = Picture(Frames(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0)), None, 0.0)
        yield ArrayView(key=sound.relative_to(media).as_posix(), sound=decode_sound(sound), picture=nothing)


def load(scene: Scene, media: Path = MEDIA) -> ArrayView:
    """The clean clip."""
    clean = render(scene, media)
    return ArrayView(key=scene.key, sound=clean.sound, picture=_picture(clean))


def _picture(clean: Clean) -> Picture:
    times = np.arange(len(clean.pictures)) / clean.fps
    chosen = np.linspace(0, len(clean.pictures) - 1, FRAMES).round().astype(int)
    luma = ((np.rint(p @ LUMA).astype(np.uint8), float(t)) for p, t in zip(clean.pictures, times, strict=True))
    return Picture(
        frames=Frames(np.stack([clean.pictures[i] for i in chosen]), times[chosen]),
        motion=motion_energy(luma),
        duration=len(clean.pictures) / clean.fps,
    )
