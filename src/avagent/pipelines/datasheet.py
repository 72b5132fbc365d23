"""The datasheet of training pairs: what is in them, where it comes from, how it was made (Gebru et al. 2021)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from avagent import __version__, storage
from avagent.records.training_pairs import PlanPair, Split, pairs_fingerprint, read_pairs, read_skipped

DATASHEET = "datasheet"
NO_FAULT = "none"
DO_NOTHING = "nothing"


@dataclass(slots=True, kw_only=True)
class SplitCounts:
    """What one split holds.

    Attributes:
        pairs: number of pairs.
        sources: number of recordings.
        faults, answers, situations: pairs by kind of fault, by text of the answer, by place in the loop.
    """

    pairs: int = 0
    sources: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    situations: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasheet:
    """What is known about a folder of pairs.

    Attributes:
        fingerprint: SHA-256 of all pairs.
        splits: counts by split.
        skipped: reason -> clips or sounds of which no pair could be made.
        conditions: recipe, models, seed and settings that they were made with.
        licences: licence -> clips' recordings that state it; see :func:`write_datasheet`.
    """

    fingerprint: str
    splits: Mapping[str, SplitCounts]
    skipped: Mapping[str, int]
    conditions: Mapping[str, Any]
    licences: Mapping[str, int]

    @property
    def pairs(self) -> int:
        """All pairs."""
        return sum(split.pairs for split in self.splits.values())


def write_datasheet(folder: str, conditions: Mapping[str, Any]) -> Datasheet:
    """Describe the pairs of a folder in `datasheet.json` and `datasheet.md`. Raises OSError, UsageError."""
    skipped = Counter(item.reason for item in read_skipped(folder))
    licences: dict[str, set[str]] = {}
    sheet = Datasheet(
        fingerprint=pairs_fingerprint(folder),
        splits={str(split): _counts(read_pairs(folder, split), licences) for split in Split},
        skipped=dict(sorted(skipped.items())),
        conditions={"avagent": __version__, **conditions},
        licences={name: len(sources) for name, sources in sorted(licences.items())},
    )
    text = json.dumps(asdict(sheet), indent=1, sort_keys=True) + "\n"
    storage.write_bytes(storage.join(folder, f"{DATASHEET}.json"), text.encode())
    storage.write_bytes(storage.join(folder, f"{DATASHEET}.md"), _markdown(sheet).encode())
    return sheet


def _counts(pairs: Iterable[PlanPair], licences: dict[str, set[str]]) -> SplitCounts:
    counts, sources = SplitCounts(), set[str]()
    tallies: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
    for pair in pairs:
        counts.pairs += 1
        sources.add(pair.source)
        for licence in pair.licences or ("not stated",):
            licences.setdefault(licence, set()).add(pair.source)
        names = (pair.fault.kind if pair.fault else NO_FAULT, pair.answer, str(pair.situation))
        for tally, name in zip(tallies, names, strict=True):
            tally[name] += 1
    counts.sources = len(sources)
    counts.faults, counts.answers, counts.situations = (dict(sorted(t.items())) for t in tallies)
    return counts


def _markdown(sheet: Datasheet) -> str:
    lines = [
        "# Training pairs for a planner",
        "",
        f"Fingerprint: `{sheet.fingerprint}`.",
        "",
        "**What a pair is.** A prompt (captions of sound and picture, measured facts, scores, what may be chosen) and",
        "the answer that mends the sound. The sound itself is not in it: only tags of it, and numbers measured on it.",
        "",
        "**How it was made.** A known fault was put into a clean recording; the answer is the action that undoes it",
        "best, measured against the clean sound; where none does, the answer is to do nothing. Recordings, not clips,",
        "were divided into training and validation, by a hash.",
        "",
        *_table("recordings and pairs", {k: f"{v.sources} / {v.pairs}" for k, v in sheet.splits.items()}),
        *_by_split("fault", sheet, "faults"),
        *_by_split("answer", sheet, "answers"),
        *_by_split("place in the loop", sheet, "situations"),
        *_table("recordings by licence", sheet.licences),
        *_table("not used, by reason", sheet.skipped),
        *_table("made with", sheet.conditions),
        "**Limits.** One fault at a time; faults are synthetic, put in after decoding, so no codec has blurred them;",
        "captions and scores are those of the models named above, and another captioner needs pairs of its own.",
    ]
    return "\n".join(lines) + "\n"


def _by_split(title: str, sheet: Datasheet, name: str) -> list[str]:
    columns = {split: getattr(counts, name) for split, counts in sheet.splits.items()}
    rows = sorted({key for column in columns.values() for key in column})
    lines = [f"| {title} | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    lines += [f"| {row} | {' | '.join(str(c.get(row, 0)) for c in columns.values())} |" for row in rows]
    return [*lines, ""]


def _table(title: str, values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    rows = (f"| {key} | {', '.join(value) if isinstance(value, list) else value} |" for key, value in values.items())
    return [f"| {title} | |", "|---|---|", *rows, ""]
