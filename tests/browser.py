"""A real browser for tests of pages: Debian's Chromium, driven by Playwright; axe-core looks for barriers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERIOUS = {"serious", "critical"}


@cache
def chromium() -> str | None:
    """The program; None: there is none, and none can be installed."""
    done = subprocess.run(["sh", ROOT / "tools" / "fetch_browser.sh"], check=False, capture_output=True, text=True)
    return done.stdout.strip() or None


def require_chromium() -> str:
    """Its absence skips a test on a developer's machine, and fails it in CI where one said that it must be there."""
    found = chromium()
    if found is None:
        message = "no Chromium: run tools/fetch_browser.sh"
        if os.environ.get("AVAGENT_NEEDS_BROWSER"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return found


@contextmanager
def opened(
    path: Path, *, width: int = 1280, height: int = 900, scheme: str = "light", anchor: str = ""
) -> Iterator[Any]:
    """The page, opened from its file without network; whatever it complains of fails the test."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    complaints: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=require_chromium(), args=["--no-sandbox", "--mute-audio"])
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, accept_downloads=True
        )
        page = context.new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else 0
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _note_foreign(request.url, complaints))
        page.goto(path.as_uri() + anchor)
        yield page
        browser.close()
    if complaints:
        pytest.fail("the page complains: " + "; ".join(complaints), pytrace=False)


def _note_foreign(url: str, complaints: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        complaints.append(f"fetched {url}")


def barriers(page: Any) -> list[str]:
    """What axe-core takes for serious."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in SERIOUS]
