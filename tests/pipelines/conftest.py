"""A small corpus of real clips for the tests of whole runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIPS = 6


@pytest.fixture(scope="session")
def corpus(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of two clips each, every second with a known fault; `truth.json` beside them."""
    folder = tmp_path_factory.mktemp("corpus")
    builder = ROOT / "examples" / "demo" / "build_corpus.py"
    command = [sys.executable, str(builder), "--to", str(folder), "--media", str(media_dir), "--clips", str(CLIPS)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder


@pytest.fixture(scope="session")
def truth(corpus: Path) -> Mapping[str, Mapping[str, Any]]:
    """What is known about each clip, by key."""
    return {clip["key"]: clip for clip in json.loads((corpus / "truth.json").read_text("utf-8"))["clips"]}
