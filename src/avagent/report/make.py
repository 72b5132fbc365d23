"""A page from a run's folder: facts, the choice of clips, their media, and the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from avagent import storage
from avagent.records.manifest import CLIPS_FILE, ROUNDS_FILE
from avagent.report.charts import ScoreCurve
from avagent.report.choice import EVERY_EDIT, SHARES, Choice, Chosen
from avagent.report.clips import ClipPage, MediaRequest, with_decisions, with_media
from avagent.report.drift import read_drift
from avagent.report.facts import RunFacts, batches
from avagent.report.page import Report, render
from avagent.shards.formats import ShardOptions

REPORT_FILE, REVIEW_FILE = "report.html", "review.html"
_BASE64 = 4 / 3
_MARKUP = 16_384
"""What the page says of a clip besides its media, in bytes, at least."""


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """What a page is to show.

    Attributes:
        output: the run's folder.
        run: what `run.json` says.
        shards: how shards are read.
        clips: how many, besides the keys.
        keys: clips that are shown in any case.
        max_bytes: of the page.
        previous: an earlier run to compare with; None: none.
        moved: folder where the input shards lie by now; None: where they were.
        curves: of the scorer's calibration, by score.
        review: whether edits, all of them, are to be accepted and rejected on the page.
    """

    output: str
    run: Mapping[str, Any]
    shards: ShardOptions
    clips: int = 60
    keys: tuple[str, ...] = ()
    max_bytes: int = 25_000_000
    previous: str | None = None
    moved: str | None = None
    curves: Mapping[str, ScoreCurve] = field(default_factory=dict[str, ScoreCurve])
    review: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A page that was written.

    Attributes:
        url: of it.
        nbytes: its size.
        clips: that it shows.
        silent: of these, how many whose media could not be shown.
        missing: keys that were asked for and are not there.
    """

    url: str
    nbytes: int
    clips: int
    silent: int
    missing: tuple[str, ...]


def make_report(request: ReportRequest, url: str) -> Made:
    """Write the page.

    Raises:
        UsageError: the folder holds no finished run, or the earlier one does not.
        OSError: the page cannot be written.
    """
    facts, choice = _read(request)
    chosen = choice.chosen()
    report = Report(
        output=request.output,
        run=request.run,
        facts=facts,
        clips=_clips(request, chosen),
        missing=choice.missing(),
        curves=request.curves,
        review=request.review,
        drift=read_drift(request.output, request.previous) if request.previous is not None else None,
    )
    nbytes = 0
    with storage.atomic_write(url) as file:
        for piece in render(report):
            nbytes += file.write(piece)
    silent = sum(page.media is None for page in report.clips)
    return Made(url=url, nbytes=nbytes, clips=len(chosen), silent=silent, missing=tuple(report.missing))


def _read(request: ReportRequest) -> tuple[RunFacts, Choice]:
    """One pass over each table."""
    margins: Mapping[str, float] = request.run.get("policy") or {}
    choice = Choice(
        request.clips,
        request.keys,
        margins=(margins.get("min_gain_alignment", 0.0), margins.get("min_gain_synchronization", 0.0)),
        shares=EVERY_EDIT if request.review else SHARES,
    )
    facts = RunFacts()
    for batch in batches(request.output, CLIPS_FILE):
        facts.add_clips(batch)
        choice.add(batch)
    for batch in batches(request.output, ROUNDS_FILE):
        facts.add_rounds(batch)
    return facts, choice


def _clips(request: ReportRequest, chosen: list[Chosen]) -> list[ClipPage]:
    """The clips with media that fit into the page together."""
    left = int(request.max_bytes / _BASE64) - _MARKUP * len(chosen)
    each = max(0, left // max(1, len(chosen)))
    media = MediaRequest(output=request.output, shards=request.shards, moved=request.moved, nbytes=each)
    pages = list(with_media(with_decisions(request.output, chosen), media))
    for page in pages:
        if page.media is not None and page.media.nbytes > left:
            page.media = replace(page.media, before=_mute(page.media.before), after=_mute(page.media.after))
        left -= page.media.nbytes if page.media is not None else 0
    return pages


def _mute(sound: Any) -> Any:
    return None if sound is None else replace(sound, player=None)
