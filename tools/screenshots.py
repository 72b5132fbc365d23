"""Pictures of a report and a review as a browser shows them, for the documentation: `docs/report-*.webp`.

    python tools/screenshots.py RUN [DECIDED] [--to docs]

RUN is the output folder of `avagent refine` (of `make demo`, say), DECIDED that of `refine --decide-only`. Needs
Chromium (tools/fetch_browser.sh) and the extra `dev`.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
from playwright.sync_api import sync_playwright

from avagent.media.preview import encode_webp
from avagent.media.pyav import pixels_of
from avagent.pipelines.cli import main as avagent

ROOT = Path(__file__).resolve().parent.parent
DESKTOP, PHONE = (1200, 900), (390, 844)
MOST_BYTES = 400_000
QUALITY = 88


def main() -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation.")
    parser.add_argument("run", type=Path)
    parser.add_argument("decided", type=Path, nargs="?")
    parser.add_argument("--to", type=Path, default=ROOT / "docs")
    parser.add_argument("--clip", default="gander", help="a clip that was improved")
    options = parser.parse_args()
    found = subprocess.run(["sh", ROOT / "tools" / "fetch_browser.sh"], check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found.stdout.strip(), args=["--no-sandbox"])
        page = _made("report", options.run, Path(folder) / "report.html")
        shoot(browser, page, options.to / "report-desktop-light.webp", DESKTOP, "light")
        shoot(browser, page, options.to / "report-phone-dark.webp", PHONE, "dark")
        clip = f"clip-{options.clip}"
        shoot(browser, page, options.to / "report-clip-desktop-dark.webp", DESKTOP, "dark", clip)
        shoot(browser, page, options.to / "report-clip-phone-light.webp", PHONE, "light", clip)
        if options.decided is not None:
            page = _made("review", options.decided, Path(folder) / "review.html")
            shoot(browser, page, options.to / "review-desktop-light.webp", DESKTOP, "light", "review")
            shoot(browser, page, options.to / "review-phone-dark.webp", PHONE, "dark", clip)
        browser.close()
    return 0


def _made(command: str, output: Path, page: Path) -> Path:
    if avagent([command, str(output), "--to", str(page)]) != 0:
        sys.exit(1)
    return page


def shoot(browser: Any, page: Path, target: Path, size: tuple[int, int], scheme: str, anchor: str = "") -> None:
    """One picture, of a part of the page."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, device_scale_factor=1.5, offline=True
    )
    tab = context.new_page()
    tab.goto(page.as_uri() + (f"#{anchor}" if anchor else ""))
    # What lies on this machine is nobody's business.
    tab.evaluate(
        "document.querySelectorAll('h1, code').forEach((e) => { e.textContent = "
        "e.textContent.replace(/(\\/[^\\s/]+)+\\//g, ''); })"
    )
    tab.wait_for_timeout(500)
    with av.open(io.BytesIO(tab.screenshot()), "r") as picture:
        data = encode_webp(pixels_of(next(picture.decode(video=0)).reformat(format="rgb24")), QUALITY)
    context.close()
    if len(data) > MOST_BYTES:
        sys.exit(f"{target.name} has {len(data)} bytes, more than {MOST_BYTES}")
    target.write_bytes(data)
    print(f"{target}: {len(data)} bytes")


if __name__ == "__main__":
    sys.exit(main())
