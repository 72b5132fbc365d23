"""What Flink says of its newest job, by its REST interface: state, seconds, and each vertex with its records.

python infra/flink/job_metrics.py http://127.0.0.1:18081
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any


def main(rest: str) -> None:
    """Print it."""
    jobs = sorted(_get(rest, "/jobs/overview")["jobs"], key=lambda job: job["start-time"])
    if not jobs:
        sys.exit(f"{rest} knows no job")
    sys.stdout.writelines(f"{line}\n" for line in lines(_get(rest, f"/jobs/{jobs[-1]['jid']}")))


def lines(job: Any) -> Iterator[str]:
    """Of a job as the interface describes it."""
    yield f"{job['name']}: {job['state']} after {job['duration'] / 1000:.1f} s"
    for vertex in job["vertices"]:
        metrics = vertex["metrics"]
        yield (
            f"  {vertex['duration'] / 1000:6.1f} s  {metrics['read-records']:6} in  {metrics['write-records']:6} out"
            f"  {vertex['status']:9} {vertex['name'][:80]}"
        )


def _get(rest: str, path: str) -> Any:
    with urllib.request.urlopen(rest + path, timeout=10) as answer:  # noqa: S310  (a URL that the user gave)
        return json.load(answer)


if __name__ == "__main__":
    main(sys.argv[1])
