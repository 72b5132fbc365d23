"""A run that is interrupted while it decides goes on where it was, clip by clip."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from runs import contents, run
from scripted_runs import ASKED, Logged, scripted_ports, start, write_corpus, write_recipe

from avagent.records.decisions import read_decisions
from avagent.runs.decision_parts import PartWriter, clips_in_parts, parts_folder, read_parts, remove_parts

SHARDS, CLIPS = 5, 100
LIMIT_S = 300


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resumed")
    write_corpus(folder / "in", tars=SHARDS, clips=CLIPS, seconds=1.0)
    write_recipe(folder)
    return folder


def asked(log: Path) -> list[str]:
    return log.read_text("utf-8").splitlines() if log.exists() else []


def refine(corpus: Path, output: Path, *more: object) -> Logged:
    recipe = corpus / "scripted.yaml"
    return start("refine", "--input", corpus / "in", "--output", output, "--recipe", recipe, *more, limit=LIMIT_S)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_decided_is_not_decided_again(
    workers: int, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """500 clips, killed when half of them were worked on: no bundle, and no shard, has come to its end.

    What may be lost is some time of each process; the whole takes seconds here, and more on a machine that is busy.
    """
    output, log = tmp_path / "out", tmp_path / "log"
    more = ("--direct_running_mode=multi_processing", f"--direct_num_workers={workers}") if workers > 1 else ()
    monkeypatch.setenv(ASKED, str(log))
    process = refine(corpus, output, *more)
    while process.poll() is None and len(asked(log)) < SHARDS * CLIPS // 2:
        pass
    process.kill_group()
    process.text()
    assert not (output / "_manifest" / "decisions").exists()
    before = asked(log)
    assert SHARDS * CLIPS // 2 <= len(before) < SHARDS * CLIPS
    settled = [key for key in before if not key.startswith("broken")]
    kept = clips_in_parts(str(output))
    # How many of them depends on how fast the machine is: a scripted clip takes milliseconds.
    assert kept >= len(settled) // 2
    resumed = refine(corpus, output, *more)
    text = resumed.text()
    assert resumed.returncode == 0, text
    # A clip that fails by chance is tried again, in its turn.
    again = [key for key, count in Counter(asked(log)).items() if count > 1 and not key.startswith("broken")]
    assert len(again) <= len(settled) - kept + workers
    monkeypatch.delenv(ASKED)
    with scripted_ports():
        whole = ("refine", "--input", corpus / "in", "--output", tmp_path / "whole", "--recipe")
        assert run(*whole, corpus / "scripted.yaml") == 0
    assert contents(output) == contents(tmp_path / "whole")


@pytest.fixture
def decided(corpus: Path, tmp_path: Path) -> Path:
    """Decisions on a whole shard and on the first clips of another."""
    with scripted_ports():
        command = ("refine", "--input", corpus / "in", "--output", tmp_path / "decided", "--limit", CLIPS + 3)
        assert run(*command, "--recipe", corpus / "scripted.yaml", "--decide-only") == 0
    return tmp_path / "decided" / "_manifest" / "decisions"


def test_parts_are_written_in_time_and_merged_by_clip(decided: Path, tmp_path: Path):
    first, second = (list(read_decisions(str(path))) for path in sorted(decided.iterdir()))
    output, now = str(tmp_path / "out"), [0.0]
    writer = PartWriter(output, clock=lambda: now[0])
    shard = first[0].ref.shard
    for decision in first[:10]:
        writer.add(decision)
    assert clips_in_parts(output) == 0
    now[0] = 20.0
    writer.add(first[10])
    assert read_parts(output, shard) == {d.ref: d for d in first[:11]}
    writer.add(first[11])
    # After 20 s, a fifth of a second may be lost.
    now[0] = 20.1
    writer.add(second[0])
    assert clips_in_parts(output) == 11
    now[0] = 20.3
    writer.add(second[1])
    assert (len(read_parts(output, shard)), len(read_parts(output, second[0].ref.shard))) == (12, 2)
    # The same bundle once more, with another cut.
    for decision in first[5:12]:
        writer.add(decision)
    writer.flush()
    assert read_parts(output, shard) == {d.ref: d for d in first[:12]}
    (Path(parts_folder(output, shard)) / "7-torn.jsonl").write_text('{"ref"', "utf-8")
    assert len(read_parts(output, shard)) == 12
    remove_parts(output, shard)
    assert read_parts(output, shard) == {}
    assert clips_in_parts(output) == 2
