"""`avagent verify` finds nothing in what a run wrote, and whatever was done to it afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipelines"))
from runs import refined, run
from scripted_runs import scripted_ports, write_corpus, write_recipe

from avagent.runs.verify import Fault, Problem, VerifyOptions, verify_output


def problems(output: object, *, read: bool = True) -> list[Problem]:
    return [found for check in verify_output(str(output), VerifyOptions(read=read)) for found in check.problems]


def faults(output: object, *, read: bool = True) -> set[Fault]:
    return {problem.fault for problem in problems(output, read=read)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over both formats, with repaired, unchanged and failed clips."""
    folder = tmp_path_factory.mktemp("finished")
    write_corpus(folder / "in", tars=2, records_files=1)
    with scripted_ports():
        return refined(folder / "in", folder / "out", "--recipe", write_recipe(folder))


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled."""
    copy = tmp_path / "out"
    fsspec.filesystem("file").copy(f"{finished}/", f"{copy}/", recursive=True)
    return copy


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


def test_what_a_run_wrote_is_as_recorded(output: Path, capsys: pytest.CaptureFixture[str]):
    assert problems(output) == []
    checks = list(verify_output(str(output), VerifyOptions()))
    counts = json.loads((output / "_manifest" / "run.json").read_text("utf-8"))["counts"]
    assert sum(check.clips for check in checks) == counts["clips_in_shards"]
    assert sum(check.letters for check in checks) == counts["clips_in_errors"] > 0
    capsys.readouterr()
    assert run("verify", output, "--json") == 0
    assert json.loads(capsys.readouterr().out)["clips"] == counts["clips_in_shards"]


def test_on_any_storage(output: Path):
    memory = fsspec.filesystem("memory")
    memory.put(str(output), "/verified", recursive=True)
    assert problems("memory://verified") == []
    memory.rm("/verified/part-000001.tar")
    assert faults("memory://verified") >= {Fault.MISSING}
    memory.rm("/verified", recursive=True)


@pytest.mark.parametrize("name", ["part-000000.tar", "part-000002.tfrecord"])
def test_a_byte_that_changed_is_found_and_its_clip_named(output: Path, name: str, capsys: pytest.CaptureFixture[str]):
    path = output / name
    flip(path, path.read_bytes().index(b"RIFF") + 60)
    found = problems(output)
    assert {problem.fault for problem in found} >= {Fault.CHECKSUM}
    assert {problem.fault for problem in found} & {Fault.CONTENT, Fault.UNREADABLE}
    assert {problem.shard for problem in found if problem.shard} == {name}
    assert faults(output, read=False) == set()
    assert run("verify", output) == 1
    assert name in capsys.readouterr().out


def test_a_swapped_clip_is_found_though_index_and_sums_agree(output: Path):
    """Whoever makes a new index of spoiled shards does not get by."""
    path = output / "part-000000.tar"
    data = path.read_bytes()
    place = data.index(b"RIFF") + 100
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    index = json.loads((output / "index.json").read_text("utf-8"))
    import hashlib  # noqa: PLC0415

    entry = next(e for e in index["shardlist"] if e["url"] == path.name)
    entry["md5sum"] = hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324
    (output / "index.json").write_text(json.dumps(index), "utf-8")
    assert faults(output) == {Fault.CONTENT}


def spoil_missing(output: Path) -> None:
    (output / "part-000001.tar").unlink()


def spoil_short(output: Path) -> None:
    path = output / "part-000001.tar"
    path.write_bytes(path.read_bytes()[:-2048])


def spoil_letters(output: Path) -> None:
    (output / "_errors" / "part-000000.tar").unlink()


def spoil_success(output: Path) -> None:
    (output / "_SUCCESS").unlink()


def spoil_more(output: Path) -> None:
    (output / "more.tar").write_bytes((output / "part-000000.tar").read_bytes())


def spoil_manifest(output: Path) -> None:
    path = output / "_manifest" / "clips.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)


def spoil_outcome(output: Path) -> None:
    path = output / "_manifest" / "clips.parquet"
    table = pq.read_table(path)
    outcomes = ["unchanged" if v == "improved" else v for v in table["outcome"].to_pylist()]
    pq.write_table(table.set_column(table.column_names.index("outcome"), "outcome", [outcomes]), path)


SPOILT = {
    spoil_missing: {Fault.MISSING},
    spoil_short: {Fault.SIZE, Fault.CHECKSUM},
    spoil_letters: {Fault.LETTERS},
    spoil_success: {Fault.UNFINISHED},
    spoil_more: {Fault.UNLISTED},
    spoil_manifest: {Fault.COUNT},
    spoil_outcome: {Fault.RECORD},
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_what_was_done_to_it_is_found(output: Path, spoil):
    spoil(output)
    assert faults(output) >= SPOILT[spoil]


def test_a_folder_without_an_index_is_no_output(tmp_path: Path):
    assert run("verify", tmp_path) == 2


def test_shards_that_were_converted_are_held_against_their_index(finished: Path, tmp_path: Path):
    assert (
        run("convert", "--input", finished.parent / "in" / "part-*.tar", "--to", "tfrecord", "--output", tmp_path) == 0
    )
    assert problems(tmp_path) == []
    flip(tmp_path / "part-000000.tfrecord", 4000)
    assert Fault.CHECKSUM in faults(tmp_path)
