"""The clips of a page: what was recorded of each, and its media, read from the input by reference."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pydantic_core import from_json

from avagent import storage
from avagent.core.clip import Clip
from avagent.core.errors import AVAgentError, FailureReason, MediaError, ParameterError
from avagent.core.media import Waveform
from avagent.core.state import ClipDecision
from avagent.dsp.actions.edit import DspEditor
from avagent.media.container import decode_audio, decode_images, probe
from avagent.media.decoder_process import Decoder, process_decoder
from avagent.media.preview import PlayerChoice, encode_webp, make_players
from avagent.records.decisions import decision_from_json
from avagent.records.manifest import decisions_url
from avagent.report.choice import Chosen
from avagent.report.pictures import Drawn, Scale, draw
from avagent.runs.repaired_clips import EarlierShard
from avagent.shards.formats import ShardOptions, read_clip
from avagent.storage.concurrent import ordered_map

LONGEST_S = 12.0
"""Of a clip, only so much is shown: its beginning."""
STILLS = 6
_STILL_SIDE = 320
_SOUND_RATE = 48_000
_LEAST_PICTURE_RATE, _MOST_PICTURE_RATE = 50_000, 200_000
_MUXING = 1.1
"""What a player takes beyond the bit rates that were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """One of the two sounds of a clip.

    Attributes:
        drawn: its waveform and spectrogram.
        spectrogram: WebP.
        player: WebM; None: there was no room for it.
    """

    drawn: Drawn
    spectrogram: bytes
    player: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A clip's media on a page.

    Attributes:
        seconds: how much of the clip is shown, from its start.
        whole: whether that is all of it.
        scale: of both sounds; None: there is no sound.
        before, after: the sounds; None: there is none; after: it was not changed.
        stills: WebP, and their times in s.
        written: whether `after` is the sound as it was written; else the actions were applied anew.
        has_picture: whether players show a picture.
    """

    seconds: float
    whole: bool = True
    scale: Scale | None = None
    before: Sound | None = None
    after: Sound | None = None
    stills: tuple[tuple[bytes, float], ...] = ()
    written: bool = False
    has_picture: bool = False

    @property
    def nbytes(self) -> int:
        """Size of all that is in it."""
        sounds = [sound for sound in (self.before, self.after) if sound is not None]
        parts = [len(s.spectrogram) + len(s.drawn.path) + len(s.player or b"") for s in sounds]
        return sum(parts) + sum(len(data) for data, _ in self.stills)


@dataclass(slots=True, kw_only=True)
class ClipPage:
    """A clip as it is shown.

    Attributes:
        chosen: its row of the manifest, and why it is shown.
        decision: as recorded; None: it is not there any more.
        media: None: it cannot be shown, `trouble` says why.
    """

    chosen: Chosen
    decision: ClipDecision | None = None
    media: Media | None = None
    trouble: str = ""

    @property
    def labels(self) -> list[str]:
        """What was heard and seen, most confident first."""
        captions = self.decision.captions if self.decision else None
        found = [c for c in (captions.audio, captions.video) if c is not None] if captions else []
        return list(dict.fromkeys(tag.label for caption in found for tag in caption.tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRequest:
    """How media are read and shown.

    Attributes:
        output: the run's folder.
        shards: how shards are read.
        moved: folder where the input shards lie by now; None: where they were.
        nbytes: of one clip's media at most.
        earlier: by name of the shard, where its repaired clips lie.
    """

    output: str
    shards: ShardOptions
    nbytes: int
    moved: str | None = None
    earlier: dict[str, EarlierShard] = field(default_factory=dict[str, EarlierShard])


def with_decisions(output: str, chosen: Sequence[Chosen]) -> list[ClipPage]:
    """The clips with their decisions; each shard's file is read once, and only what is wanted of it is parsed."""
    by_shard: defaultdict[str, set[str]] = defaultdict(set)
    for clip in chosen:
        by_shard[clip.row["shard"]].add(clip.row["key"])
    known = {shard: dict(_decisions(output, shard, keys)) for shard, keys in by_shard.items()}
    return [
        ClipPage(chosen=clip, decision=known[clip.row["shard"]].get((clip.row["key"], clip.row["content_sha256"])))
        for clip in chosen
    ]


def _decisions(output: str, shard: str, keys: set[str]) -> Iterator[tuple[tuple[str, str], ClipDecision]]:
    try:
        with storage.open_read(decisions_url(output, shard)) as lines:
            for line in lines:
                if str(from_json(line)["ref"]["key"]) in keys:
                    decision = decision_from_json(line)
                    yield (decision.ref.key, decision.ref.content_sha256), decision
    except (OSError, ParameterError, ValueError, KeyError, TypeError):
        # Of another version, or removed: the manifest's row is what there is.
        return


def with_media(pages: Iterable[ClipPage], request: MediaRequest) -> Iterator[ClipPage]:
    """The clips with their media, in order, several at work at once."""
    pages = list(pages)
    for shard in {page.chosen.row["shard"] for page in pages}:
        try:
            request.earlier[shard] = EarlierShard.of(request.output, shard, request.shards)
        except (OSError, AVAgentError):
            continue
    return ordered_map(lambda page: _with_media(page, request), pages, requests=os.cpu_count() or 1)


def _with_media(page: ClipPage, request: MediaRequest) -> ClipPage:
    if page.decision is None:
        page.trouble = "its decision cannot be read, and so not where the clip lies"
        return page
    try:
        page.media = _media(page.decision, request)
    except (AVAgentError, OSError) as error:
        page.trouble = str(error)
    return page


def _media(decision: ClipDecision, request: MediaRequest) -> Media:
    ref = decision.ref
    if request.moved is not None:
        place = storage.join(request.moved, storage.basename(ref.shard))
        ref = replace(ref, shard=place)
    clip = read_clip(ref, request.shards)
    decoder = process_decoder(request.shards.decoding)
    sounds: list[Waveform] = []
    written = False
    before = decoder.run(decode_audio, clip.sound().data, limits=request.shards.media)
    if before is not None and before.length:
        sounds.append(before)
        after, written = _after(decision, before, request, decoder)
        sounds += [] if after is None else [after]
    return _shown(clip, sounds, written, request, decoder)


def _after(
    decision: ClipDecision, before: Waveform, request: MediaRequest, decoder: Decoder
) -> tuple[Waveform | None, bool]:
    """The edited sound, and whether it is the one that was written; None: nothing was edited."""
    actions = decision.actions
    if not actions:
        return None, False
    earlier = request.earlier.get(storage.basename(decision.ref.shard))
    for member in (earlier.members(decision.ref, actions) if earlier is not None else None) or ():
        sound = decoder.run(decode_audio, member.data, limits=request.shards.media)
        if sound is not None and sound.length:
            return sound, True
    return DspEditor().edit(Waveform(before.samples.copy(), before.rate), actions), False


def _shown(clip: Clip, sounds: list[Waveform], written: bool, request: MediaRequest, decoder: Decoder) -> Media:  # noqa: FBT001
    video, images, limits = clip.video(), clip.images(), request.shards.media
    durations = [sound.duration for sound in sounds]
    if video is not None and not durations:
        durations = [_duration(video.data, request, decoder)]
    seconds = min(max(durations, default=0.0), LONGEST_S) or LONGEST_S
    scale, drawn = draw(sounds, seconds) if sounds else (None, [])
    pictures = [encode_webp(one.pixels) for one in drawn]
    spent = sum(map(len, pictures)) + sum(len(one.path) for one in drawn)
    made = decoder.run(
        make_players,
        None if video is None else video.data,
        tuple(sounds),
        PlayerChoice(
            seconds=seconds,
            picture_rate=_picture_rate(request.nbytes - spent, seconds, len(sounds)),
            sound_rate=_SOUND_RATE,
            max_side=_STILL_SIDE,
            stills=STILLS,
        ),
        limits=limits,
    )
    stills = list(zip(made["stills"], made["times"], strict=True))
    if not stills and images:
        stills = _separate(clip, seconds, request, decoder)
    parts: list[Sound | None] = [
        Sound(drawn=one, spectrogram=picture, player=player)
        for one, picture, player in zip(drawn, pictures, made["players"], strict=True)
    ]
    before, after, *_ = [*parts, None, None]
    return Media(
        seconds=seconds,
        whole=max(durations, default=0.0) <= LONGEST_S,
        scale=scale,
        before=before,
        after=after,
        stills=tuple(stills),
        written=written,
        has_picture=video is not None and bool(made["stills"]),
    )


def _duration(data: bytes, request: MediaRequest, decoder: Decoder) -> float:
    """Of the picture, in s; 0 where the container does not tell. Raises MediaError."""
    found = decoder.run(probe, data, limits=request.shards.media)
    return found.video_duration or 0.0


def _separate(clip: Clip, seconds: float, request: MediaRequest, decoder: Decoder) -> list[tuple[bytes, float]]:
    images = clip.images()
    step = max(len(images) / STILLS, 1.0)
    chosen = tuple(images[int(i * step)].data for i in range(min(len(images), STILLS)))
    found = decoder.run(decode_images, chosen, duration=seconds, max_side=_STILL_SIDE, limits=request.shards.media)
    if found is None:
        raise MediaError("none of its pictures can be decoded", reason=FailureReason.CORRUPT_MEDIA)
    return [(encode_webp(pixels), float(time)) for pixels, time in zip(found.pixels, found.times, strict=True)]


def _picture_rate(nbytes: int, seconds: float, players: int) -> int:
    """Bit rate of the picture that lets all players fit; 0: they have sound alone."""
    if not players:
        return 0
    rate = int(nbytes * 8 / _MUXING / players / seconds) - _SOUND_RATE
    return 0 if rate < _LEAST_PICTURE_RATE else min(rate, _MOST_PICTURE_RATE)
