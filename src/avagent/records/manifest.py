"""The manifest: one row a clip, one row a round, as Parquet; and the folders that hold it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

from avagent import storage
from avagent.core.actions import Action, action_to_dict
from avagent.core.effect import EditEffect
from avagent.core.history import Round
from avagent.core.state import ClipDecision, Outcome, Verdict
from avagent.records.changes_made import ChangesMade, effect_of
from avagent.records.decisions import scores_after

# pyarrow carries no types
_pa: Any = pa
_pq: Any = pq

MANIFEST_FOLDER = "_manifest"
DECISIONS_FOLDER = "decisions"
SHARDS_FOLDER = "shards"
CLIPS_FILE = "clips.parquet"
ROUNDS_FILE = "rounds.parquet"
_ROWS_A_GROUP = 16_384

# (name, Arrow type, nullable)
Columns = tuple[tuple[str, str, bool], ...]
EFFECT_COLUMNS: Columns = (
    ("si_sdr", "double", True),
    ("loudness_change", "double", True),
    ("moved_ms", "double", True),
    ("tempo_change", "double", True),
    ("transposed", "double", True),
)
"""How far an edited sound is from the original: see :class:`avagent.core.effect.EditEffect`."""
CLIPS_COLUMNS: Columns = (
    ("key", "string", False),
    ("shard", "string", False),
    ("content_sha256", "string", False),
    ("outcome", "string", False),
    ("reason", "string", False),
    ("alignment_before", "double", True),
    ("alignment_after", "double", True),
    ("synchronization_before", "double", True),
    ("synchronization_after", "double", True),
    ("rounds", "int32", False),
    ("fingerprint", "string", False),
    ("actions", "string", False),
    *EFFECT_COLUMNS,
)
EVALUATION_COLUMNS: Columns = (
    ("evaluation_alignment_before", "double", True),
    ("evaluation_alignment_after", "double", True),
    ("evaluation_synchronization_before", "double", True),
    ("evaluation_synchronization_after", "double", True),
)
"""Of clips.parquet, where the recipe names an evaluation scorer."""
REVIEW_COLUMNS: Columns = (("accepted_by", "string", True), ("review", "string", True))
"""Of clips.parquet, where a person reviewed the decisions: `loop` or `person`; `accepted` or `rejected`."""
ROUNDS_COLUMNS: Columns = (
    ("key", "string", False),
    ("shard", "string", False),
    ("round", "int32", False),
    ("base", "string", False),
    ("noise", "string", True),
    ("coordination", "string", True),
    ("parameters", "string", False),
    ("rationale", "string", False),
    ("alignment", "double", True),
    ("synchronization", "double", True),
    ("accepted", "bool", False),
    ("objection", "string", True),
    *EFFECT_COLUMNS,
    ("seconds", "double", False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestCounts:
    """Rows written: clips by outcome, and rounds; and how far the edited sounds are from the originals."""

    outcomes: tuple[tuple[Outcome, int], ...]
    rounds: int
    changes_made: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def clips(self) -> int:
        """Rows of clips.parquet."""
        return sum(count for _, count in self.outcomes)


def decisions_url(output: str, shard: str) -> str:
    """Where a shard's decisions lie: `_manifest/decisions/<shard name>.jsonl`."""
    return storage.join(output, MANIFEST_FOLDER, DECISIONS_FOLDER, f"{storage.basename(shard)}.jsonl")


def shards_decided(output: str) -> frozenset[str]:
    """Names of the shards that have decisions, by one listing. Raises OSError."""
    names = storage.folder_sizes(storage.join(output, MANIFEST_FOLDER, DECISIONS_FOLDER))
    return frozenset(name.removesuffix(".jsonl") for name in names)


def manifest_url(output: str, name: str) -> str:
    """A file of the manifest folder."""
    return storage.join(output, MANIFEST_FOLDER, name)


def write_manifest(
    output: str,
    decisions: Iterable[tuple[str, Iterable[ClipDecision]]],
    *,
    fingerprint: str,
    evaluated: bool = False,
    reviewed: bool = False,
) -> ManifestCounts:
    """Write `clips.parquet` and `rounds.parquet`, in bounded memory; each is atomic.

    Args:
        output: the output folder.
        decisions: (shard name, its final decisions), in the order of the rows.
        fingerprint: of the configuration that decided.
        evaluated: whether an evaluation scorer was named: clips.parquet has its columns then.
        reviewed: whether a person reviewed the decisions: likewise.

    Raises:
        OSError: writing failed.
    """
    outcomes: Counter[Outcome] = Counter()
    changes = ChangesMade()
    rounds = 0
    columns = CLIPS_COLUMNS + (EVALUATION_COLUMNS if evaluated else ()) + (REVIEW_COLUMNS if reviewed else ())
    with (
        open_table(manifest_url(output, CLIPS_FILE), columns) as clip_table,
        open_table(manifest_url(output, ROUNDS_FILE), ROUNDS_COLUMNS) as round_table,
    ):
        for shard, found in decisions:
            for decision in found:
                more = (evaluation_cells(decision) if evaluated else {}) | (review_cells(decision) if reviewed else {})
                clip_table.add(clip_row(decision, shard, fingerprint) | more)
                outcomes[decision.outcome] += 1
                changes.add(shard, decision)
                for row in round_rows(decision, shard):
                    round_table.add(row)
                    rounds += 1
    return ManifestCounts(
        outcomes=tuple((o, outcomes[o]) for o in Outcome if outcomes[o]), rounds=rounds, changes_made=changes.record()
    )


def clip_row(decision: ClipDecision, shard: str, fingerprint: str) -> dict[str, Any]:
    """One row of clips.parquet."""
    before = decision.history.original if decision.history else None
    after = scores_after(decision)
    return {
        "key": decision.ref.key,
        "shard": shard,
        "content_sha256": decision.ref.content_sha256,
        "outcome": str(decision.outcome),
        "reason": decision.reason,
        "alignment_before": before.alignment if before else None,
        "alignment_after": after.alignment if after else None,
        "synchronization_before": before.synchronization if before else None,
        "synchronization_after": after.synchronization if after else None,
        "rounds": len(decision.history.rounds) if decision.history else 0,
        "fingerprint": fingerprint,
        "actions": _compact([action_to_dict(action) for action in decision.actions]),
        **effect_cells(effect_of(decision)),
    }


def effect_cells(effect: EditEffect | None) -> dict[str, float | None]:
    """By column; a round, or a clip, without an edit has none."""
    return {name: getattr(effect, name) if effect else None for name, _, _ in EFFECT_COLUMNS}


def evaluation_cells(decision: ClipDecision) -> dict[str, float | None]:
    """What the held-out scorer found, by column; a clip that failed has nothing that leaves."""
    found = decision.evaluation if decision.failure is None else None
    return {
        "evaluation_alignment_before": found.before.alignment if found else None,
        "evaluation_alignment_after": found.after.alignment if found else None,
        "evaluation_synchronization_before": found.before.synchronization if found else None,
        "evaluation_synchronization_after": found.after.synchronization if found else None,
    }


def review_cells(decision: ClipDecision) -> dict[str, str | None]:
    """Who accepted the edit that leaves (None: none leaves), and what a person said (None: nothing)."""
    word = decision.review
    person = word is not None and word.verdict is Verdict.ACCEPTED
    accepted = None if not decision.actions else "person" if person else "loop"
    return {"accepted_by": accepted, "review": None if word is None else str(word.verdict)}


def round_rows(decision: ClipDecision, shard: str) -> Iterator[dict[str, Any]]:
    """The clip's rows of rounds.parquet."""
    for done in decision.history.rounds if decision.history else ():
        yield {
            "key": decision.ref.key,
            "shard": shard,
            "round": done.number,
            "base": str(done.base),
            "noise": done.plan.noise.kind if done.plan.noise else None,
            "coordination": done.plan.coordination.kind if done.plan.coordination else None,
            "parameters": _parameters(done),
            "rationale": done.plan.rationale,
            "alignment": done.scores.alignment,
            "synchronization": done.scores.synchronization,
            "accepted": done.accepted,
            "objection": done.objection,
            **effect_cells(done.effect),
            "seconds": done.seconds,
        }


def _parameters(done: Round) -> str:
    parts: tuple[tuple[str, Action | None], ...] = (
        ("noise", done.plan.noise),
        ("coordination", done.plan.coordination),
    )
    return _compact({part: action_to_dict(action)["params"] for part, action in parts if action is not None})


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


class Table:
    """Rows on their way into row groups."""

    def __init__(self, writer: Any, schema: Any) -> None:
        self._writer = writer
        self._schema = schema
        self._rows: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row."""
        self._rows.append(row)
        if len(self._rows) >= _ROWS_A_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows so far as a row group."""
        if self._rows:
            self._writer.write_table(_pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


@contextmanager
def open_table(url: str, columns: Columns) -> Generator[Table]:
    """A Parquet file that appears when it is complete."""
    schema = _pa.schema([_pa.field(name, _pa.type_for_alias(kind), nullable) for name, kind, nullable in columns])
    with storage.atomic_write(url) as file, _pq.ParquetWriter(file, schema, compression="zstd") as writer:
        table = Table(writer, schema)
        yield table
        table.flush()
