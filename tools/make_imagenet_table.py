"""Make `models/embedded/data/imagenet.tsv`: the ImageNet-1000 classes with their lemmas and hypernyms.

    python tools/make_imagenet_table.py WORDNET_DICT SYNSETS OUTPUT_FOLDER

WORDNET_DICT is the `dict` folder of WordNet 3.0 (`data.noun`); SYNSETS lists the 1,000 WordNet identifiers, one a line,
sorted, which is the order of the classes (timm ships the list as `timm/data/_info/imagenet_synsets.txt`). A WordNet
identifier is `n` and the synset's byte offset in `data.noun` (format: wndb(5WN)). WordNet's licence notice is copied
beside the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

CLASSES = 1000
MAX_DEPTH = 7
TOO_GENERAL = frozenset(
    {"entity", "physical entity", "object", "whole", "abstraction", "matter", "thing", "artifact", "causal agent"}
)


def read_synset(nouns: bytes, offset: int) -> tuple[list[str], list[int]]:
    """Lemmas and hypernym offsets of the synset at this byte offset of `data.noun`."""
    line = nouns[offset : nouns.index(b"\n", offset)].decode("ascii")
    if not line.startswith(f"{offset:08d} "):
        raise SystemExit(f"no synset begins at byte {offset}: is this WordNet 3.0?")
    words = line.split(" | ", 1)[0].split()
    count = int(words[3], 16)
    lemmas = [words[4 + 2 * i].replace("_", " ") for i in range(count)]
    pointers = words[5 + 2 * count :]
    hypernyms = [int(pointers[i + 1]) for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")]
    return lemmas, hypernyms


def ancestors(nouns: bytes, offset: int) -> Iterator[str]:
    """First lemmas of the hypernyms, nearest first, without the most general ones."""
    seen: set[int] = set()
    level = read_synset(nouns, offset)[1]
    for _ in range(MAX_DEPTH):
        following: list[int] = []
        for at in level:
            if at in seen:
                continue
            seen.add(at)
            lemmas, above = read_synset(nouns, at)
            following += above
            if lemmas[0] not in TOO_GENERAL:
                yield lemmas[0]
        level = following


def licence(nouns: bytes) -> str:
    """The notice at the head of `data.noun`: lines of two blanks and a number."""
    lines = nouns[:4096].decode("ascii").splitlines()
    return "\n".join(line[4:].strip() for line in lines if line.startswith("  ")) + "\n"


def main(arguments: list[str]) -> None:
    """Write the table and the notice."""
    if len(arguments) != 3:
        raise SystemExit(__doc__)
    dictionary, synsets, output = (Path(a) for a in arguments)
    nouns = (dictionary / "data.noun").read_bytes()
    wnids = synsets.read_text("ascii").split()
    if len(wnids) != CLASSES or wnids != sorted(wnids):
        raise SystemExit(f"{synsets} must list {CLASSES} sorted identifiers, found {len(wnids)}")
    rows = ["index\twnid\tlemmas\thypernyms"]
    for index, wnid in enumerate(wnids):
        lemmas, _ = read_synset(nouns, int(wnid[1:]))
        rows.append(f"{index}\t{wnid}\t{'|'.join(lemmas)}\t{'|'.join(ancestors(nouns, int(wnid[1:])))}")
    (output / "imagenet.tsv").write_text("\n".join(rows) + "\n", "ascii")
    (output / "WORDNET-LICENCE.txt").write_text(licence(nouns), "ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
