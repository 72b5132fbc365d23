"""How far a run is: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

_TERMINAL_EVERY_S = 0.5
_PLAIN_EVERY_S = 10.0


@dataclass(slots=True)
class Tally:
    """What the workers reported so far.

    Attributes:
        unit: what is counted.
        total_bytes: of all shards to be worked on.
        total: how many there are to do; None: not known, the bytes tell how far it is.
        started: `time.monotonic()` at the start.
    """

    unit: str
    total_bytes: int
    total: int | None = None
    started: float = field(default_factory=time.monotonic)
    labels: Counter[str] = field(default_factory=Counter)
    done_bytes: int = 0
    _position: int = 0

    def update(self, path: Path) -> None:
        """Read the lines that were appended since."""
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._position)
            text = file.read()
        whole, _, _ = text.rpartition(b"\n")
        if not whole:
            return
        self._position += len(whole) + 1
        for line in whole.decode().splitlines():
            label, _, nbytes = line.partition(" ")
            self.labels[label] += 1
            self.done_bytes += int(nbytes)

    def line(self, title: str, now: float | None = None) -> str:
        """Count, rate, time left and labels, in one line."""
        elapsed = max(1e-3, (time.monotonic() if now is None else now) - self.started)
        done = self.labels.total()
        part, whole = (self.done_bytes, self.total_bytes) if self.total is None else (done, self.total)
        share = min(1.0, part / whole) if whole else 0.0
        parts = [f"{title}: {done} {self.unit}", f"{done / elapsed:.1f} {self.unit}/s"]
        if share > 0:
            parts.append(f"{100 * share:.0f}%, {_clock(elapsed * (1 - share) / share)} left")
        parts += [f"{name} {count}" for name, count in sorted(self.labels.items())]
        return ", ".join(parts)


class Parts:
    """The parts of a run, each with its tally: in their order, and each begins when the first thing of it is done.

    Args:
        folder: where the workers report, to a file a part.
        tallies: by the part's title.
    """

    def __init__(self, folder: Path, tallies: Mapping[str, Tally]) -> None:
        self._tallies = {title: (folder / title, tally) for title, tally in tallies.items()}

    def paths(self) -> dict[str, str]:
        """Title -> the file that workers report to."""
        return {title: str(path) for title, (path, _) in self._tallies.items()}

    def lines(self) -> list[str]:
        """One line for each part that has begun, and for the first; what was reported since is read."""
        found: list[str] = []
        for title, (path, tally) in self._tallies.items():
            tally.update(path)
            if tally.labels or not found:
                found.append(tally.line(title))
            else:
                tally.started = time.monotonic()
        return found


@contextmanager
def show_lines(
    lines: Callable[[], Sequence[str]], console: Console, *, every_s: float = _PLAIN_EVERY_S
) -> Iterator[None]:
    """Show lines that tell how far a run is, the last of them the newest, until the block ends."""
    stop = threading.Event()
    arguments = (lines, console, stop) if console.is_terminal else (lines, console, stop, every_s)
    thread = threading.Thread(target=_live if console.is_terminal else _plain, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _live(lines: Callable[[], Sequence[str]], console: Console, stop: threading.Event) -> None:
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while not stop.wait(_TERMINAL_EVERY_S):
            live.update(Text("\n".join(lines())))
        live.update(Text("\n".join(lines())))


def _plain(lines: Callable[[], Sequence[str]], console: Console, stop: threading.Event, every_s: float) -> None:
    while not stop.wait(every_s):
        for line in lines()[-1:]:
            console.print(line, highlight=False, markup=False)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
