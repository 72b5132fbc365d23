"""The page itself: one file that opens anywhere, without network, and in which data are never markup or code."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from avagent import __version__
from avagent.core.review import UNSURE, confidence
from avagent.report import drift, words
from avagent.report.charts import HEIGHT, WIDTH, ScoreCurve, score_charts
from avagent.report.clips import ClipPage
from avagent.report.drift import Drift
from avagent.report.facts import ActionFacts, RunFacts, quantile
from avagent.report.findings import effect, findings
from avagent.report.pictures import COLUMNS, frequency_ticks
from avagent.report.timings import Timings

_TEMPLATES = files("avagent.report").joinpath("templates")
_STYLE = "report.css"
_SECTIONS = (
    ("outcomes", "Outcomes"),
    ("scores", "Scores"),
    ("actions", "Actions"),
    ("failures", "Failures"),
    ("time", "Time"),
    ("drift", "Drift"),
    ("clips", "Clips"),
)
_SEVERAL = 5
"""Values of a parameter that are words, at most."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a page says.

    Attributes:
        output: the run's folder, as commands name it.
        run: what `run.json` says.
        facts: of the manifest.
        clips: that are shown.
        missing: keys that were asked for and are not there.
        curves: of the scorer's calibration, by score.
        drift: against an earlier run; None: none was named.
        review: whether edits can be accepted and rejected on it.
    """

    output: str
    run: Mapping[str, Any]
    facts: RunFacts
    clips: Sequence[ClipPage]
    missing: Sequence[str] = ()
    curves: Mapping[str, ScoreCurve] = field(default_factory=dict[str, ScoreCurve])
    drift: Drift | None = None
    review: bool = False


def render(report: Report) -> Iterator[bytes]:
    """The page, piece by piece: it may have tens of MB."""
    style, script = _text(_STYLE), "\n".join(map(_text, _scripts(report)))
    threshold = float(report.run["recipe"]["policy"]["threshold"])
    template = _environment().get_template("report.html.j2")
    stream = template.stream(
        report=report,
        title="Review" if report.review else "Report",
        review=report.review,
        edited=report.facts.outcomes["improved"],
        facts=report.facts,
        run=report.run,
        version=__version__,
        # Our own files, and nothing that comes from a run.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=_policy(style, script),
        charts=score_charts(report.facts, report.curves, threshold),
        threshold=threshold,
        not_evaluable=_ended(report.facts, "not_evaluable"),
        failures=_ended(report.facts, "failed"),
        timings=Timings.of(report.run),
        anchors=_anchors(report.clips),
        filters=_filters(report.clips),
        drift=report.drift,
        drift_tables=None if report.drift is None else _drift_tables(report.facts, report.drift.facts),
        sections=(*_SECTIONS[:-1], ("review", "Review"), _SECTIONS[-1]) if report.review else _SECTIONS,
        next_command=f"avagent apply --decisions {shlex.quote(report.output)}",
    )
    stream.enable_buffering(64)
    for piece in stream:
        yield piece.encode("utf-8", "replace")


def _scripts(report: Report) -> list[str]:
    return ["report.js", "review.js"] if report.review else ["report.js"]


def edits(clip: ClipPage) -> list[dict[str, Any]]:
    """What was done to a clip, and how sure it was that it is for something: what rules go by."""
    decision = clip.decision
    actions = decision.actions if decision is not None else ()
    return [{"kind": a.kind, "confidence": confidence(decision, a)} for a in actions if decision is not None]


def rule_kinds(facts: RunFacts) -> list[tuple[str, int, bool]]:
    """Actions that were kept in any clip: kind, rounds, whether there may be little confidence in them."""
    return [(kind, found.kept, kind in UNSURE) for kind, found in sorted(facts.actions.items()) if found.kept]


def _ended(facts: RunFacts, outcome: str) -> list[tuple[str, int]]:
    """Reasons of an outcome, with their clips, the commonest first."""
    return [(reason, count) for (found, reason), count in facts.reasons.most_common() if found == outcome]


def _drift_tables(now: RunFacts, then: RunFacts) -> dict[str, Any]:
    return {
        "outcomes": drift.outcome_rows(now, then),
        "means": drift.mean_rows(now, then),
        "actions": drift.action_rows(now, then),
    }


def _policy(style: str, script: str) -> str:
    """Only this style and this script run, whatever a caption or a key may hold; nothing is fetched or sent."""
    sources = [
        "default-src 'none'",
        "img-src data:",
        "media-src data:",
        f"style-src '{_hash(style)}'",
        f"script-src '{_hash(script)}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(sources)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _text(name: str) -> str:
    return _TEMPLATES.joinpath(name).read_text("utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("avagent.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("plain", "objection", "action", "verdict", "base")
    known: dict[str, Any] = {name: getattr(words, name) for name in filters}
    known |= {
        "data_uri": _data_uri,
        "percent": _percent,
        "quoted": quote,
        "quantile": quantile,
        "effect": effect,
    }
    environment.filters.update(known)  # pyright: ignore[reportUnknownMemberType]
    shared: dict[str, Any] = {
        "OUTCOMES": words.OUTCOMES,
        "GROUPS": words.GROUPS,
        "WIDTH": WIDTH,
        "HEIGHT": HEIGHT,
        "COLUMNS": COLUMNS,
        "kinds": kinds,
        "edits": edits,
        "rule_kinds": rule_kinds,
        "change": words.change,
        "reason": words.reason,
        "findings": findings,
        "parameters": parameters,
        "frequency_ticks": frequency_ticks,
        "replay_command": replay_command,
    }
    environment.globals.update(shared)  # pyright: ignore[reportUnknownMemberType]
    return environment


def parameters(facts: ActionFacts) -> list[str]:
    """Of the rounds that were kept: numbers as median and range, words as counts."""
    lines: list[str] = []
    for name, counts in facts.parameters.items():
        numeric = {value: count for value, count in counts.items() if isinstance(value, float)}
        if numeric:
            middle = quantile(numeric, 0.5)
            low, high = quantile(numeric, 0.05), quantile(numeric, 0.95)
            spread = f" (5% to 95%: {words.signed(low)} to {words.signed(high)})" if low != high else ""
            lines.append(words.parameter(name, middle) + spread)
        else:
            shown = ", ".join(f"{words.choice(value)} ({n})" for value, n in counts.most_common(_SEVERAL))
            lines.append(f"{words.label(name)} {shown}")
    return lines


def replay_command(output: str, reason: str) -> str:
    """What replays the clips that failed for a reason."""
    return f"avagent replay --output {shlex.quote(output)} --reason {shlex.quote(reason)}"


def _anchors(clips: Sequence[ClipPage]) -> list[str]:
    """`clip-KEY`, without spaces; of clips with the same key, the later ones are numbered."""
    seen: Counter[str] = Counter()
    found: list[str] = []
    for clip in clips:
        anchor = "clip-" + "_".join(str(clip.chosen.row["key"]).split())
        seen[anchor] += 1
        found.append(anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor]}")
    return found


def _filters(clips: Sequence[ClipPage]) -> dict[str, list[tuple[str, str, int]]]:
    """What clips can be chosen by: (value, in words, clips), the commonest first."""
    shown: dict[str, Counter[str]] = {name: Counter() for name in ("group", "outcome", "action", "reason", "label")}
    for clip in clips:
        row = clip.chosen.row
        shown["group"].update(map(str, clip.chosen.groups))
        shown["outcome"][row["outcome"]] += 1
        shown["reason"].update(row["reason"].split(","))
        shown["action"].update(kinds(clip))
        shown["label"].update(clip.labels)
    told = {"group": words.GROUPS, "outcome": words.OUTCOMES}
    return {
        name: [(value, told.get(name, {}).get(value, words.plain(value)), n) for value, n in counts.most_common()]
        for name, counts in shown.items()
        if counts
    }


def kinds(clip: ClipPage) -> list[str]:
    """The kinds of all actions that were tried on a clip, or kept."""
    decision = clip.decision
    if decision is None:
        return []
    tried = [a.kind for done in (decision.history.rounds if decision.history else ()) for a in done.plan.actions]
    return list(dict.fromkeys([*(a.kind for a in decision.actions), *tried]))


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _percent(part: float, whole: float = 1.0) -> str:
    share = part / whole if whole else 0.0
    return f"{share:.1%}" if 0.0 < share < 0.1 or 0.9 < share < 1.0 else f"{share:.0%}"
