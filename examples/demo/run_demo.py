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
from corpus import SCENES, choose
from judge import Row, Verdict, judge
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

NOT_A_TERMINAL_WIDTH = 100
COLUMNS = {"clip": False, "fault": False, "plans": True, "alignment": False, "synchron.": False, "outcome": True}
"""Of the table of clips, and whether their text may wrap."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description="Build shards with known faults, refine them, report.")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder to write")
    parser.add_argument("--media", type=Path, default=MEDIA, help="folder filled by tools/fetch_media.py")
    parser.add_argument("--clips", type=int, default=len(SCENES), help="only the first N clips")
    options = parser.parse_args(arguments)
    scenes, faults = choose(options.media)
    if not scenes:
        print(f"no media in {options.media}: run `make media` first", file=sys.stderr)
        return 1
    console = Console(width=None if sys.stdout.isatty() else NOT_A_TERMINAL_WIDTH, highlight=False)
    corpus, refined = options.output / "corpus", options.output / "refined"
    shutil.rmtree(corpus, ignore_errors=True)
    if scenes is not SCENES:
        console.print(
            f"The recordings of Debian packages are not here (`make media` tells why): {len(scenes)} clips of films"
            f" instead of {len(SCENES)} clips. They say less: little that sounds is seen."
        )
    console.print(f"Building {min(options.clips, len(scenes))} clips in {corpus} ...")
    build_corpus(corpus, options.media, scenes[: options.clips], faults)
    code = refine(corpus / "shards", refined)
    if code != 0:
        return code
    verdicts = judge(corpus, refined)
    console.print(caption_table(verdicts))
    console.print(clip_table(verdicts))
    console.print(fault_table(verdicts))
    for line in summary(verdicts):
        console.print(line)
    console.print("Results (shards with KEY.avagent.json, _manifest/clips.parquet, _manifest/rounds.parquet):")
    print(refined.resolve())
    return report(refined)


def report(refined: Path) -> int:
    """Write the page about the run, to be opened in a browser; answers the exit code."""
    command = [str(Path(sys.executable).with_name("avagent")), "report", str(refined)]
    print("$", " ".join(["avagent", *command[1:]]), flush=True)
    return subprocess.run(command, check=False).returncode


def refine(shards: Path, refined: Path) -> int:
    """Run `avagent refine` as a user would; answers its exit code."""
    command = [str(Path(sys.executable).with_name("avagent")), "refine", "--input", str(shards)]
    command += ["--output", str(refined), "--recipe", "embedded", "--overwrite"]
    print("$", " ".join(["avagent", *command[1:]]), flush=True)
    return subprocess.run(command, check=False).returncode


def caption_table(verdicts: Sequence[Verdict]) -> Table:
    """What was heard and seen, one row a clip."""
    table = Table(title="Captions", box=SIMPLE_HEAD, padding=(0, 1), title_justify="left")
    table.add_column("clip", no_wrap=True)
    table.add_column("heard", ratio=1)
    table.add_column("seen", ratio=1)
    for verdict in verdicts:
        table.add_row(verdict.key, *map(escape, verdict.captions))
    return table


def clip_table(verdicts: Sequence[Verdict]) -> Table:
    """What was wrong, what was tried and what came of it, one row a clip."""
    table = Table(
        title="Clips (plans: + kept, - dropped; known truth: green, red)",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    for name, wrapped in COLUMNS.items():
        table.add_column(name, no_wrap=not wrapped, overflow="fold")
    for verdict in verdicts:
        row = verdict.row
        table.add_row(
            verdict.key,
            verdict.fault or "-",
            "\n".join(_plan(r) for r in verdict.rounds) or "-",
            _change(row["alignment_before"], row["alignment_after"]),
            _change(row["synchronization_before"], row["synchronization_after"]),
            f"{row['outcome']} ({escape(row['reason'])})\n{_truth(verdict)}",
        )
    return table


def fault_table(verdicts: Sequence[Verdict]) -> Table:
    """One row a kind of fault."""
    table = Table(title="Faults", box=SIMPLE_HEAD, padding=(0, 1), title_justify="left")
    for name in ("fault", "clips", "right kind", "nearer to clean", "unchanged"):
        table.add_column(name, justify="left" if name == "fault" else "right")
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
    return f"{'+' if row['accepted'] else '-'}\u00a0{kinds}"


def _truth(verdict: Verdict) -> str:
    if verdict.fault is None:
        return "[green]byte-identical[/]" if verdict.identical else "[red]clean, but changed[/]"
    judged = "[green]right kind[/]" if verdict.right else "[red]not repaired[/]"
    found = verdict.distance
    return judged if found is None else f"{judged}\n{_change(found.before, found.after)} {found.measure}"


def _change(before: float | None, after: float | None) -> str:
    first, second = ("-" if v is None else f"{v:.2f}" for v in (before, after))
    return first if first == second else f"{first}→{second}"


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} ({100 * part / whole:.0f}%)" if whole else "0/0"


if __name__ == "__main__":
    sys.exit(main())
