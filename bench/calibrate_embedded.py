"""Make the embedded scorer's data: both calibrations, and the scores' own noise.

    python bench/calibrate_embedded.py [--write]

Alignment: the pictures and sounds of the stamps as matched pairs, every picture with the sounds of other kinds as
mismatched ones. Synchronization: the same stamps as moving pictures (`examples/demo/scenes.py`), in time against moved
by 80 to 600 ms. The noise of both: how much they change where nothing does that they are about
(`avagent.media.pair_views`). The 95th percentile is the suggested `min_gain`. Without `--write` only the table is made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from _array_clips import MEDIA, NOT_ITS_OWN_SOUND, ArrayView, decode_sound, load, scenes, stamps

from avagent.core.calibration import Calibration, logistic_knots, roc_auc
from avagent.core.calibration_fit import PairKind
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.faults import Lag, inject
from avagent.media.pair_views import CHANGES
from avagent.models.embedded.alignment import combine
from avagent.models.embedded.labels import LabelTable, label_table
from avagent.models.embedded.purity import purity
from avagent.models.embedded.relation import relate
from avagent.models.embedded.runtime import process_tagger
from avagent.models.embedded.scorer import load_calibration
from avagent.models.embedded.synchronization import synchronization

BINS = 40
"""Equal parts of [0, 1] of a shipped distribution, as in reports."""
DATA = Path(__file__).resolve().parent.parent / "src/avagent/models/embedded/data"
RESULTS = Path(__file__).resolve().parent / "results"
LAGS_MS = (-600.0, -300.0, -150.0, -80.0, 80.0, 150.0, 300.0, 600.0)
NOISE_QUANTILE = 0.95


def own_sounds() -> list[tuple[str, Path, Path]]:
    """Stamps whose recording is the sound of what they show."""
    return [entry for entry in stamps() if not entry[0].startswith(NOT_ITS_OWN_SOUND)]


def fingerprint(paths: Sequence[Path]) -> str:
    """SHA-256 over the files' names and bytes, in order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(MEDIA).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def changed(kind: PairKind, sound: Waveform) -> Iterator[Waveform]:
    """The sound with each change that a score of this kind is not about."""
    for change in CHANGES[kind].values():
        yield change(sound)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A calibration, and the scores of the pairs that it was made from."""

    calibration: Calibration
    matched: Sequence[float]
    mismatched: Sequence[float]

    def distribution(self) -> dict[str, object]:
        """Pairs in each part of [0, 1], for reports to compare a run with."""
        sides = {"matched": self.matched, "mismatched": self.mismatched}
        counts = {side: np.histogram(scores, BINS, (0.0, 1.0))[0].tolist() for side, scores in sides.items()}
        return {**counts, "source": self.calibration.source}


def calibrate_alignment(table: LabelTable) -> Fitted:
    """Matched and mismatched pairs, the fitted curve, the noise."""
    entries, tagger = own_sounds(), process_tagger()
    clips = {s.key: load(replace(s, kind="still")) for s in scenes() if s.key in {key for key, _, _ in entries}}
    seen: list[FloatArray] = []
    heard: list[FloatArray] = []
    for key, _, sound in entries:
        waveform = decode_sound(sound)
        view = ArrayView(key=key, sound=waveform, picture=clips[key].picture)
        seen.append(_present(tagger.seen(view, 1)))
        heard.append(_present(tagger.heard(view)))
    kinds = [key.rsplit("/", 1)[0] for key, _, _ in entries]
    matched = [r for a, v in zip(heard, seen, strict=True) if (r := _similarity(a, v, table)) is not None]
    pairs = ((a, v) for i, a in enumerate(heard) for j, v in enumerate(seen) if kinds[i] != kinds[j])
    mismatched = [r for a, v in pairs if (r := _similarity(a, v, table)) is not None]
    raw, value = logistic_knots(matched, mismatched)
    fitted = Calibration(
        name="alignment",
        raw=raw,
        value=value,
        auc=roc_auc(matched, mismatched),
        matched=len(matched),
        mismatched=len(mismatched),
        min_gain=0.0,
        data_sha256=fingerprint([p for _, picture, sound in entries for p in (picture, sound)]),
        source="pictures and sounds of tuxpaint-stamps-default, both named; mismatched: of another kind",
    )
    changes = [change for key in clips for change in _alignment_changes(clips[key], table, fitted)]
    # One margin serves both: that of the noisier.
    noise = max(_noise([c for judged, c in changes if judged is told]) for told in (True, False))
    return Fitted(replace(fitted, min_gain=noise), [fitted(r) for r in matched], [fitted(r) for r in mismatched])


def _alignment_changes(clip: ArrayView, table: LabelTable, fitted: Calibration) -> Iterator[tuple[bool, float]]:
    """Changes of the alignment (True), or of the purity that stands for it where the pair is not evaluable (False)."""
    tagger = process_tagger()
    seen = _present(tagger.seen(clip, 1))

    def score(sound: Waveform) -> tuple[float | None, float]:
        view = replace(clip, sound=sound, made={})
        alike = _similarity(_present(tagger.heard(view)), seen, table)
        return None if alike is None else fitted(alike), purity(view.facts())

    match, pure = score(clip.sound)
    for sound in chain(changed(PairKind.HARMLESS, clip.sound), changed(PairKind.SAME_FIT, clip.sound)):
        other_match, other_pure = score(sound)
        if match is None or other_match is None:
            yield False, other_pure - pure
        else:
            yield True, combine(other_match, other_pure) - combine(match, pure)


def _similarity(heard: FloatArray, seen: FloatArray, table: LabelTable) -> float | None:
    """None: not evaluable. The stamps show no people."""
    return relate(heard, seen, lambda: 0.0, table).similarity


def calibrate_synchronization() -> Fitted:
    """Moving pictures in time and out of it, the fitted curve, the noise."""
    in_time: list[float] = []
    moved: list[float] = []
    paths: list[Path] = []
    raw_changes: list[tuple[float, float]] = []
    for scene in scenes():
        if scene.kind not in ("object", "speech"):
            continue
        clip = load(scene)
        before = _timing(clip, clip.sound)
        if before is None:
            continue
        paths += [MEDIA / scene.picture, MEDIA / scene.sound]
        in_time.append(before)
        for lag in LAGS_MS:
            late = _timing(clip, inject(Lag(milliseconds=lag), clip.sound, seed=0).waveform)
            moved += [] if late is None else [late]
        sounds = chain(changed(PairKind.HARMLESS, clip.sound), changed(PairKind.SAME_TIMING, clip.sound))
        raw_changes += [(before, after) for s in sounds if (after := _timing(clip, s)) is not None]
    raw, value = logistic_knots(in_time, moved)
    fitted = Calibration(
        name="synchronization",
        raw=raw,
        value=value,
        auc=roc_auc(in_time, moved),
        matched=len(in_time),
        mismatched=len(moved),
        min_gain=0.0,
        data_sha256=fingerprint(paths),
        source="stamps that move with their sound; mismatched: the sound moved by 80 to 600 ms",
    )
    # The score is a probability as it is: the curve tells its noise alone.
    return Fitted(replace(fitted, min_gain=_noise([fitted(b) - fitted(a) for a, b in raw_changes])), in_time, moved)


def _timing(clip: ArrayView, sound: Waveform) -> float | None:
    view = replace(clip, sound=sound, made={})
    return synchronization(view).in_time


def _noise(changes: Sequence[float]) -> float:
    return round(float(np.quantile(np.abs(changes), NOISE_QUANTILE)), 4)


def _present(tags: FloatArray | None) -> FloatArray:
    if tags is None:
        raise ValueError("a stamp has both a picture and a sound")
    return tags


def table_of(calibrations: Sequence[Calibration]) -> str:
    """Markdown."""
    lines = ["| score | matched | mismatched | AUC | min_gain | data |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {c.name} | {c.matched} | {c.mismatched} | {c.auc:.3f} | {c.min_gain:.3f} | {c.source} |"
        for c in calibrations
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure; with `--write`, replace the data that ships."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"replace the files in {DATA}")
    parser.add_argument("--only", choices=("alignment", "synchronization"), help="leave the other one as it is")
    options = parser.parse_args()
    found: list[Fitted] = []
    if options.only != "synchronization":
        found.append(calibrate_alignment(label_table()))
    if options.only != "alignment":
        found.append(calibrate_synchronization())
    new = {fitted.calibration.name: fitted.calibration for fitted in found}
    text = table_of([new.get(name) or load_calibration(name) for name in ("alignment", "synchronization")])
    print(text)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "calibrate_embedded.md").write_text(text, "utf-8")
    if options.write:
        for fitted in found:
            name = fitted.calibration.name
            for stem, content in (("calibration", fitted.calibration.to_dict()), ("pairs", fitted.distribution())):
                (DATA / f"{stem}_{name}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
