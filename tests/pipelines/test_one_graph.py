"""A run as one graph: small, finished by the runner alone, and told from its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import pytest
from runners import job_service
from runs import contents, run
from scripted_runs import scripted_ports, start, write_corpus, write_recipe

from avagent.core.errors import AVAgentError
from avagent.pipelines.recipe import load_recipe
from avagent.pipelines.wiring import wire
from avagent.runs.finish import finish_run
from avagent.runs.run_plan import RunPlan, ShardTask, Step, Work, outstanding, read_plan, write_plan
from avagent.runs.status import read_status
from avagent.transforms import run as transform
from avagent.transforms.run import RefineShards, RunParts
from avagent.transforms.write import ApplyTarget

LIMIT_S = 300


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards, a recipe, and `whole`: the output of a run that was waited for."""
    folder = tmp_path_factory.mktemp("graph")
    write_corpus(folder / "in", tars=2, records_files=1)
    write_recipe(folder)
    assert refine(folder, folder / "whole") == 0
    return folder


def arguments(corpus: Path, output: Path, *more: object) -> list[object]:
    return ["refine", "--input", corpus / "in", "--output", output, "--recipe", corpus / "scripted.yaml", *more]


def refine(corpus: Path, output: Path, *more: object) -> int:
    with scripted_ports():
        return run(*arguments(corpus, output, *more))


def run_json(output: Path) -> dict[str, object]:
    return json.loads((output / "_manifest" / "run.json").read_text("utf-8"))


def test_the_graph_is_as_small_with_many_shards(corpus: Path):
    with scripted_ports():
        wired = wire(load_recipe(str(corpus / "scripted.yaml"), ()))
    target = ApplyTarget(output="out", provenance=wired.provenance)
    parts = RunParts(output="out", identity="f", carry=True, loop=wired.loop, target=target)
    pipeline = beam.Pipeline()
    _ = pipeline | RefineShards(parts)
    assert pipeline.to_runner_api().ByteSize() < 1 << 20


def test_a_finished_run_leaves_no_plan_and_says_so(corpus: Path, capsys: pytest.CaptureFixture[str]):
    output = corpus / "whole"
    assert read_plan(str(output)) is None
    assert run("status", output) == 0
    assert capsys.readouterr().out == "complete: 3 shards\n"
    record = run_json(output)
    assert {"decide", "apply", "total"} <= set(record["seconds"])  # type: ignore[call-overload]


def test_a_runner_that_loses_the_end_is_found_out(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(transform, "finish_run", lambda *_: None)
        assert refine(corpus, output) == 1
    assert "has no _SUCCESS" in capsys.readouterr().err
    assert run("status", output) == 0
    assert capsys.readouterr().out == "refine: 3 shards, 3 decided, 3 written\n"
    # What is left is the end alone, which needs no runner; nobody measured it.
    assert refine(corpus, output) == 0
    assert contents(output) == contents(corpus / "whole")
    assert run_json(output)["metrics"] is None


def test_the_end_can_be_repeated_but_not_by_another_run(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(transform, "finish_run", lambda *_: None)
        assert refine(corpus, output) == 1
    plan = read_plan(str(output))
    assert plan is not None
    with pytest.raises(AVAgentError, match="given to another run"):
        finish_run(str(output), "other")
    finish_run(str(output), plan.identity)
    write_plan(str(output), plan)
    finish_run(str(output), plan.identity)
    finish_run(str(output), plan.identity)
    assert contents(output) == contents(corpus / "whole")


def test_what_is_to_be_done_goes_by_what_is_there(corpus: Path, tmp_path: Path):
    output = str(corpus / "whole")
    urls = sorted(str(path) for path in (corpus / "in").iterdir())
    plan = RunPlan(identity="f", work=Work.REFINE, tasks=tuple(ShardTask(url=u) for u in urls), record={})
    assert [step for step, _ in outstanding(output, plan)] == [Step.NOTHING] * 3
    assert [step for step, _ in outstanding(str(tmp_path), plan)] == [Step.DECIDE] * 3
    applied = replace(plan, work=Work.APPLY)
    assert [step for step, _ in outstanding(str(tmp_path), applied)] == [Step.APPLY] * 3
    assert [step for step, _ in outstanding(output, replace(plan, work=Work.DECIDE))] == [Step.NOTHING] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "needs a runner that goes on"),
        (("--runner=PrismRunner",), "needs a runner that goes on"),
        (("--runner=PortableRunner", "--environment_type=LOOPBACK"), "the workers are in this process"),
    ],
)
def test_a_run_that_ends_with_its_client_is_waited_for(
    options: tuple[str, ...], message: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert refine(corpus, tmp_path / "out", "--no-wait", *options) == 2
    assert message in capsys.readouterr().err


def test_there_is_no_status_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("status", tmp_path) == 2
    assert "holds no run" in capsys.readouterr().err


@pytest.fixture(scope="module")
def remote() -> Iterator[tuple[str, ...]]:
    """Options that give a run to another process."""
    with job_service() as options:
        yield options


def test_a_run_is_finished_without_its_client(remote: tuple[str, ...], corpus: Path, tmp_path: Path):
    output = tmp_path / "out"
    client = start(*arguments(corpus, output, "--no-wait", *remote), limit=LIMIT_S)
    text = client.text()
    assert client.returncode == 0, text
    assert "avagent status" in text
    while not read_status(str(output)).complete or read_plan(str(output)) is not None:
        pass
    assert contents(output) == contents(corpus / "whole")
    record = run_json(output)
    assert record["seconds"] is record["metrics"] is record["throughput"] is None


def test_who_waits_adds_what_was_measured(remote: tuple[str, ...], corpus: Path, tmp_path: Path):
    output = tmp_path / "out"
    client = start(*arguments(corpus, output, *remote), limit=LIMIT_S)
    text = client.text()
    assert client.returncode == 0, text
    assert contents(output) == contents(corpus / "whole")
    metrics = run_json(output)["metrics"]
    assert metrics["apply"]["shards_written"] == 3  # type: ignore[index]
