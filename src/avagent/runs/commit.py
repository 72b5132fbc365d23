"""The end of a run: checks, manifest, index, `_SUCCESS`; and whose an output folder is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Protocol

from avagent import storage
from avagent.core.errors import AVAgentError, UsageError
from avagent.core.state import ClipDecision, Outcome
from avagent.records.decisions import decisions_from_lines, dump, write_decisions
from avagent.records.manifest import (
    MANIFEST_FOLDER,
    ManifestCounts,
    decisions_url,
    manifest_url,
    shards_decided,
    write_manifest,
)
from avagent.runs.rewrite import ERRORS_FOLDER, ShardReport
from avagent.shards.formats import is_shard
from avagent.shards.listing import check_names

INDEX_FILE = "index.json"
SUCCESS_FILE = "_SUCCESS"
RUN_FILE = "run.json"
CLAIM_FILE = "claim.json"
_FILES_AT_ONCE = 8
"""Decision files in memory: a few KB a clip."""


Expected = Mapping[str, int | None]
"""URL of every input shard of a run -> how many of its clips are to be there; None: all that it holds."""


def finalize(
    output: str,
    reports: Iterable[ShardReport],
    *,
    expected: Expected,
    fingerprint: str,
    run: Mapping[str, Any],
    evaluated: bool = False,
) -> ManifestCounts:
    """Check that nothing is missing, then write manifest, `run.json`, index and, at the very end, `_SUCCESS`.

    Args:
        output: the output folder, with `_manifest/decisions/` of every shard.
        reports: one a shard.
        expected: the input, which the reports are held against.
        fingerprint: of the configuration.
        run: for `run.json`; `counts` are added.
        evaluated: see :func:`avagent.records.manifest.write_manifest`.

    Raises:
        AVAgentError: a shard has no report, is missing or has another size than was written; clips of it are missing,
            or counts do not add up.
        UsageError: two shards have the same name.
        OSError: storage failed.
    """
    ordered = sorted(reports, key=lambda report: report.name)
    check_names(report.source for report in ordered)
    _check_expected(ordered, expected)
    _check_files(output, ordered)
    rows = ((r.name, _final_decisions(output, r)) for r in ordered)
    reviewed = run.get("review") is not None
    counts = write_manifest(output, rows, fingerprint=fingerprint, evaluated=evaluated, reviewed=reviewed)
    _check_counts(ordered, counts)
    write_run(output, {**run, "counts": run_counts(ordered, counts), "changes_made": counts.changes_made})
    write_index(output, (report for report in ordered if report.url is not None))
    remove_temporaries(output)
    storage.write_bytes(storage.join(output, SUCCESS_FILE), b"")
    return counts


def write_run(output: str, run: Mapping[str, Any]) -> None:
    """`_manifest/run.json`: keys sorted."""
    text = json.dumps(json.loads(dump(run)), sort_keys=True, indent=2, ensure_ascii=False)
    storage.write_bytes(manifest_url(output, RUN_FILE), (text + "\n").encode())


class WrittenShard(Protocol):
    """What an index tells of a shard."""

    @property
    def name(self) -> str:
        """Of the file, in the folder of the index."""
        ...

    @property
    def md5(self) -> str:
        """32 hexadecimal digits."""
        ...

    @property
    def nsamples(self) -> int:
        """Clips in it."""
        ...

    @property
    def filesize(self) -> int:
        """In bytes."""
        ...


def write_index(output: str, shards: Iterable[WrittenShard]) -> None:
    """`index.json`: the shards of a folder, by name, for readers of wids indexes (version 1). Raises OSError."""
    listed = [
        {"url": shard.name, "md5sum": shard.md5, "nsamples": shard.nsamples, "filesize": shard.filesize}
        for shard in sorted(shards, key=lambda shard: shard.name)
    ]
    index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": listed}
    storage.write_bytes(storage.join(output, INDEX_FILE), (json.dumps(index, indent=2) + "\n").encode())


def run_counts(reports: Iterable[ShardReport], counts: ManifestCounts) -> dict[str, Any]:
    """The counts of `run.json`."""
    found = list(reports)
    return {
        "shards": sum(r.url is not None for r in found),
        "clips": counts.clips,
        "outcomes": {str(outcome): count for outcome, count in counts.outcomes},
        "rounds": counts.rounds,
        "clips_in_shards": sum(r.nsamples for r in found),
        "clips_in_errors": sum(r.errors for r in found),
    }


def claim_output(output: str, fingerprint: str, *, shards: Iterable[str] = (), overwrite: bool = False) -> None:
    """Make sure that a folder may be written to by this run, and mark it as this run's.

    An empty or absent folder may; so may one that an earlier run with the same fingerprint began (resuming: whole files
    are replaced by equal ones). With `overwrite`, what another run left there is removed first, and nothing else.

    Args:
        output: the output folder.
        fingerprint: of all that decides about the output: configuration and input.
        shards: the input: none of them may lie in the output folder.
        overwrite: remove another run's output.

    Raises:
        UsageError: the folder holds another run, files that no run of AVAgent wrote, or the input; or another run
            claimed it at the same moment.
    """
    match holder_of(output, fingerprint, shards=shards, overwrite=overwrite):
        case Holder.NOBODY:
            _claim_first(output, fingerprint)
        case Holder.THIS_RUN:
            storage.remove(storage.join(output, SUCCESS_FILE))
        case Holder.ANOTHER_RUN:
            claim = manifest_url(output, CLAIM_FILE)
            found = storage.list_folder(output)
            # Should the removal be interrupted, nothing that is left may be taken for this run's.
            storage.write_bytes(claim, dump({"fingerprint": _clearing(fingerprint)}))
            _clear(output, found)
            storage.write_bytes(claim, dump({"fingerprint": fingerprint}))


class Holder(Enum):
    """Whose an output folder is, of those that a run may write to."""

    NOBODY = auto()
    THIS_RUN = auto()
    ANOTHER_RUN = auto()


def holder_of(output: str, fingerprint: str, *, shards: Iterable[str] = (), overwrite: bool = False) -> Holder:
    """Whose the folder is that `claim_output` would mark; nothing is written. Arguments and errors as there."""
    folder = storage.canonical(output)
    if inside := next((shard for shard in shards if storage.parent(shard) == folder), None):
        raise UsageError(f"the output folder {output} holds the input shard {inside}: choose another folder")
    claim = manifest_url(output, CLAIM_FILE)
    if not storage.exists(claim):
        if not all(storage.is_temporary(url) for url in storage.list_folder(output)):
            raise UsageError(f"{output} is not empty, and no run of avagent wrote it: choose another folder")
        return Holder.NOBODY
    holder = _claimed_by(claim)
    if holder == fingerprint and not overwrite:
        return Holder.THIS_RUN
    if not overwrite and holder != _clearing(fingerprint):
        raise UsageError(
            f"{output} holds the output of another input or configuration: choose another folder, or --overwrite it"
        )
    return Holder.ANOTHER_RUN


def _claim_first(output: str, fingerprint: str) -> None:
    """Claim a folder that nobody has; of two runs that try at once, one does.

    Raises:
        UsageError: another run was first.
    """
    claim = manifest_url(output, CLAIM_FILE)
    storage.create(claim, dump({"fingerprint": fingerprint}))
    # Read back: of storage that lets both write, the last one has it.
    if _claimed_by(claim) != fingerprint:
        raise UsageError(f"another run claimed {output} at the same moment: choose another folder, or wait for its end")


def is_complete(output: str, fingerprint: str) -> bool:
    """Whether the folder holds the whole output of a run with this fingerprint."""
    claim = manifest_url(output, CLAIM_FILE)
    if not (storage.exists(storage.join(output, SUCCESS_FILE)) and storage.exists(claim)):
        return False
    return _claimed_by(claim) == fingerprint


def remove_temporaries(output: str) -> None:
    """Remove what interrupted writers left behind. Only while no worker writes."""
    manifest = storage.join(output, MANIFEST_FOLDER)
    for folder in (output, storage.join(output, ERRORS_FOLDER), manifest, *storage.list_subfolders(manifest)):
        for url in storage.list_folder(folder):
            if storage.is_temporary(url):
                storage.remove(url)
    storage.cancel_uploads(output)


def _claimed_by(claim: str) -> str | None:
    try:
        found: Any = json.loads(storage.read_text(claim))
        return str(found["fingerprint"])
    except (ValueError, KeyError, TypeError):
        return None


def _clearing(fingerprint: str) -> str:
    """Who claims a folder while another run's output is removed from it."""
    return f"clearing for {fingerprint}"


def _clear(output: str, found: Iterable[str]) -> None:
    for url in found:
        if storage.basename(url) in (SUCCESS_FILE, INDEX_FILE) or is_shard(url) or storage.is_temporary(url):
            storage.remove(url)
    manifest = storage.join(output, MANIFEST_FOLDER)
    for folder in (storage.join(output, ERRORS_FOLDER), *storage.list_subfolders(manifest)):
        storage.remove(folder, recursive=True)
    for url in storage.list_folder(manifest):
        if storage.basename(url) != CLAIM_FILE:
            storage.remove(url)


def _final_decisions(output: str, report: ShardReport) -> Iterable[ClipDecision]:
    """A shard's decisions, with what could not be carried out put right, in the decision file as well.

    Here, and not where the shard is written: a shard that is written again then finds what it was written by.
    """
    url = decisions_url(output, report.name)
    decisions = decisions_from_lines(storage.read_bytes(url).splitlines(keepends=True), url)
    if not report.late_failures:
        return decisions
    found = list(decisions)
    amended = list(report.amend(found))
    if amended != found:
        write_decisions(url, amended)
    return amended


def check_decided(output: str, expected: Expected) -> None:
    """Every input shard has a file of decisions. Raises AVAgentError, and OSError: storage failed."""
    decided = shards_decided(output)
    absent = sorted(shard for shard in expected if storage.basename(shard) not in decided)
    if absent:
        raise AVAgentError(
            f"{len(absent)} of {len(expected)} shards have no decisions in {output}, such as"
            f" {decisions_url(output, absent[0])}: run `avagent refine` again"
        )


def check_number(shard: str, found: int, expected: int | None) -> None:
    """A shard has as many clips as were to be worked on. Raises AVAgentError."""
    if expected is not None and found != expected:
        raise AVAgentError(f"{shard} should have {expected} clips, found {found}: run again")


def _check_expected(reports: Sequence[ShardReport], expected: Expected) -> None:
    """Nothing of the input is missing, whatever was told of the rest."""
    found = {report.name: report for report in reports}
    names = {storage.basename(shard): clips for shard, clips in expected.items()}
    if absent := sorted(names.keys() - found.keys()):
        raise AVAgentError(
            f"{len(absent)} of {len(names)} shards were not written, such as {absent[0]}: run the same command again"
        )
    if unknown := sorted(found.keys() - names.keys()):
        raise AVAgentError(f"{unknown[0]} is not among the {len(names)} shards of this run: run again")
    for name, clips in names.items():
        report = found[name]
        if clips is None and report.undecided:
            raise AVAgentError(
                f"{report.undecided} clips of {report.source} have no decision: it was changed since it was read, or"
                f" decisions were lost; decide on it again"
            )
        check_number(report.source, report.clips, clips)


def _check_files(output: str, reports: Iterable[ShardReport]) -> None:
    """One listing of each folder, however many shards there are."""
    shards = storage.folder_sizes(output)
    letters = storage.folder_sizes(storage.join(output, ERRORS_FOLDER))
    for report in reports:
        found = shards.get(report.name)
        if report.url is not None and found != report.filesize:
            url = storage.join(output, report.name)
            raise AVAgentError(f"{url} should have {report.filesize} bytes, found {found}: run again")
        if (report.name in letters) != (report.errors > 0):
            url = storage.join(output, ERRORS_FOLDER, report.name)
            raise AVAgentError(f"{url} does not match the {report.errors} failed clips of {report.name}: run again")


def _check_counts(reports: Iterable[ShardReport], counts: ManifestCounts) -> None:
    expected: Counter[Outcome] = Counter()
    for report in reports:
        expected.update(dict(report.outcomes))
    if dict(counts.outcomes) != dict(expected):
        raise AVAgentError(
            f"counts do not add up: the manifest has {_shown(counts.outcomes)}; shards and dead letters have"
            f" {_shown(expected.items())}: run again"
        )


def _shown(counts: Iterable[tuple[Outcome, int]]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in counts) or "no clips"
