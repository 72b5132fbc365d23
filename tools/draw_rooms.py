"""Draw the rooms of `src/avagent` and what each imports, from the code: `docs/rooms.svg`.

    python tools/draw_rooms.py [--check]

Floors are those of the import contract in `pyproject.toml`. An arrow says "imports"; what follows from other arrows is
left out. With `--check` nothing is written; exit code 1 if the drawing is old.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "avagent"
DRAWING = ROOT / "docs" / "rooms.svg"
WIDTH, MARGIN, BOX, RISE = 1080, 24, 62, 54
STYLE = """
svg { font-family: system-ui, sans-serif; }
.paper { fill: #ffffff; } .box { fill: #eef3f8; stroke: #35618f; }
.name { font-weight: 600; font-size: 15px; fill: #14283c; }
.small { font-size: 11px; fill: #42586d; }
.arrow { fill: none; stroke: #7d93a8; stroke-width: 1.2; } .tip { fill: #7d93a8; }
""".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A folder of the package.

    Attributes:
        name: of the folder.
        inner: names of the rooms inside, in order.
        imports: names of the rooms that it imports.
    """

    name: str
    inner: tuple[str, ...]
    imports: frozenset[str]


def read_floors() -> list[list[str]]:
    """Names of rooms, floor by floor, the top one first: the contract's layers."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(c["layers"] for c in config["tool"]["importlinter"]["contracts"] if c["name"].startswith("floors: "))
    return [[name.strip().removeprefix("avagent.") for name in layer.split("|")] for layer in layers]


def read_room(name: str) -> Room:
    """A room as it stands in the code."""
    files = sorted((PACKAGE / name).rglob("*.py"))
    found = {room for file in files for room in _imported_rooms(ast.parse(file.read_text(encoding="utf-8")))}
    inner = sorted(file.parent.name for file in (PACKAGE / name).glob("*/__init__.py"))
    return Room(name=name, inner=tuple(inner), imports=frozenset(found - {name}))


def _imported_rooms(tree: ast.Module) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "avagent" else [f"avagent.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "avagent" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
                yield parts[1]


def without_shortcuts(rooms: Mapping[str, Room]) -> list[tuple[str, str]]:
    """The imports that do not follow from others: the transitive reduction."""
    reached: dict[str, set[str]] = {}

    def below(name: str) -> set[str]:
        if name not in reached:
            reached[name] = set[str]().union(*({n} | below(n) for n in rooms[name].imports))
        return reached[name]

    return [
        (name, target)
        for name, room in rooms.items()
        for target in sorted(room.imports)
        if not any(target in below(other) for other in room.imports - {target})
    ]


def place(floors: Sequence[Sequence[str]], rooms: Mapping[str, Room]) -> dict[str, tuple[float, float, float]]:
    """Left, top and width of each box."""
    places: dict[str, tuple[float, float, float]] = {}
    for row, floor in enumerate(floors):
        widths = [max(190.0, 40.0 + 6.2 * len(" · ".join(rooms[name].inner))) for name in floor]
        gap = (WIDTH - 2 * MARGIN - sum(widths)) / (len(floor) + 1)
        left = MARGIN + gap
        for name, width in zip(floor, widths, strict=True):
            places[name] = (round(left, 1), MARGIN + row * (BOX + RISE), round(width, 1))
            left += width + gap
    return places


def draw(floors: Sequence[Sequence[str]]) -> str:
    """The drawing, as SVG."""
    rooms = {name: read_room(name) for floor in floors for name in floor}
    places = place(floors, rooms)
    height = 2 * MARGIN + len(floors) * (BOX + RISE) - RISE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The rooms of AVAgent: each imports only rooms below it</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
    ]
    parts += [_arrow(places[a], places[b]) for a, b in without_shortcuts(rooms)]
    parts += [_box(rooms[name], places[name]) for name in places]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    towards = max(-1.0, min(1.0, ((end[0] + end[2] / 2) - (start[0] + start[2] / 2)) / 400))
    x1, y1 = start[0] + start[2] * (0.5 + 0.35 * towards), start[1] + BOX
    x2, y2 = end[0] + end[2] * (0.5 - 0.35 * towards), end[1] - 6
    bend = min(40.0, (y2 - y1) / 2)
    curve = f"M{x1:.1f} {y1:.1f} C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
    tip = f"M{x2 - 4:.1f} {y2 - 1:.1f} L{x2 + 4:.1f} {y2 - 1:.1f} L{x2:.1f} {y2 + 6:.1f} Z"
    return f'<path class="arrow" d="{curve}"/><path class="tip" d="{tip}"/>'


def _box(room: Room, place: tuple[float, float, float]) -> str:
    left, top, width = place
    middle = left + width / 2
    inner = " · ".join(room.inner)
    baseline = top + (27 if inner else 37)
    return (
        f'<rect class="box" x="{left}" y="{top}" width="{width}" height="{BOX}" rx="6"/>'
        f'<text class="name" x="{middle:.1f}" y="{baseline}" text-anchor="middle">{escape(room.name)}</text>'
        f'<text class="small" x="{middle:.1f}" y="{top + 46}" text-anchor="middle">{escape(inner)}</text>'
    )


def main() -> int:
    """Write the drawing, or check it."""
    parser = argparse.ArgumentParser(description="Draw the rooms of the package.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the drawing is old")
    check = parser.parse_args().check
    drawing = draw(read_floors())
    if check:
        current = DRAWING.is_file() and DRAWING.read_text(encoding="utf-8") == drawing
        if not current:
            print(f"{DRAWING.relative_to(ROOT)} is old: run `python tools/draw_rooms.py`", file=sys.stderr)
        return 0 if current else 1
    DRAWING.write_text(drawing, encoding="utf-8")
    print(f"wrote {DRAWING.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
