"""Every runner writes what the local one writes, and what it loses is missed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from runners import RUNNERS, Options, runner
from runs import contents, run
from scripted_runs import scripted_ports, start, write_corpus, write_recipe
from scripted_site.losing import LOSES, LOSSES, LOST

LIMIT_S = 300


@pytest.fixture(scope="module", params=RUNNERS)
def options(request: pytest.FixtureRequest) -> Iterator[Options]:
    with runner(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tar shards and a TFRecord shard, a recipe, and what the local runner makes of them."""
    folder = tmp_path_factory.mktemp("runners")
    write_corpus(folder / "in", tars=2, records_files=1)
    write_recipe(folder)
    with scripted_ports():
        assert run(*refine(folder, folder / "whole")) == 0
    return folder


def refine(corpus: Path, output: Path, *more: object) -> tuple[object, ...]:
    return ("refine", "--input", corpus / "in", "--output", output, "--recipe", corpus / "scripted.yaml", *more)


def test_the_output_is_that_of_the_local_runner(options: Options, corpus: Path, tmp_path: Path):
    process = start(*refine(corpus, tmp_path / "out", *options), limit=LIMIT_S)
    text = process.text()
    assert process.returncode == 0, text
    assert contents(tmp_path / "out") == contents(corpus / "whole")


@pytest.mark.parametrize("what", LOSSES)
def test_what_is_lost_is_missed_and_made_good_by_the_next_run(
    what: str, options: Options, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setenv(LOSES, what)
        process = start(*refine(corpus, output, *options), limit=LIMIT_S)
        text = process.text()
    assert process.returncode == 1, text
    assert LOST in text or "1 of 3 shards" in text
    assert not (output / "_SUCCESS").exists()
    with scripted_ports():
        assert run(*refine(corpus, output)) == 0
    assert contents(output) == contents(corpus / "whole")
