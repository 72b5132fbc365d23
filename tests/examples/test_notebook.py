"""The notebook of the examples, executed cell by cell in a process of its own, what it shows included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from shard_tools import tar_bytes

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "notebook" / "clips.ipynb"
EXECUTE = '''
"""Runs the code cells of a notebook in one namespace, and shows the last expression of each as a notebook does."""
import ast, json, sys

names = {"__name__": "__main__"}
for cell in json.loads(open(sys.argv[1], encoding="utf-8").read())["cells"]:
    if cell["cell_type"] != "code":
        continue
    tree = ast.parse("".join(cell["source"]))
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, cell["id"], "exec"), names)
    value = eval(compile(last, cell["id"], "eval"), names) if last is not None else None
    html = getattr(value, "_repr_html_", None)
    print(json.dumps({"id": cell["id"], "text": repr(value), "html": html() if html is not None else ""}))
'''


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> list[dict[str, str]]:
    """What each cell shows, over a shard with real film."""
    folder = tmp_path_factory.mktemp("notebook")
    films = {
        "talk": media_dir / "psychopy/demos/coder/stimuli/jwpIntro.mp4",
        "rabbit": media_dir / "video/bigbuckbunny.mp4",
    }
    files = [(f"{key}.mp4", path.read_bytes()) for key, path in films.items()]
    (folder / "a-000000.tar").write_bytes(tar_bytes(files))
    environment = {**os.environ, "AVAGENT_SHARDS": str(folder), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, NOTEBOOK],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_every_cell_runs(outputs: list[dict[str, str]]):
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert [cell["id"] for cell in outputs] == [cell["id"] for cell in cells if cell["cell_type"] == "code"]


def test_clips_show_player_pictures_and_spectrogram(outputs: list[dict[str, str]]):
    shown = [cell["html"] for cell in outputs if cell["html"]]
    assert len(shown) == 3
    listing, clip, edited = shown
    assert "talk" in listing
    assert clip.count("<video") == 1
    assert clip.count('class="spectrum"') == 1
    assert clip.count("Picture at") == 6
    assert edited.count("<video") == edited.count('class="spectrum"') == 2
    assert "shift" in edited


def test_what_it_finds_is_so(outputs: list[dict[str, str]]):
    texts = " ".join(cell["text"] for cell in outputs)
    assert "Speech" in texts
    assert "_SUCCESS" in texts


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
