"""`avagent refine` on real clips with the embedded models, as a user runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from runs import audio_codec, clips, contents, counts_add_up, keys, members, refined, run, video_packets

CLIPS = 6


@pytest.fixture(scope="module")
def output(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One undisturbed run."""
    return refined(corpus / "shards", tmp_path_factory.mktemp("refined") / "out")


def test_counts_add_up_and_every_shard_keeps_its_name_and_order(corpus: Path, output: Path):
    counts_add_up(output, CLIPS)
    for shard in sorted((corpus / "shards").glob("*.tar")):
        assert keys([output / shard.name]) == keys([shard])


def test_clean_clips_leave_byte_identical(corpus: Path, output: Path, truth: Mapping[str, Mapping[str, Any]]):
    clean = [key for key, clip in truth.items() if clip["fault"] is None]
    assert clean
    rows = clips(output)
    for key in clean:
        before, after = members(corpus / "shards" / truth[key]["shard"]), members(output / truth[key]["shard"])
        assert after[f"{key}.mp4"] == before[f"{key}.mp4"]
        assert rows[key]["outcome"] == "unchanged"
        assert json.loads(rows[key]["actions"]) == []


def test_faulty_clips_are_repaired_and_their_video_is_untouched(
    corpus: Path, output: Path, truth: Mapping[str, Mapping[str, Any]]
):
    rows = clips(output)
    improved = [key for key, row in rows.items() if row["outcome"] == "improved"]
    faulty = [key for key, clip in truth.items() if clip["fault"] is not None]
    assert improved
    assert set(improved) <= set(faulty)
    for key in improved:
        assert {a["kind"] for a in json.loads(rows[key]["actions"])} & set(truth[key]["repairs"])
        before, after = members(corpus / "shards" / truth[key]["shard"]), members(output / truth[key]["shard"])
        assert after[f"{key}.mp4"] != before[f"{key}.mp4"]
        assert video_packets(after[f"{key}.mp4"]) == video_packets(before[f"{key}.mp4"])
        assert after[f"{key}.json"] == before[f"{key}.json"]


def test_every_clip_carries_its_record(output: Path):
    rows = clips(output)
    for shard in output.glob("*.tar"):
        found = members(shard)
        for key in keys([shard]):
            record = json.loads(found[f"{key}.avagent.json"])
            assert record["outcome"] == rows[key]["outcome"]
            assert record["captions"]["audio"]["text"]
            assert record["captions"]["video"]["text"]
            assert record["provenance"]["fingerprint"] == rows[key]["fingerprint"]


def test_two_runs_give_the_same_bytes(corpus: Path, output: Path, tmp_path: Path):
    assert contents(refined(corpus / "shards", tmp_path / "again")) == contents(output)


def test_a_refined_folder_can_be_refined_again(output: Path, tmp_path: Path):
    again = refined(output, tmp_path / "again")
    counts_add_up(again, CLIPS)
    for shard in output.glob("*.tar"):
        assert list(members(again / shard.name)) == list(members(shard))


def test_deciding_then_applying_is_the_same_as_refining(corpus: Path, output: Path, tmp_path: Path):
    decided = refined(corpus / "shards", tmp_path / "decided", "--decide-only")
    assert not list(decided.glob("*.tar"))
    assert not (decided / "_SUCCESS").exists()
    assert clips(decided) == clips(output)
    assert run("apply", "--decisions", decided, "--output", tmp_path / "applied") == 0
    assert run("apply", "--decisions", decided) == 0
    for folder in (decided, tmp_path / "applied"):
        counts_add_up(folder, CLIPS)
        for shard in output.glob("*.tar"):
            assert (folder / shard.name).read_bytes() == shard.read_bytes()


def leave_all_alone(folder: Path) -> None:
    """Edit the decisions by hand: no clip is to be changed."""
    for file in (folder / "_manifest" / "decisions").iterdir():
        records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        for record in records:
            record.update(outcome="unchanged", reason="by hand", actions=[])
        file.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def test_decisions_edited_by_hand_are_applied(corpus: Path, output: Path, tmp_path: Path):
    decided = tmp_path / "decided"
    shutil.copytree(output / "_manifest", decided / "_manifest")
    shutil.rmtree(decided / "_manifest" / "shards")
    leave_all_alone(decided)
    assert run("apply", "--decisions", decided, "--output", tmp_path / "applied") == 0
    rows = clips(tmp_path / "applied")
    assert {row["reason"] for row in rows.values()} == {"by hand"}
    for shard in (corpus / "shards").glob("*.tar"):
        before, after = members(shard), members(tmp_path / "applied" / shard.name)
        assert {n: d for n, d in after.items() if not n.endswith(".avagent.json")} == before


def test_decisions_edited_after_an_apply_are_applied_again(output: Path, tmp_path: Path):
    folder = tmp_path / "out"
    shutil.copytree(output, folder)
    leave_all_alone(folder)
    assert run("apply", "--decisions", folder) == 0
    assert {row["reason"] for row in clips(folder).values()} != {"by hand"}
    assert run("apply", "--decisions", folder, "--overwrite") == 0
    counts_add_up(folder, CLIPS)
    for shard in folder.glob("*.tar"):
        for name, data in members(shard).items():
            if name.endswith(".avagent.json"):
                assert json.loads(data)["reason"] == "by hand"


def test_a_limit_counts_over_all_shards(corpus: Path, tmp_path: Path):
    output = refined(corpus / "shards", tmp_path / "out", "--limit", 3, "--max-rounds", 0)
    counts_add_up(output, 3)
    first, second = sorted((corpus / "shards").glob("*.tar"))[:2]
    assert keys(sorted(output.glob("*.tar"))) == [*keys([first]), *keys([second])[:1]]


def test_an_interrupted_run_goes_on(corpus: Path, output: Path, tmp_path: Path):
    broken = tmp_path / "out"
    shutil.copytree(output, broken)
    (broken / "_SUCCESS").unlink()
    (broken / "demo-000001.tar").unlink()
    (broken / "_manifest" / "shards" / "demo-000001.tar.json").unlink()
    kept = (broken / "demo-000000.tar").stat().st_mtime_ns
    assert contents(refined(corpus / "shards", broken)) == contents(output)
    assert (broken / "demo-000000.tar").stat().st_mtime_ns == kept


def test_a_complete_run_is_not_done_again(corpus: Path, output: Path, capsys: pytest.CaptureFixture[str]):
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()}
    assert run("refine", "--input", corpus / "shards", "--output", output) == 0
    assert "complete already" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()} == before


def test_repaired_sound_can_be_written_without_loss(
    corpus: Path, tmp_path: Path, truth: Mapping[str, Mapping[str, Any]]
):
    output = refined(corpus / "shards", tmp_path / "out", "--audio-codec", "flac")
    improved = [key for key, row in clips(output).items() if row["outcome"] == "improved"]
    assert improved
    for key in improved:
        assert audio_codec(members(output / truth[key]["shard"])[f"{key}.mp4"]) == "flac"


def test_another_run_is_only_replaced_when_asked(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = refined(corpus / "shards", tmp_path / "out", "--limit", 1, "--max-rounds", 0)
    assert run("refine", "--input", corpus / "shards", "--output", output, "--limit", 2, "--max-rounds", 0) == 2
    assert "--overwrite" in capsys.readouterr().err
    counts_add_up(output, 1)
    refined(corpus / "shards", output, "--limit", 2, "--max-rounds", 0, "--overwrite")
    counts_add_up(output, 2)


def test_two_worker_processes_decide_the_same(corpus: Path, output: Path, tmp_path: Path):
    workers = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    assert contents(refined(corpus / "shards", tmp_path / "out", *workers)) == contents(output)


def test_the_users_direct_runner_decides_the_same(corpus: Path, output: Path, tmp_path: Path):
    found = contents(refined(corpus / "shards", tmp_path / "out", "--runner=BundleBasedDirectRunner"))
    assert found == contents(output)


@pytest.fixture
def job_service(tmp_path: Path) -> Iterator[str]:
    """Beam's portable job service on this machine: the portability protocol over real gRPC, without Java."""
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    pid_file, log = f"--pid_file={tmp_path / 'service.pid'}", f"--stdout_file={tmp_path / 'service.log'}"
    # With --background the command ends when the service listens, and says where.
    started = subprocess.run(
        [*command, "--background", pid_file, log], check=True, capture_output=True, text=True, timeout=120
    )
    yield f"localhost:{started.stdout.split()[-1]}"
    subprocess.run([*command, "--stop", pid_file], check=True, capture_output=True)


def test_the_portable_job_service_decides_the_same(corpus: Path, output: Path, tmp_path: Path, job_service: str):
    portable = ("--runner=PortableRunner", f"--job_endpoint={job_service}", "--environment_type=LOOPBACK")
    assert contents(refined(corpus / "shards", tmp_path / "out", *portable)) == contents(output)
