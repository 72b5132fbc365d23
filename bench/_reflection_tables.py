"""Markdown and JSON of what `reflection.py` measured."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, Any]
HARM_DB = 25.0


def write_tables(work: Path, results: Path, bootstraps: int) -> None:
    """`reflection.md` and `reflection.json`, of all parts that were measured."""
    found = {path.stem: read_rows(path) for path in sorted(work.glob("*.jsonl"))}
    record: dict[str, Any] = {}
    lines: list[str] = []
    for title, name, make in (
        ("Needless edits, recordings for reporting", "needless", needless_table),
        ("Needless edits, recordings that limits were set on", "needless-setting", needless_table),
        ("The loop on clips that no edit mends", "planners", planners_table),
        (
            "The embedded planner on known faults, recordings for reporting under unrelated pictures",
            "faults",
            faults_table,
        ),
        ("The embedded planner on known faults, the demo's kind of clips", "faults-scenes", faults_table),
    ):
        if rows := found.get(name):
            table, figures = make(rows, bootstraps)
            lines += [f"## {title}", "", *table, ""]
            record[name] = figures
    results.mkdir(parents=True, exist_ok=True)
    (results / "reflection.md").write_text("\n".join(lines), "utf-8")
    (results / "reflection.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    print("\n".join(lines))


def read_rows(path: Path) -> list[Row]:
    """One a line; of rows that were measured again, the last."""
    rows: dict[tuple[str, ...], Row] = {}
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        names = ("clip", "case", "planner", "reflection", "parameters")
        rows[tuple(str(row.get(name, "")) for name in names)] = row
    return list(rows.values())


def share(rows: Sequence[Row], hit: Callable[[Row], bool], bootstraps: int) -> tuple[float, float, float]:
    """Share of rows, and its 95% interval by resampling recordings."""
    by_clip: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        by_clip[row["clip"]].append(hit(row))
    hits = np.array([sum(found) for found in by_clip.values()], float)
    sizes = np.array([len(found) for found in by_clip.values()], float)
    picks = np.random.default_rng(0).integers(0, hits.size, (bootstraps, hits.size))
    low, high = np.quantile(hits[picks].sum(axis=1) / sizes[picks].sum(axis=1), (0.025, 0.975))
    return float(hits.sum() / sizes.sum()), float(low), float(high)


def shown(found: tuple[float, float, float]) -> str:
    """In percent."""
    return f"{100 * found[0]:.1f}% ({100 * found[1]:.1f}-{100 * found[2]:.1f})"


def needless_table(rows: Sequence[Row], bootstraps: int) -> tuple[list[str], Any]:
    """Kept edits by action and kind of recording; what spoke against the others."""
    kinds = sorted({row["kind"] for row in rows})
    actions = sorted({row["action"] for row in rows})
    lines = [
        f"| action | edits | kept | of recordings without a fault as published | {' | '.join(kinds)} |",
        "|---" * (4 + len(kinds)) + "|",
    ]
    figures: dict[str, Any] = {}
    sound = [row for row in rows if not row["published"]]
    for action in (*actions, "all"):
        group = [row for row in rows if action in (row["action"], "all")]
        cells = [_kept_of([row for row in group if row["kind"] == kind]) for kind in kinds]
        found = share(group, _kept, bootstraps)
        figures[action] = {"edits": len(group), "kept": sum(map(_kept, group)), "share": found}
        fair = share([row for row in sound if action in (row["action"], "all")], _kept, bootstraps)
        figures[action]["share_of_sound"] = fair
        lines.append(f"| {action} | {len(group)} | {shown(found)} | {shown(fair)} | {' | '.join(cells)} |")
    clips = {row["clip"] for row in rows}
    worst = [row for row in rows if _kept(row)]
    objections = Counter(str(row["objection"]) for row in rows if row["objection"])
    lines += [
        "",
        f"{len(clips)} recordings of {len({row['source'] for row in rows})} sources. Objections: "
        + ", ".join(f"{name} {count}" for name, count in objections.most_common())
        + ".",
    ]
    lines += ["", *_by_form(rows)]
    worst_of = {row["clip"]: row for row in sorted(worst, key=lambda r: -_harm(r))}
    lines += [
        "",
        *(
            f"- kept: {row['clip']}: {row['action']}, SI-SDR {_db(row)}; {_as_it_came(row)}"
            for row in worst_of.values()
        ),
    ]
    return lines, figures


def _by_form(rows: Sequence[Row]) -> Iterator[str]:
    """In which forms edits are kept, and on how many clips."""
    yield "| form | clips | edits | kept | clips with a kept edit |"
    yield "|---|---|---|---|---|"
    for form in sorted({row["form"] for row in rows}):
        group = [row for row in rows if row["form"] == form]
        harmed = {row["clip"] for row in group if _kept(row)}
        count = sum(map(_kept, group))
        yield f"| {form} | {len({r['clip'] for r in group})} | {len(group)} | {count} | {len(harmed)} |"


def _as_it_came(row: Row) -> str:
    """What was measured of the sound before the edit."""
    known = [(row["loudness"], "LUFS"), (row["snr"], "dB SNR"), (100.0 * row["clipping"], "% of the samples clipped")]
    fault = f"{row['published']} as published; " if row["published"] else ""
    return f"{fault}it came with " + ", ".join(f"{value:.1f} {unit}" for value, unit in known if value is not None)


def _harm(row: Row) -> float:
    return -100.0 if row["si_sdr"] is None else float(row["si_sdr"])


def planners_table(rows: Sequence[Row], bootstraps: int) -> tuple[list[str], Any]:
    """By planner and reflection: clean clips left alone, harm of what was kept, what was claimed otherwise."""
    cases = ("wrong soundtrack", "half missing", "half silent", "muted")
    lines = [
        "| planner, judged by | clean clips | left alone | without a fault as published | left alone | "
        "worst SI-SDR (dB) of these | under 25 dB | " + " | ".join(f"{case} claimed" for case in cases) + " |",
        "|---" * (7 + len(cases)) + "|",
    ]
    figures: dict[str, Any] = {}
    for planner, reflection in sorted({(row["planner"], row["reflection"]) for row in rows}):
        group = [row for row in rows if (row["planner"], row["reflection"]) == (planner, reflection)]
        clean = [row for row in group if row["case"] == "clean"]
        if not clean:
            continue
        alone = share(clean, lambda row: not row["actions"], bootstraps)
        sound = [row for row in clean if not row["published"]]
        fair = share(sound, lambda row: not row["actions"], bootstraps)
        edited = [row for row in sound if row["actions"]]
        worst = min((row["si_sdr"] for row in edited if row["si_sdr"] is not None), default=None)
        low = sum(row["si_sdr"] is None or row["si_sdr"] < HARM_DB for row in edited)
        claims = [
            share(found, lambda row: bool(row["actions"]), bootstraps)
            for case in cases
            if (found := [row for row in group if row["case"] == case])
        ]
        figures[f"{planner}, {reflection}"] = {
            "alone": alone,
            "alone_of_sound": fair,
            "worst": worst,
            "low": low,
            "claimed": claims,
        }
        lines.append(
            f"| {planner}, {reflection} | {len(clean)} | {shown(alone)} | {len(sound)} | {shown(fair)} |"
            f" {'' if worst is None else f'{worst:.1f}'} |"
            f" {low} | {' | '.join(map(shown, claims))} |"
        )
    lines += ["", *_edited(rows)]
    return lines, figures


def _edited(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row["actions"] and row["reflection"] == "effects":
            fault = f"; as published: {row['published']}" if row["published"] else ""
            what = f"{row['planner']}, {row['case']}: {row['clip']}: {'+'.join(row['actions'])}"
            yield f"- {what}, SI-SDR {_db(row)}{fault}"


def faults_table(rows: Sequence[Row], bootstraps: int) -> tuple[list[str], Any]:
    """By fault: how often a right action is accepted, judged by scores alone and by effects as well."""
    lines = [
        "| fault | clips | right, by scores | by effects too | change (points) | farther from clean | by effects too |",
        "|---|---|---|---|---|---|---|",
    ]
    figures: dict[str, Any] = {}
    for fault in dict.fromkeys(row["case"] for row in rows):
        group = [row for row in rows if row["case"] == fault]
        before = share([r for r in group if r["reflection"] == "scores"], _right, bootstraps)
        after = share([r for r in group if r["reflection"] == "effects"], _right, bootstraps)
        figures[fault] = {"scores": before, "effects": after}
        count = len({row["clip"] for row in group})
        change = 100 * (after[0] - before[0])
        harm = [
            sum(r["reflection"] == name and (r["gain"] or 0.0) < 0.0 for r in group) for name in ("scores", "effects")
        ]
        figures[fault]["farther"] = harm
        lines.append(
            f"| {fault} | {count} | {shown(before)} | {shown(after)} | {change:+.1f} | {harm[0]} | {harm[1]} |"
        )
    refused = Counter(
        f"{row['case']}: {objection}"
        for row in rows
        if row["reflection"] == "effects" and not row["right"]
        for objection in set(row["objections"])
    )
    lines += ["", "Objections where nothing right was accepted: " + _listed(refused.most_common(20)) + "."]
    return lines, figures


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts) or "none"


def _kept(row: Row) -> bool:
    return bool(row["kept"])


def _right(row: Row) -> bool:
    return bool(row["right"])


def _kept_of(rows: Sequence[Row]) -> str:
    return f"{sum(map(_kept, rows))} of {len(rows)}" if rows else ""


def _db(row: Row) -> str:
    return "not comparable" if row["si_sdr"] is None else f"{row['si_sdr']:.1f} dB"
