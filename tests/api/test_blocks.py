"""The building blocks in pipelines that are not ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that

import avagent as av
from avagent.core.errors import UsageError
from avagent.pipelines.beam_options import FN_API_RUNNER
from avagent.runs.verify import VerifyOptions, verify_output

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipelines"))
from runs import clips, contents, members, refined, run
from scripted_runs import scripted_ports, write_corpus, write_recipe


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks")
    write_corpus(folder / "in", tars=2)
    write_corpus(folder / "records", tars=0, records_files=1)
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    with scripted_ports():
        yield av.load_recipe(str(write_recipe(tmp_path)))


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions(["--runner", FN_API_RUNNER]))


def test_read_refine_write_gives_what_the_command_gives(corpus: Path, recipe: Any, tmp_path: Path):
    with pipeline() as p:
        refined_clips = p | av.ReadWebDataset(str(corpus / "in"), recipe=recipe) | av.RefineClips(recipe=recipe)
        _ = refined_clips | av.WriteWebDataset(str(tmp_path / "blocks"), recipe=recipe)
    command = refined(corpus / "in", tmp_path / "command", "--recipe", write_recipe(tmp_path))
    shards = [f"part-00000{n}.tar" for n in (0, 1)]
    assert [members(tmp_path / "blocks" / s) for s in shards] == [members(command / s) for s in shards]
    rows = [pq.read_table(f / "_manifest" / "clips.parquet").to_pylist() for f in (tmp_path / "blocks", command)]
    assert rows[0] == rows[1]
    assert [p for c in verify_output(str(tmp_path / "blocks"), VerifyOptions()) for p in c.problems] == []
    assert run("status", tmp_path / "blocks") == 0


def test_a_round_of_ones_own_and_clips_left_out(corpus: Path, recipe: Any, tmp_path: Path):
    with pipeline() as p:
        scored = (
            p
            | av.ReadWebDataset(str(corpus / "in" / "part-000000.tar"), recipe=recipe)
            | av.CaptionClips(recipe=recipe)
            | av.ScoreClips(recipe=recipe)
        )
        tried = (
            scored
            | "NoFailures" >> beam.Filter(lambda state: state.failure is None)
            | av.PlanEdits(recipe=recipe)
            | av.ApplyEdits(recipe=recipe)
            | "ScoreEdits" >> av.ScoreClips(recipe=recipe)
        )
        _ = tried | av.ConcludeClips(recipe=recipe) | av.WriteWebDataset(str(tmp_path / "out"), recipe=recipe)
    found = clips(tmp_path / "out")
    outcomes = {key.partition("-")[0]: row["outcome"] for key, row in found.items()}
    assert outcomes["threshold"] == "unchanged"
    assert outcomes["fixable"] == "improved"
    # Its first idea fails, and one round is all that was run.
    assert outcomes["second"] == "unchanged"
    assert not any(key.startswith(("corrupt", "broken")) for key in found)
    assert {row["rounds"] for row in found.values()} <= {0, 1}


def test_records_are_read_and_a_limit_is_kept(corpus: Path, recipe: Any):
    def three(states: list[Any]) -> None:
        assert len(states) == 3
        assert all(state.ref.shard.endswith(".tfrecord") for state in states)

    with pipeline() as p:
        assert_that(p | av.ReadTFRecordClips(str(corpus / "records"), recipe=recipe, limit=3), three)


def test_shards_of_the_other_format_and_foreign_folders_are_refused(corpus: Path, recipe: Any, tmp_path: Path):
    with pytest.raises(UsageError, match="reads WebDataset shards"):
        av.ReadWebDataset(str(corpus / "records"), recipe=recipe)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="not empty"):
        _ = (
            beam.Pipeline()
            | av.ReadWebDataset(str(corpus / "in"), recipe=recipe)
            | av.RefineClips(recipe=recipe)
            | av.WriteWebDataset(str(tmp_path / "out"), recipe=recipe)
        )
    assert contents(tmp_path) == before


def test_clips_that_were_never_scored_cannot_be_concluded(corpus: Path, recipe: Any):
    from avagent.api.blocks import conclude_clip, wired_once  # noqa: PLC0415
    from avagent.core.clip import ClipRef  # noqa: PLC0415
    from avagent.core.state import ClipState  # noqa: PLC0415

    ref = ClipRef(key="a", shard="s.tar", offset=0, length=1, content_sha256="0" * 64)
    with pytest.raises(UsageError, match="ScoreClips before ConcludeClips"):
        conclude_clip(ClipState(ref=ref), wired_once(recipe).loop.policy)


def test_blocks_of_one_recipe_share_their_models(recipe: Any):
    from avagent.api.blocks import wired_once  # noqa: PLC0415

    assert wired_once(recipe) is wired_once(av.load_recipe(*_name(recipe)))


def _name(recipe: Any) -> list[Any]:
    import shlex  # noqa: PLC0415

    words = shlex.split(recipe.arguments)
    return [words[words.index("--recipe") + 1]]
