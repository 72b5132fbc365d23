"""The fuzz targets use the tools of the tests of `avagent.io`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "io"))
