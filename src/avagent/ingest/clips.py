"""From a candidate's files to the members of a clip, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from avagent import storage
from avagent.core.clip import Clip, Member, content_hash
from avagent.core.errors import FailureReason, MediaError
from avagent.core.ingest import Candidate, Checked, IngestSettings, Segment, Unusable
from avagent.core.media import StreamInfo, Waveform
from avagent.dsp.measures.bs1770 import gated_loudness
from avagent.dsp.measures.motion import is_still
from avagent.dsp.measures.sound_facts import is_muted
from avagent.media.container import decode_audio, decode_motion, probe
from avagent.media.decoder_process import process_decoder
from avagent.media.limits import DEFAULT_DECODING
from avagent.media.trim import trim

ALREADY_CUT = "already_cut"
UNCUT = "none"
CUT_TOLERANCE_S = 1.0
"""A file named by its video alone is taken for the segment if it is no longer than that and this."""

_K_WEIGHTED_RATE = 4000
_STARTS = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\x1a\x45\xdf\xa3")
_ISO_KINDS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_MPEG_SYNC = 0xFFE0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A clip that was made of a candidate, and how its recording was cut."""

    clip: Clip
    cut: str = UNCUT
    start: float | None = None


def make_clip(candidate: Candidate) -> Made:
    """Read a candidate's files and make the clip's members; the same files give the same bytes.

    Members: the container or sound, separate sound, pictures; `json`, `txt` and `cls` that lie beside the recording, as
    they are, or, for a row of a clip list, made of it: see :func:`label_members`.

    Raises:
        OSError: a file cannot be read.
        MediaError: the recording cannot be cut.
    """
    contents = [storage.read_bytes(file.url) for file in candidate.files]
    made = Made(clip=Clip(key=candidate.key, members=()))
    segment = candidate.segment
    if segment is not None:
        data, cut, start = _stretch(contents[0], segment, already_cut=candidate.already_cut)
        contents[0] = data
        made = replace(made, cut=cut, start=start)
    members = tuple(
        Member(name=f"{candidate.key}.{file.suffix}", suffix=file.suffix, data=data)
        for file, data in zip(candidate.files, contents, strict=True)
    )
    if segment is not None:
        members += label_members(candidate, segment, made)
    return replace(made, clip=Clip(key=candidate.key, members=members))


def _stretch(data: bytes, segment: Segment, *, already_cut: bool) -> tuple[bytes, str, float | None]:
    if (
        already_cut
        or _seconds(process_decoder(DEFAULT_DECODING).run(probe, data), None)
        <= segment.end - segment.start + CUT_TOLERANCE_S
    ):
        return data, ALREADY_CUT, None
    trimmed = process_decoder(DEFAULT_DECODING).run(trim, data, segment.start, segment.end)
    return trimmed.data, str(trimmed.kind), trimmed.start


def label_members(candidate: Candidate, segment: Segment, made: Made) -> tuple[Member, ...]:
    """`json` with all that the list says and how the clip was cut; `txt`: its labels; `cls`: their number, if one."""
    about = {
        "video_id": segment.video_id,
        "start_seconds": segment.start,
        "end_seconds": segment.end,
        "labels": list(segment.labels),
        "source": storage.basename(candidate.files[0].url),
        "cut": made.cut,
        **({} if made.start is None else {"cut_start_seconds": made.start}),
        **({} if segment.split is None else {"split": segment.split}),
    }
    texts = {"json": json.dumps(about, sort_keys=True, ensure_ascii=False), "txt": ", ".join(segment.labels)}
    if segment.index is not None:
        texts["cls"] = str(segment.index)
    return tuple(
        Member(name=f"{candidate.key}.{suffix}", suffix=suffix, data=text.encode("utf-8", "replace"))
        for suffix, text in texts.items()
    )


def check_candidate(candidate: Candidate, settings: IngestSettings) -> Checked:
    """Look at a candidate: read, cut, decode picture and sound. What is wrong with it is an answer, not an error."""
    if candidate.problem is not None:
        return Checked(candidate=candidate, problem=candidate.problem, message=candidate.message)
    largest = max(candidate.files, key=lambda file: file.nbytes)
    if largest.nbytes > settings.max_file_bytes:
        message = f"{largest.url} has {largest.nbytes} bytes; the limit is {settings.max_file_bytes} (--max-file-mib)"
        return Checked(candidate=candidate, problem=Unusable.TOO_LARGE, message=message)
    try:
        return _look(candidate, settings)
    except FileNotFoundError:
        return Checked(candidate=candidate, problem=Unusable.MISSING, message=f"{largest.url} is gone")
    except OSError as error:
        return Checked(candidate=candidate, problem=Unusable.UNREADABLE, message=f"{largest.url}: {error}")


def _look(candidate: Candidate, settings: IngestSettings) -> Checked:
    try:
        made = make_clip(candidate)
        clip = made.clip
        found = Checked(
            candidate=candidate,
            content_sha256=content_hash(clip.members),
            media_sha256=hashlib.sha256(clip.members[0].data).hexdigest(),
            nbytes=clip.nbytes,
            cut=made.cut,
            start=made.start,
        )
        return _measured(found, clip, settings)
    except MediaError as error:
        return Checked(candidate=candidate, problem=_problem_of(error, candidate), message=str(error))


def _measured(found: Checked, clip: Clip, settings: IngestSettings) -> Checked:
    sound, video = clip.sound(), clip.video()
    decoder = process_decoder(DEFAULT_DECODING).for_clip()
    info = decoder.run(probe, clip.members[0].data)
    waveform = decoder.run(decode_audio, sound.data)
    if waveform is None:
        return replace(found, problem=Unusable.NO_AUDIO, message="the recording has no sound")
    seconds = _seconds(info, waveform)
    found = replace(found, seconds=seconds, loudness=_loudness(waveform))
    if seconds < settings.min_seconds:
        message = f"{seconds:.2f} s; at least {settings.min_seconds:g} s are needed (--min-seconds)"
        return replace(found, problem=Unusable.TOO_SHORT, message=message)
    flags: list[Unusable] = []
    if video is not None and info.has_video:
        motion = decoder.run(decode_motion, video.data)
        flags += [Unusable.STILL] if motion is None or is_still(motion) else []
    else:
        flags.append(Unusable.STILL if clip.images() else Unusable.NO_VIDEO)
    flags += [Unusable.MUTED] if is_muted(waveform) else []
    dropped = next((flag for flag in flags if flag in settings.drop), None)
    message = ", ".join(_FLAG_MESSAGES[flag] for flag in flags)
    return replace(found, flags=tuple(flags), problem=dropped, message=message)


_FLAG_MESSAGES = {
    Unusable.NO_VIDEO: "no picture",
    Unusable.STILL: "the picture never moves",
    Unusable.MUTED: "the sound is silent",
}


def _loudness(waveform: Waveform) -> float | None:
    return gated_loudness(waveform) if waveform.rate >= _K_WEIGHTED_RATE else None


def _seconds(info: StreamInfo, waveform: Waveform | None) -> float:
    """Duration of what both sound and picture last."""
    sound = waveform.duration if waveform is not None else info.audio_duration
    known = [seconds for seconds in (sound, info.video_duration) if seconds is not None]
    return min(known, default=0.0)


def _problem_of(error: MediaError, candidate: Candidate) -> Unusable:
    if error.reason == FailureReason.LIMIT_EXCEEDED:
        return Unusable.OVER_LIMIT
    return Unusable.BROKEN if _known_container(candidate.files[0].url) else Unusable.NOT_MEDIA


def _known_container(url: str) -> bool:
    """Whether a file begins as one of the containers that are read here."""
    head = storage.read_range(url, 0, 12)
    sync = int.from_bytes(head[:2], "big") & _MPEG_SYNC == _MPEG_SYNC
    return head.startswith(_STARTS) or head[4:8] in _ISO_KINDS or sync
