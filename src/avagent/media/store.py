"""The worker's media: clips by reference, decoded, edited and measured on demand, bounded in bytes.

References and decisions travel through the pipeline, media does not (ADR 1): a stage asks the store of its
process for a :class:`~avagent.core.ports.ClipView`. Editing is deterministic, so whatever was evicted is made again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy.typing as npt

from avagent.core.actions import Action
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.errors import (
    EditError,
    Failure,
    FailureReason,
    MediaError,
    ParameterError,
    ShardError,
    Stage,
)
from avagent.core.facts import Facts
from avagent.core.media import Frames, Motion, StreamInfo, Waveform
from avagent.core.ports import Editor
from avagent.core.region import Region
from avagent.dsp.actions.edit import DspEditor
from avagent.dsp.measures.sound_facts import measure
from avagent.media.container import (
    DEFAULT_LIMITS,
    DecodedMember,
    MediaLimits,
    Picture,
    PictureChoice,
    decode_frames_at,
    decode_images,
    decode_member,
)
from avagent.media.decoder_process import Decoder, DirectDecoder
from avagent.media.region import decode_region
from avagent.storage.byte_cache import ByteCache

Media = Waveform | Frames | Motion | Picture | DecodedMember | Failure
MediaT = TypeVar("MediaT", bound=Media | None)
PartT = TypeVar("PartT", Waveform, Picture)
_MOST_CLIPS = 10_000
"""Clips of which is known how long their decoding took; one that is forgotten may take that long again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What the store did so far.

    Attributes:
        hits: requests answered from the cache.
        misses: requests for which something was read, decoded, edited or measured.
        reads: clips read again from their shard.
        evictions: entries dropped to stay within the bound.
        entries, bytes: held now.
    """

    hits: int
    misses: int
    reads: int
    evictions: int
    entries: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSampling:
    """Which pictures captioners and scorers see.

    Attributes:
        count: pictures at most.
        max_side: in pixels.
        min_keyframes: a clip with so many keyframes shows these; of one with fewer, any picture.
    """

    count: int = 8
    max_side: int = 360
    min_keyframes: int = 4

    def __post_init__(self) -> None:
        if self.count < 1 or self.max_side < 16 or not 0 <= self.min_keyframes <= self.count:
            raise ParameterError(f"count >= 1, max_side >= 16 and 0 <= min_keyframes <= count are needed, got {self}")


class MediaStore:
    """One per process, used from many threads: an LRU over all that it makes, bounded in bytes.

    Args:
        max_bytes: bound of what is kept, in bytes; a single larger value is handed out but not kept.
        read_clip: reads a clip from its shard by range, when it is not here any more.
        editor: applies actions; :class:`avagent.dsp.actions.edit.DspEditor` unless given.
        sampling: which pictures are handed out.
        limits: of the media.
        decoder: what media are decoded in; this process unless given.
    """

    def __init__(
        self,
        max_bytes: int,
        read_clip: Callable[[ClipRef], Clip],
        *,
        editor: Editor | None = None,
        sampling: FrameSampling | None = None,
        limits: MediaLimits = DEFAULT_LIMITS,
        decoder: Decoder | None = None,
    ) -> None:
        self._cache: ByteCache[tuple[str, str, tuple[Action, ...]]] = ByteCache(
            max_bytes, permanent=(MediaError, EditError)
        )
        self._read_clip = read_clip
        self._editor: Editor = editor if editor is not None else DspEditor()
        self._sampling = sampling if sampling is not None else FrameSampling()
        self._limits = limits
        self._decoder: Decoder = decoder if decoder is not None else DirectDecoder()
        self._decoders: dict[str, Decoder] = {}
        self._reads = 0
        self._lock = threading.Lock()

    @property
    def stats(self) -> StoreStats:
        """Counters and what is held now."""
        cache = self._cache.stats
        return StoreStats(
            hits=cache.hits,
            misses=cache.misses,
            reads=self._reads,
            evictions=cache.evictions,
            entries=cache.entries,
            bytes=cache.bytes,
        )

    def put(self, ref: ClipRef, clip: Clip) -> None:
        """Keep a clip's bytes, as its shard is streamed."""
        self._cache.put((ref.content_sha256, "clip", ()), clip, clip.nbytes)

    def discard(self, ref: ClipRef) -> None:
        """Drop all that is held of a clip whose way through the pipeline has ended."""
        self._cache.discard(lambda key: key[0] == ref.content_sha256)
        with self._lock:
            self._decoders.pop(ref.content_sha256, None)

    def view(self, ref: ClipRef, actions: Sequence[Action] = ()) -> StoredView:
        """The clip's media, its sound edited by these actions in order."""
        return StoredView(self, ref, tuple(actions))

    def clip(self, ref: ClipRef) -> Clip:
        """The clip's bytes.

        Raises:
            ShardError: the shard cannot be read, or holds something else at that place by now.
        """
        return self._cache.get((ref.content_sha256, "clip", ()), lambda: self._read(ref), lambda clip: clip.nbytes)

    def _read(self, ref: ClipRef) -> Clip:
        clip = self._read_clip(ref)
        with self._lock:
            self._reads += 1
        if content_hash(clip.members) != ref.content_sha256:
            raise ShardError(
                f"clip {ref.key!r} at byte {ref.offset} of {ref.shard} is not the one that was listed: the shard was"
                " replaced during the run; run again on the new shard",
                reason=FailureReason.CHANGED_SINCE_LISTED,
            )
        return clip

    def streams(self, ref: ClipRef) -> StreamInfo:
        """What the members declare: the sound of the separate audio member, if any, and the container's picture."""
        heard = self._sound_member(ref).streams
        if self._is_one_member(ref) or self.clip(ref).video() is None:
            return heard
        return replace(
            self._picture_member(ref).streams,
            has_audio=heard.has_audio,
            audio_duration=heard.audio_duration,
            audio_start=heard.audio_start,
            audio_codec=heard.audio_codec,
            rate=heard.rate,
            channels=heard.channels,
            audio_drift=heard.audio_drift,
        )

    def audio(self, ref: ClipRef, actions: tuple[Action, ...]) -> Waveform | None:
        """The sound with the actions applied, from the longest part of them that is here already."""
        if not actions:
            return _there(self._sound_member(ref).sound)
        return self._cache.get((ref.content_sha256, "audio", actions), lambda: self._edit(ref, actions), _nbytes)

    def frames(self, ref: ClipRef) -> Frames | None:
        """Pictures of the container, else the separate ones."""
        picture = self._picture(ref)
        if picture is not None:
            return picture.frames
        return self._cache.get((ref.content_sha256, "images", ()), lambda: self._decode_images(ref), _nbytes)

    def frames_at(self, ref: ClipRef, times: tuple[float, ...]) -> Frames | None:
        """The container's picture at these moments."""
        video = self.clip(ref).video()
        if video is None or not self._picture_member(ref).streams.has_video:
            return None
        # The key names the moments: another scorer may ask for other ones.
        key = (ref.content_sha256, "frames at " + " ".join(f"{t:.6f}" for t in times), ())
        return self._cache.get(key, lambda: self._decode_at(ref, video, times), _nbytes)

    def region(self, ref: ClipRef, region: Region) -> Frames | None:
        """One part of every picture of the container: made anew at each call, for it is large and looked at once."""
        video = self.clip(ref).video()
        if video is None or not self._picture_member(ref).streams.has_video:
            return None
        origin = None if self._is_one_member(ref) else self._picture_member(ref).streams.video_start
        return self._decoder_of(ref).run(decode_region, video.data, region, origin=origin, limits=self._limits)

    def motion(self, ref: ClipRef) -> Motion | None:
        """Motion energy of the container's picture."""
        picture = self._picture(ref)
        return None if picture is None else picture.motion

    def facts(self, ref: ClipRef, actions: tuple[Action, ...]) -> Facts | None:
        """Measured facts of the edited sound."""
        return self._cache.get((ref.content_sha256, "facts", actions), lambda: self._measure(ref, actions), lambda _: 0)

    def _decoder_of(self, ref: ClipRef) -> Decoder:
        """Steps of one clip share the limit of time until the clip's way ends."""
        with self._lock:
            if len(self._decoders) >= _MOST_CLIPS:
                del self._decoders[next(iter(self._decoders))]
            return self._decoders.setdefault(ref.content_sha256, self._decoder.for_clip())

    def _is_one_member(self, ref: ClipRef) -> bool:
        """Whether sound and picture lie in one member."""
        clip = self.clip(ref)
        return clip.video() is clip.sound()

    def _sound_member(self, ref: ClipRef) -> DecodedMember:
        """The member that holds the sound, and the picture if that is in it: all decoded in one pass."""
        return self._cache.get((ref.content_sha256, "sound", ()), lambda: self._decode(ref, sound=True), _nbytes)

    def _picture_member(self, ref: ClipRef) -> DecodedMember:
        """The container."""
        if self._is_one_member(ref):
            return self._sound_member(ref)
        return self._cache.get((ref.content_sha256, "picture", ()), lambda: self._decode(ref, sound=False), _nbytes)

    def _picture(self, ref: ClipRef) -> Picture | None:
        return None if self.clip(ref).video() is None else _there(self._picture_member(ref).picture)

    def _decode(self, ref: ClipRef, *, sound: bool) -> DecodedMember:
        clip, one = self.clip(ref), self._is_one_member(ref)
        member = clip.video() if not sound else clip.sound()
        if member is None:
            raise ParameterError(f"clip {ref.key!r} has no such member")
        sampling = self._sampling
        pictures = PictureChoice(
            count=sampling.count,
            max_side=sampling.max_side,
            least_keyframes=sampling.min_keyframes,
            # A separate sound starts with the first picture: there is no common clock that says otherwise.
            sound_at_zero=one,
        )
        return _frozen(
            self._decoder_of(ref).run(
                decode_member,
                member.data,
                sound=sound,
                pictures=pictures if one or not sound else None,
                limits=self._limits,
            )
        )

    def _edit(self, ref: ClipRef, actions: tuple[Action, ...]) -> Waveform | None:
        known = next(
            (n for n in range(len(actions) - 1, 0, -1) if (ref.content_sha256, "audio", actions[:n]) in self._cache), 0
        )
        base = self.audio(ref, actions[:known])
        if base is None:
            return None
        # Libraries behind the editor may refuse read-only arrays, or work in place: they get one of their own.
        edited = self._editor.edit(Waveform(base.samples.copy(), base.rate), actions[known:])
        return _frozen(_owned(edited))

    def _decode_at(self, ref: ClipRef, video: Member, times: tuple[float, ...]) -> Frames | None:
        max_side = self._sampling.max_side
        origin = None if self._is_one_member(ref) else self._picture_member(ref).streams.video_start
        return _frozen(
            self._decoder_of(ref).run(
                decode_frames_at, video.data, times, max_side=max_side, origin=origin, limits=self._limits
            )
        )

    def _decode_images(self, ref: ClipRef) -> Frames | None:
        sampling = self._sampling
        images = self.clip(ref).images()
        if not images:
            return None
        # Decode no more pictures than are handed out.
        step = max(len(images) / sampling.count, 1.0)
        chosen = [images[int(i * step)].data for i in range(min(len(images), sampling.count))]
        duration = self.streams(ref).audio_duration
        return _frozen(
            self._decoder_of(ref).run(
                decode_images, chosen, duration=duration, max_side=sampling.max_side, limits=self._limits
            )
        )

    def _measure(self, ref: ClipRef, actions: tuple[Action, ...]) -> Facts | None:
        waveform = self.audio(ref, actions)
        if waveform is None:
            return None
        streams = replace(self.streams(ref), audio_duration=waveform.duration)
        return measure(waveform, motion=self.motion(ref), streams=streams)


@dataclass(frozen=True, slots=True)
class StoredView:
    """A clip's media through the store: see :class:`avagent.core.ports.ClipView`."""

    store: MediaStore
    ref: ClipRef
    actions: tuple[Action, ...] = ()

    def streams(self) -> StreamInfo:
        """What the members declare, of the original sound. Raises MediaError, ShardError."""
        return self.store.streams(self.ref)

    def audio(self) -> Waveform | None:
        """The edited sound, read-only; None: no sound. Raises MediaError, EditError, ShardError."""
        return self.store.audio(self.ref, self.actions)

    def frames(self) -> Frames | None:
        """Pictures spread over the clip; None: no picture. Raises MediaError, ShardError."""
        return self.store.frames(self.ref)

    def frames_at(self, times: tuple[float, ...]) -> Frames | None:
        """The pictures shown at these moments, in s; None: no moving picture. Raises MediaError, ShardError."""
        return self.store.frames_at(self.ref, times)

    def region(self, region: Region) -> Frames | None:
        """One part of every picture; None: no moving picture. Raises MediaError, ShardError."""
        return self.store.region(self.ref, region)

    def motion(self) -> Motion | None:
        """Motion energy; None: no moving picture. Raises MediaError, ShardError."""
        return self.store.motion(self.ref)

    def facts(self) -> Facts | None:
        """Measured facts of the edited sound; None: no sound. Raises MediaError, EditError, ShardError."""
        return self.store.facts(self.ref, self.actions)


def _arrays(value: Media | None) -> list[npt.NDArray[Any]]:
    match value:
        case Waveform():
            return [value.samples]
        case Frames():
            return [value.pixels, value.times]
        case Motion():
            return [value.energy, value.times]
        case Picture():
            return [*_arrays(value.frames), *_arrays(value.motion)]
        case DecodedMember():
            return [*_arrays(value.sound), *_arrays(value.picture)]
        case Failure() | None:
            return []


def _nbytes(value: Media | None) -> int:
    return sum(array.nbytes for array in _arrays(value))


def _there(part: PartT | Failure | None) -> PartT | None:
    """A part of a member. Raises MediaError, as its decoding did."""
    if isinstance(part, Failure):
        raise MediaError(part.message, reason=FailureReason(part.reason), stage=Stage(part.stage))
    return part


def _owned(waveform: Waveform) -> Waveform:
    """A part of a larger array would keep all of it in memory, uncounted."""
    samples = waveform.samples
    return waveform if samples.base is None else Waveform(samples.copy(), waveform.rate)


def _frozen(value: MediaT) -> MediaT:
    """Make the arrays read-only: who wrote into a cached one would change what every later stage hears and sees."""
    for array in _arrays(value):
        array.flags.writeable = False
    return value
