"""Pictures with their recorded sounds from GCompris (Debian `gcompris-qt-data`, GPL-3+ and free media), for benchmarks.

Nothing in AVAgent was fitted on them, though rules were compared with their figures in view. They are fetched once,
into `.cache/gcompris`, and never committed. The package keeps them in Qt's resource files; the format is that of `rcc`
(Qt 5, `qresource.cpp`): a tree of names and data.
"""

from __future__ import annotations

import importlib
import io
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import av
import numpy as np

from avagent.core.media import ByteArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from fetch_media import Packages, Source  # noqa: E402

FOLDER = ROOT / ".cache" / "gcompris"
SOURCE = Source(kind="debian", package="gcompris-qt-data", inside="usr/share/gcompris-qt/rcc", megabytes=44)
ACTIVITIES = ("explore_farm_animals", "explore_world_music", "instruments")
PICTURE_OF = {"chickens": "chicken", "beethoven": "orchestra"}
DRAWING_WIDTH = 600
KINDS: Mapping[str, tuple[str, ...]] = {
    "bird": ("chicken", "duck", "owl"),
    "string": ("banjo", "cello", "electric_guitar", "guitar", "harp", "violin"),
    "wind": ("clarinet", "flute_traversiere", "harmonica", "horn", "saxophone", "trombone", "trumpet", "tuba"),
    "percussion": (
        "bongo",
        "castanets",
        "cymbal",
        "drum_kit",
        "maracas",
        "snare_drum",
        "tambourine",
        "timpani",
        "triangle",
    ),
    "keys": ("accordion", "organ", "piano"),
    "ensemble": ("africa", "america", "australia", "ireland", "italy", "japan", "mexico", "middleeast", "orchestra"),
}
INSTRUMENTS = frozenset({"string", "wind", "percussion", "keys"})


def kind_of(name: str) -> str:
    """Things of one kind are not wrong for each other; what has no kind is one by itself."""
    return next((kind for kind, names in KINDS.items() if name in names), name)


def alike(one: str, other: str) -> bool:
    """Whether the sound of one kind may belong to a picture of the other: instruments play in ensembles."""
    return one == other or ("ensemble" in (one, other) and bool(INSTRUMENTS & {one, other}))


def pairs(folder: Path = FOLDER) -> Iterator[tuple[str, Path, Path]]:
    """Name, picture and sound of every thing that has both; fetched where they are absent."""
    if not folder.is_dir():
        fetch(folder)
    for sound in sorted(folder.rglob("*.ogg")):
        name = PICTURE_OF.get(sound.stem, sound.stem)
        found = (sound.with_name(name + suffix) for suffix in (".webp", ".svg"))
        picture = next((path for path in found if path.is_file()), None)
        if picture is not None:
            yield name, picture, sound


def read_picture(path: Path) -> ByteArray:
    """A photograph, or a drawing on white, uint8 [height, width, 3]."""
    data = path.read_bytes()
    if path.suffix == ".svg":
        drawn = importlib.import_module("resvg_py").svg_to_bytes(
            svg_path=str(path), width=DRAWING_WIDTH, background="white"
        )
        data = bytes(drawn)
    with av.open(io.BytesIO(data)) as container:
        return np.ascontiguousarray(next(container.decode(video=0)).to_ndarray(format="rgb24"))


def fetch(folder: Path) -> None:
    """Download the package and keep what the activities hold. Raises FetchError."""
    with tempfile.TemporaryDirectory(prefix="avagent-gcompris-") as temporary:
        package = Packages(Path(temporary)).unpack(SOURCE, ())
        for activity in ACTIVITIES:
            for path, data in resources((package / SOURCE.inside / f"{activity}.rcc").read_bytes()):
                if Path(path).suffix in (".ogg", ".webp", ".svg") and "/resource/" in f"/{path}":
                    target = folder / activity / Path(path).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)


def resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every file in a resource file."""
    if data[:4] != b"qres":
        raise ValueError("this is no Qt resource file")
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    size = 22 if version >= 2 else 14

    def walk(node: int, path: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        at = tree + node * size
        name_at, flags = struct.unpack_from(">IH", data, at)
        if node:
            (length,) = struct.unpack_from(">H", data, names + name_at)
            path = (*path, data[names + name_at + 6 :][: 2 * length].decode("utf-16-be"))
        if flags & 2:
            count, first = struct.unpack_from(">II", data, at + 6)
            for child in range(first, first + count):
                yield from walk(child, path)
            return
        (begin,) = struct.unpack_from(">I", data, at + 10)
        (length,) = struct.unpack_from(">I", data, contents + begin)
        held = data[contents + begin + 4 :][:length]
        # Compressed data begin with their size.
        yield "/".join(path), zlib.decompress(held[4:]) if flags & 1 else held

    yield from walk(0, ())
