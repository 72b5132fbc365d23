"""Shards and decisions for tests of shards and runs."""

from __future__ import annotations

import io
import string
import tarfile
from collections.abc import Iterable

from hypothesis import strategies as st

from avagent import storage
from avagent.core.actions import (
    Action,
    FillBlanks,
    Pitch,
    Shift,
    SpectralGate,
    SpectralSubtraction,
    Speed,
    Volume,
    WaveletDenoise,
    WienerFilter,
)
from avagent.core.captions import Caption, Captions, Tag
from avagent.core.clip import ClipRef
from avagent.core.effect import EditEffect
from avagent.core.errors import Failure, FailureReason, Stage
from avagent.core.facts import Estimate, Facts, NoiseColour
from avagent.core.history import Base, History, Round
from avagent.core.plan import Plan
from avagent.core.scores import Scores
from avagent.core.state import ClipDecision, Outcome
from avagent.records.decisions import Provenance
from avagent.shards.samples import BadSample, LoadedClip
from avagent.shards.webdataset.samples import read_shard

PROVENANCE = Provenance(recipe="embedded", fingerprint="f" * 8, models={"scorer": "s-1"}, version="0.1.0")

Files = Iterable[tuple[str, bytes]]


def tar_bytes(files: Files, *, form: int = tarfile.PAX_FORMAT, mtime: int = 1_700_000_000) -> bytes:
    """An archive as Python's `tarfile` writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(data), mtime, "someone"
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def special_entry(name: str, kind: bytes, link: str = "") -> bytes:
    """Header blocks of an entry without data (link, device, folder ...)."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info.tobuf(tarfile.GNU_FORMAT)


def end_of(archive: bytes) -> int:
    """Where an archive's members end, and its zero blocks begin."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        last = tar.getmembers()[-1]
        return last.offset_data + -(-last.size // 512) * 512


def members(archive: bytes) -> list[tuple[str, bytes]]:
    """(name, data) of every file, read by Python's `tarfile`."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar.getmembers() if m.isfile()]


def read_members(url: str) -> list[tuple[str, bytes]]:
    return members(storage.read_bytes(url))


def good(shard: str) -> list[LoadedClip]:
    return [item for item in read_shard(shard) if isinstance(item, LoadedClip)]


def bad(shard: str) -> list[BadSample]:
    return [item for item in read_shard(shard) if isinstance(item, BadSample)]


def improved(ref: ClipRef, *actions: Action) -> ClipDecision:
    """A decision with one accepted round."""
    chosen = actions or (Volume(),)
    done = Round(
        number=1,
        base=Base.ORIGINAL,
        plan=Plan(rationale="too quiet"),
        actions=chosen,
        scores=Scores(alignment=0.75, synchronization=None, synchronization_note="still_picture"),
        accepted=True,
        effect=EditEffect(si_sdr=60.0, loudness_change=12.5, changed_s=1.0),
        seconds=1.25,
    )
    before = Scores(alignment=0.5, synchronization=None, synchronization_note="still_picture")
    return ClipDecision(
        ref=ref,
        outcome=Outcome.IMPROVED,
        reason="round_limit",
        actions=chosen,
        captions=Captions(audio=Caption("a bell", (Tag("bell", 0.9),)), video=None),
        facts=Facts(duration=1.0, rate=48_000, channels=2),
        history=History(original=before, rounds=(done,)),
    )


def unchanged(ref: ClipRef) -> ClipDecision:
    before = Scores(alignment=0.9, synchronization=0.95)
    return ClipDecision(ref=ref, outcome=Outcome.UNCHANGED, reason="threshold", history=History(original=before))


def failed(ref: ClipRef, reason: FailureReason = FailureReason.CORRUPT_MEDIA) -> ClipDecision:
    failure = Failure(stage=Stage.DECODE, type="MediaError", reason=reason, message="no frames")
    return ClipDecision(ref=ref, outcome=Outcome.FAILED, reason=str(reason), failure=failure)


def unit(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


def _noise_filters() -> st.SearchStrategy[Action]:
    return st.one_of(
        st.builds(SpectralSubtraction, over_subtraction=unit(1, 8), floor_db=unit(-60, 0), quantile=unit(0.05, 0.5)),
        st.builds(WienerFilter, strength=unit(0.25, 8), floor_db=unit(-60, 0), quantile=unit(0.05, 0.5)),
        st.builds(WaveletDenoise, strength=unit(0.25, 4), levels=st.integers(1, 10)),
        st.builds(SpectralGate, threshold_db=unit(0, 30), reduction_db=unit(0, 60), quantile=unit(0.05, 0.5)),
    )


def _coordinations() -> st.SearchStrategy[Action]:
    return st.one_of(
        st.builds(Speed, factor=unit(0.5, 2), mode=st.sampled_from(["stretch", "resample"])),
        st.builds(Pitch, semitones=unit(-12, 12)),
        st.builds(
            Volume,
            target_lufs=unit(-50, -8),
            peak_dbtp=unit(-12, 0),
            mode=st.sampled_from(["static", "dynamic"]),
            declip=st.booleans(),
        ),
        st.builds(FillBlanks, min_gap_ms=unit(0.5, 5), max_gap_ms=unit(5, 2000)),
        st.builds(Shift, milliseconds=unit(-10_000, 10_000), edge=st.sampled_from(["silence", "reflect"])),
    )


noise_filters = _noise_filters()
coordinations = _coordinations()
actions = st.lists(noise_filters | coordinations, max_size=4).map(tuple)
maybe_score = st.none() | unit(0, 1)
texts = st.text(max_size=20)
scores = st.builds(
    Scores,
    alignment=maybe_score,
    synchronization=maybe_score,
    alignment_note=st.none() | texts,
    synchronization_note=st.none() | texts,
)
plans = st.builds(Plan, noise=st.none() | noise_filters, coordination=st.none() | coordinations, rationale=texts)
rounds = st.builds(
    Round,
    number=st.integers(1, 9),
    base=st.sampled_from(Base),
    plan=plans,
    actions=actions,
    scores=scores,
    accepted=st.booleans(),
    seconds=unit(0, 1e6),
)
histories = st.builds(History, original=scores, rounds=st.lists(rounds, max_size=3).map(tuple), exhausted=st.booleans())
captions = st.builds(Caption, text=texts, tags=st.lists(st.builds(Tag, texts, unit(0, 1)), max_size=3).map(tuple))
finite = st.floats(allow_nan=False)
estimates = st.none() | st.builds(Estimate, finite, unit(0, 1))
facts = st.builds(
    Facts,
    duration=unit(0, 1e6),
    rate=st.integers(1, 384_000),
    channels=st.integers(1, 8),
    loudness=st.none() | finite,
    true_peak=st.none() | finite,
    snr=estimates,
    noise_colour=st.sampled_from(NoiseColour),
    hum=estimates,
    gap_count=st.integers(0, 99),
    lag=estimates,
)
refs = st.builds(
    ClipRef,
    key=st.text(min_size=1, max_size=20),
    shard=texts,
    offset=st.integers(0, 1 << 50),
    length=st.integers(0, 1 << 40),
    content_sha256=st.text(string.hexdigits, min_size=64, max_size=64),
    index=st.integers(0, 1 << 30),
)
failures = st.builds(
    Failure, stage=st.sampled_from(Stage), type=texts, reason=st.sampled_from(FailureReason), message=texts
)
decisions = st.builds(
    ClipDecision,
    ref=refs,
    outcome=st.sampled_from(Outcome),
    reason=texts,
    actions=actions,
    captions=st.none() | st.builds(Captions, audio=st.none() | captions, video=st.none() | captions),
    facts=st.none() | facts,
    history=st.none() | histories,
    failure=st.none() | failures,
)
