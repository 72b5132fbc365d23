"""The end of a replay: new files from a folder inside the output to their places, so that it can be repeated.

`_replay/IDENTITY/` holds what a replay makes, in the layout of an output folder. `_replay/publish.json` is written when
all of it is there; from then on a replay that is interrupted is finished by the next one: every file is put in its
place once more (each whole, by one move), the refined shard before the dead letters, so that a clip is in both for a
moment and never in none. `_SUCCESS` is away from the first file to the last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avagent import storage
from avagent.core.errors import FailureReason, UsageError
from avagent.records.decisions import dump
from avagent.records.manifest import ManifestCounts, decisions_url, manifest_url
from avagent.runs.commit import CLAIM_FILE, RUN_FILE, SUCCESS_FILE, Expected, check_number, finalize
from avagent.runs.dead_letters import letters_url
from avagent.runs.repaired_clips import repairs_url
from avagent.runs.rewrite import ShardReport
from avagent.runs.shard_reports import read_report, report_url
from avagent.shards.tfrecord.output import ERRORS_SUFFIX

REPLAY_FOLDER = "_replay"
PUBLISH_FILE = "publish.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What a replay made.

    Attributes:
        identity: names its folder.
        shards: URLs of the input shards whose files are new.
        record: for `run.json`, under `replays`.
    """

    identity: str
    shards: tuple[str, ...]
    record: Mapping[str, Any]


def stage_identity(output: str, fingerprint: str, reasons: Iterable[FailureReason]) -> str:
    """What a replay depends on: the state of the output, the recipe and models, which letters are meant."""
    digest = hashlib.sha256(storage.read_bytes(manifest_url(output, RUN_FILE)))
    digest.update(f"{fingerprint} {' '.join(sorted(reasons))}".encode())
    return digest.hexdigest()[:16]


def stage_folder(output: str, identity: str) -> str:
    """Where its files go; what other replays left there is removed."""
    folder = storage.join(output, REPLAY_FOLDER)
    claim = storage.join(folder, CLAIM_FILE)
    if not storage.exists(claim) or storage.read_bytes(claim) != dump({"identity": identity}):
        storage.remove(folder, recursive=True)
        storage.write_bytes(claim, dump({"identity": identity}))
    return storage.join(folder, identity)


def staged(output: str) -> Staged | None:
    """A replay that was interrupted while its files were put in their places; None: there is none.

    Raises:
        UsageError: its record cannot be read.
    """
    url = storage.join(output, REPLAY_FOLDER, PUBLISH_FILE)
    if not storage.exists(url):
        return None
    try:
        found: Any = json.loads(storage.read_text(url))
        return Staged(identity=found["identity"], shards=tuple(found["shards"]), record=found["run"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{url} is not the record of a replay: {error!r}") from error


def publish_replay(output: str, result: Staged, run: Mapping[str, Any]) -> ManifestCounts:
    """Put all files in their places, and finish the output folder anew.

    Args:
        output: the output folder, complete.
        result: what the replay made.
        run: what `run.json` shall say.

    Raises:
        OSError: storage failed; the next replay finishes it.
    """
    record = {"identity": result.identity, "shards": list(result.shards), "run": run}
    storage.write_bytes(storage.join(output, REPLAY_FOLDER, PUBLISH_FILE), dump(record))
    return finish_replay(output, Staged(identity=result.identity, shards=result.shards, record=run))


def finish_replay(output: str, pending: Staged) -> ManifestCounts:
    """The same, begun or not. Raises OSError."""
    folder = storage.join(output, REPLAY_FOLDER, pending.identity)
    storage.remove(storage.join(output, SUCCESS_FILE))
    for shard in pending.shards:
        _publish_shard(output, folder, shard)
    run = dict(pending.record)
    reports = [report for shard in run["inputs"] if (report := read_report(output, str(shard["url"]))) is not None]
    counts = finalize(
        output,
        reports,
        expected=_expected(reports, run),
        fingerprint=str(run["fingerprint"]),
        run=run,
        evaluated=_evaluated(run),
    )
    storage.remove(storage.join(output, REPLAY_FOLDER), recursive=True)
    return counts


def _expected(reports: Sequence[ShardReport], run: Mapping[str, Any]) -> Expected:
    """The input of the run, and how many of its clips were refined; with a limit, of the shards that it reached."""
    if run.get("limit") is None:
        return {str(shard["url"]): None for shard in run["inputs"]}
    check_number("the run", sum(report.clips for report in reports), run["counts"]["clips"])
    return {report.source: report.clips for report in reports}


def _evaluated(run: Mapping[str, Any]) -> bool:
    return run["recipe"].get("evaluation_scorer") is not None


def _publish_shard(output: str, folder: str, shard: str) -> None:
    name = storage.basename(shard)
    report = read_report(folder, shard)
    if report is None:
        raise OSError(f"{report_url(folder, shard)} is gone: remove {REPLAY_FOLDER} and replay again")
    letters = [letters_url(at, shard) for at in (folder, output)]
    _place(storage.join(folder, name), storage.join(output, name), there=report.url is not None)
    _place(f"{letters[0]}.{ERRORS_SUFFIX}", f"{letters[1]}.{ERRORS_SUFFIX}", there=_has_reasons(report, letters[0]))
    _place(letters[0], letters[1], there=report.errors > 0)
    _place(decisions_url(folder, shard), decisions_url(output, shard), there=True)
    _place(repairs_url(folder, shard), repairs_url(output, shard), there=storage.exists(repairs_url(folder, shard)))
    _place(report_url(folder, shard), report_url(output, shard), there=True)


def _has_reasons(report: ShardReport, letters: str) -> bool:
    return report.errors > 0 and storage.exists(f"{letters}.{ERRORS_SUFFIX}")


def _place(source: str, target: str, *, there: bool) -> None:
    if there:
        storage.copy(source, target)
    else:
        storage.remove(target)
