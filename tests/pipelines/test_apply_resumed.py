"""An interrupted `apply` goes on where it was, unless decisions changed since; late failures survive a restart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from runs import clips, contents, members, run
from scripted_runs import scripted_ports, write_corpus, write_recipe

from avagent.records.decisions import decision_from_json


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decisions on two tar shards and a TFRecord shard."""
    folder = tmp_path_factory.mktemp("apply")
    write_corpus(folder / "in", tars=2, records_files=1)
    output = folder / "decided"
    with scripted_ports():
        command = ("refine", "--input", folder / "in", "--output", output, "--recipe", write_recipe(folder))
        assert run(*command, "--decide-only") == 0
    return output


def apply(output: Path, *more: object) -> None:
    with scripted_ports():
        assert run("apply", "--decisions", output, *more) == 0


def interrupt(output: Path, lost: str) -> None:
    """Leave the folder as if the run had been killed while it wrote one shard."""
    for path in (output / "_SUCCESS", output / "index.json", output / lost, _report(output, lost)):
        path.unlink()


def _report(output: Path, shard: str) -> Path:
    return output / "_manifest" / "shards" / f"{shard}.json"


def change(output: Path, shard: str, key: str, **fields: object) -> None:
    path = output / "_manifest" / "decisions" / f"{shard}.jsonl"
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for record in records:
        if record["ref"]["key"].startswith(key):
            record.update(fields)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def test_an_interrupted_apply_writes_what_is_missing(decided: Path, tmp_path: Path):
    output = tmp_path / "out"
    shutil.copytree(decided, output)
    apply(output)
    whole = contents(output)
    interrupt(output, "part-000001.tar")
    kept = {name: (output / name).stat().st_mtime_ns for name in ("part-000000.tar", "part-000002.tfrecord")}
    apply(output)
    assert contents(output) == whole
    assert {name: (output / name).stat().st_mtime_ns for name in kept} == kept


def test_what_was_decided_anew_since_is_written_anew(decided: Path, tmp_path: Path):
    output = tmp_path / "out"
    shutil.copytree(decided, output)
    apply(output)
    interrupt(output, "part-000001.tar")
    change(output, "part-000000.tar", "fixable", outcome="unchanged", reason="by hand", actions=[])
    kept = (output / "part-000002.tfrecord").stat().st_mtime_ns
    apply(output)
    record = json.loads(members(output / "part-000000.tar")["fixable-0-1.avagent.json"])
    assert record["reason"] == "by hand"
    assert (output / "part-000002.tfrecord").stat().st_mtime_ns == kept


def test_a_late_failure_is_the_same_after_a_restart(decided: Path, tmp_path: Path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for output in (undisturbed, killed):
        shutil.copytree(decided, output)
        # The clip is decided on, but holds other bytes than were decided on.
        path = output / "_manifest" / "decisions" / "part-000000.tar.jsonl"
        lines = path.read_text("utf-8").splitlines()
        first = decision_from_json(lines[0])
        lines[0] = lines[0].replace(first.ref.content_sha256, "0" * 64)
        path.write_text("\n".join(lines) + "\n", "utf-8")
        apply(output)
    assert clips(undisturbed)["threshold-0-0"]["reason"] == "changed_since_listed"
    line = (undisturbed / "_manifest" / "decisions" / "part-000000.tar.jsonl").read_text("utf-8").splitlines()[0]
    assert decision_from_json(line).failure is not None
    # Killed after the shard was written, and before its report was.
    path.write_text("\n".join(lines) + "\n", "utf-8")
    (killed / "_SUCCESS").unlink()
    _report(killed, "part-000000.tar").unlink()
    apply(killed)
    assert contents(killed) == contents(undisturbed)
