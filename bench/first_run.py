"""The first minutes of a new user: a bare clone, `make demo`, the report open in a browser: what is printed, seconds.

    python bench/first_run.py [--browser chromium]

The clone has no environment and no recordings; what pip and apt fetch may lie in their caches. The page is opened in a
real browser (extra `dev`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import ConsoleMessage, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"
GOAL_S = 120.0
LAST_LINES = 30


def timed(command: list[str], folder: Path) -> tuple[float, float, list[str]]:
    """Wall seconds, processor seconds of all its processes, and what it printed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - started, os.times()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, spent, done.stdout.splitlines()


def opened(page: Path, browser: str | None) -> tuple[float, int, list[str]]:
    """Seconds until the page is loaded, clips shown on it, and what the browser complains of."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        complaints.append(message.text)

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_page()
        tab.on("console", note)
        started = time.perf_counter()
        tab.goto(page.as_uri())
        clips = tab.locator("article").count()
        seconds = time.perf_counter() - started
        chromium.close()
    return seconds, clips, complaints


def main() -> None:
    """Measure, print, write `bench/results/first_run.json` and `.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avagent-first-run-") as folder:
        clone = Path(folder) / "avagent"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        seconds, spent, printed = timed(["make", "demo"], clone)
        size = sum(path.lstat().st_size for path in (clone / ".venv").rglob("*") if not path.is_symlink())
        shown_s, clips, complaints = opened(clone / "demo-output" / "refined" / "report.html", options.browser)
    result = {
        "make demo: s": round(seconds, 1),
        "goal: s": GOAL_S,
        "make demo: processor s": round(spent, 1),
        "environment: MB": round(size / 1e6),
        "report open in the browser: s": round(shown_s, 2),
        "clips on the page": clips,
        "complaints of the browser": complaints,
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {sys.version.split()[0]}",
    }
    last = [line.replace(folder, "") for line in printed[-LAST_LINES:]]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "first_run.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    rows = "\n".join(f"| {name} | {value} |" for name, value in result.items())
    text = "\n".join(last)
    head = "# The first run\n\nA bare clone; `make demo`; the report that it names.\n\n| | |\n|---|---|\n"
    page = f"{head}{rows}\n\n```text\n{text}\n```\n"
    (RESULTS / "first_run.md").write_text(page, "utf-8")
    print(page)


if __name__ == "__main__":
    main()
