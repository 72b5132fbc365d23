"""A finished run of clips with pictures, decided by script: every outcome, and text that would be markup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_runs import HOSTILE, run, scripted_ports, write_recipe, write_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "in"
    write_shards(folder)
    return folder


@pytest.fixture(scope="session")
def refined(shards: Path) -> Path:
    """A run whose captions are markup."""
    output = shards.parent / "refined"
    with scripted_ports():
        recipe = write_recipe(shards.parent)
        assert run("refine", "--input", shards, "--output", output, "--recipe", recipe) in (0, 3)
    for path in (output / "_manifest" / "decisions").glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for record in lines:
            if record["ref"]["key"].startswith("fixable"):
                record["captions"]["audio"] = {"text": HOSTILE, "tags": [{"label": HOSTILE, "confidence": 0.5}]}
        path.write_text("".join(json.dumps(record) + "\n" for record in lines), "utf-8")
    return output


@pytest.fixture(scope="session")
def page(refined: Path) -> Path:
    """Its report."""
    path = refined / "report.html"
    with scripted_ports():
        assert run("report", refined, "--key", "hopeless-d", "--key", "nobody", "--previous", refined) == 0
    return path
