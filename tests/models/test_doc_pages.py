"""What pages of the documentation promise, tried."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plan_requests import BROKEN, asked

from avagent.core.errors import FailureReason

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(("loudness", "plans"), [(-50.0, 1), (-23.0, 0), (None, 0)])
def test_the_planner_of_the_page_on_extending_plans(loudness: float | None, plans: int):
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "extending.md", "exec"), names)  # noqa: S102  (our own page)
    (found,) = names["QuietPlanner"]().plan([asked(replace(BROKEN, loudness=loudness))])
    assert [plan.coordination.kind for plan in found] == ["volume"] * plans


def test_every_reason_of_a_dead_letter_is_explained():
    page = (DOCS / "troubleshooting.md").read_text("utf-8")
    assert [str(reason) for reason in FailureReason if f"`{reason}`" not in page] == []
