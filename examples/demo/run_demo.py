"""The demo: build shards of real clips, some with known faults, refine them, and say truthfully what came of it.

    python examples/demo/run_demo.py --output demo-output [--clips N]

Exit code: that of `avagent refine`. The figures do not change it: they are reported as they are.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from build_corpus import MEDIA, build_corpus
from corpus import FAULTS, SCENES
from judge import Row, Verdict, judge
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description="Build shards with known faults, refine them, report.")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder to write")
    parser.add_argument("--media", type=Path, default=MEDIA, help="folder filled by tools/fetch_media.py")
    parser.add_argument("--clips", type=int, default=len(SCENES), help="only the first N clips")
    options = parser.parse_args(arguments)
    if not (options.media / "stamps").is_dir():
        print(f"no media in {options.media}: run `make media` first", file=sys.stderr)
        return 1
    # A table as wide as the longest row where nobody set a width (a pipe, a CI log).
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    corpus, refined = options.output / "corpus", options.output / "refined"
    shutil.rmtree(corpus, ignore_errors=True)
    console.print(f"Building {min(options.clips, len(SCENES))} clips in {corpus} ...")
    build_corpus(corpus, options.media, SCENES[: options.clips], FAULTS)
    code = refine(corpus / "shards", refined)
    if code != 0:
        return code
    verdicts = judge(corpus, refined)
    console.print(clip_table(verdicts))
    console.print(fault_table(verdicts))
    for line in summary(verdicts):
        console.print(line)
    console.print(f"Results: {refined.resolve()}  (shards, _manifest/clips.parquet, KEY.avagent.json in every shard)")
    return 0


def refine(shards: Path, refined: Path) -> int:
    """Run `avagent refine` as a user would; answers its exit code."""
    command = [str(Path(sys.executable).with_name("avagent")), "refine", "--input", str(shards)]
    command += ["--output", str(refined), "--recipe", "embedded", "--overwrite"]
    print("$", " ".join(["avagent", *command[1:]]), flush=True)
    return subprocess.run(command, check=False).returncode


def clip_table(verdicts: Sequence[Verdict]) -> Table:
    """One row a clip."""
    table = Table(title="Clips", show_lines=True)
    for name in ("clip", "known fault", "heard / seen", "plans tried", "alignment", "synchron.", "outcome", "to clean"):
        table.add_column(name, overflow="fold")
    for verdict in verdicts:
        row = verdict.row
        table.add_row(
            verdict.key,
            verdict.fault or "-",
            escape("\n".join(verdict.captions)),
            "\n".join(_plan(r) for r in verdict.rounds) or "-",
            _change(row["alignment_before"], row["alignment_after"]),
            _change(row["synchronization_before"], row["synchronization_after"]),
            _outcome(verdict),
            _distance(verdict),
        )
    return table


def fault_table(verdicts: Sequence[Verdict]) -> Table:
    """One row a kind of fault."""
    table = Table(title="Faults")
    for name in ("known fault", "clips", "right kind accepted", "nearer to the clean sound", "left unchanged"):
        table.add_column(name, justify="left" if name == "known fault" else "right")
    for kind in sorted({v.fault for v in verdicts if v.fault}):
        group = [v for v in verdicts if v.fault == kind]
        counts = (
            len(group),
            sum(v.right for v in group),
            sum(v.distance is not None and v.distance.nearer for v in group),
            sum(v.identical for v in group),
        )
        table.add_row(kind, *map(str, counts))
    return table


def summary(verdicts: Sequence[Verdict]) -> list[str]:
    """The figures that the demo is judged by."""
    clean = [v for v in verdicts if v.fault is None]
    faulty = [v for v in verdicts if v.fault is not None]
    outcomes = sorted({str(v.row["outcome"]) for v in verdicts})
    counts = ", ".join(f"{sum(v.row['outcome'] == o for v in verdicts)} {o}" for o in outcomes)
    return [
        f"Clips: {len(verdicts)} ({counts})",
        f"Clean clips that left byte-identical: {_share(sum(v.identical for v in clean), len(clean))}",
        f"Faulty clips with an accepted action of the right kind: {_share(sum(v.right for v in faulty), len(faulty))}",
        "Faulty clips that came nearer to their clean sound: "
        + _share(sum(v.distance is not None and v.distance.nearer for v in faulty), len(faulty)),
    ]


def _plan(row: Row) -> str:
    kinds = " + ".join(kind for kind in (row["noise"], row["coordination"]) if kind)
    return f"{kinds} {'kept' if row['accepted'] else 'dropped'}"


def _outcome(verdict: Verdict) -> str:
    text = f"{verdict.row['outcome']} ({verdict.row['reason']})"
    if verdict.fault is None:
        return text if verdict.identical else f"{text}, CHANGED"
    return f"{text}, {'right kind' if verdict.right else 'not repaired'}"


def _distance(verdict: Verdict) -> str:
    found = verdict.distance
    return "-" if found is None else f"{found.measure}\n{_change(found.before, found.after)}"


def _change(before: float | None, after: float | None) -> str:
    first, second = ("-" if v is None else f"{v:.2f}" for v in (before, after))
    return first if first == second else f"{first} -> {second}"


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} ({100 * part / whole:.0f}%)" if whole else "0/0"


if __name__ == "__main__":
    sys.exit(main())
