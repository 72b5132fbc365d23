"""How well time is judged: rendered touches, talking films, other tempos, codecs, other sounds, and the cost.

    python tools/fetch_media.py --film
    python bench/timing.py [--scenes N] [--pairs N] [--only WORDS]

Thresholds and priors were set on touches that sound like a keyboard (Debian's bucklespring-data) and like the stamps'
recordings, on the stamps' moving pictures, and lips on the films of group `set`; everything below goes by other
recordings and, but for that group, other films. Clips go the way that they go in a run, rendered ones as grey pictures
of 96 pixels' width. Intervals are bootstraps over films and recordings (Efron 1979), of 95%. Needs Debian's ffmpeg for
the codecs. Writes `bench/results/timing.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
from _array_clips import decode_sound, load, scenes
from _touches import Shot, Touch, contact_sound, random_touch, render, shrink
from _trials import Trial, conditions, fault, interval, moved, share
from timing_lips import FACELESS, SILENT, TALKERS, Film, Slow, stored, strangers_of, stretches, voices

from avagent.core.actions import Shift
from avagent.core.errors import ClipError
from avagent.core.media import Motion, Waveform
from avagent.core.ports import ClipView
from avagent.core.time_judgement import TimeJudgement, judge_time
from avagent.dsp.measures.motion import motion_energy
from avagent.dsp.measures.onset import onset_strength
from avagent.dsp.measures.touches import onset_cues
from avagent.media.picture import decode_motion
from avagent.models.embedded.lip_timing import lips_of
from avagent.models.embedded.synchronization import synchronization

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT / ".cache" / "media"
RESULTS = Path(__file__).resolve().parent / "results"
SOUNDS = ("tecnoballz", "oxygen")
CODECS: Mapping[str, Sequence[str]] = {
    "H.264": ("-c:v", "libx264", "-preset", "veryfast", "-threads", "1"),
    "MPEG-4 Part 2": ("-c:v", "mpeg4", "-q:v", "8"),
    "VP9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "40", "-b:v", "0"),
    "AV1": ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-crf", "45"),
}
DISTANCES = (12, 50, 250)
RECODED = ("psychopy/demos/coder/stimuli/jwpIntro.mp4", "psychopy/tests/data/testMovie.mp4")
AT = ((0, "largest difference of lag, ms"), (1, "largest difference of confidence"))
LONGEST_WHOLE_S = 12.0


def weigh(sound: Waveform, motion: Motion) -> TimeJudgement:
    """Touches and motion alone."""
    return judge_time(onset_cues(*onset_strength(sound), motion))


def recordings() -> list[tuple[str, np.ndarray]]:
    """Contacts: name and samples."""
    found: list[tuple[str, np.ndarray]] = []
    for path in (p for folder in SOUNDS for p in sorted((MEDIA / folder).iterdir())):
        sound = decode_sound(path)
        if float(np.abs(sound.samples).max(initial=0.0)) > 0.01:
            found.append((path.stem, contact_sound(sound.mono(), sound.rate)))
    return found


def seen(shot: Shot) -> Motion:
    """The motion of a rendered clip."""
    return motion_energy((picture, float(t)) for picture, t in zip(shrink(shot.luma), shot.times, strict=True))


def touches(count: int) -> dict[str, object]:
    """Rendered touches as they are, moved, at other tempos, and under sounds of others."""
    contacts = recordings()
    trials: list[Trial] = []
    clips: list[tuple[str, Motion, Waveform]] = []
    for index in range(count):
        name, sound = contacts[index % len(contacts)]
        shot = render(random_touch(f"bench/{index}", [sound]))
        motion = seen(shot)
        clips.append((name, motion, shot.sound))
        trials += [
            Trial(source=name, truth_ms=ms, tempo=tempo, found=weigh(moved(shot.sound, ms, tempo), motion))
            for ms, tempo in conditions()
        ]
    others = [
        Trial(source=name, truth_ms=0.0, tempo=1.0, found=weigh(clips[(i + step) % count][2], motion))
        for i, (name, motion, _) in enumerate(clips)
        for step in (1, 2, 3)
    ]
    still = [t for t in trials if t.truth_ms == 0.0 and t.tempo == 1.0]
    lags = [t.found.lag_ms for t in still if t.found.in_time is not None]
    names = [t.source for t in still if t.found.in_time is not None]
    return {
        **_common(trials),
        "bias, ms": round(float(np.mean(lags)), 1),
        "bias, interval": [round(v, 1) for v in interval(lags, names)],
        "median error, ms": round(float(np.median(np.abs(lags))), 1),
        "another clip's sound: moved": share(others, lambda t: t.found.calls_for_an_edit),
        "another clip's sound: evaluable": share(others, lambda t: t.found.in_time is not None),
    }


def _common(trials: Sequence[Trial]) -> dict[str, object]:
    still = [t for t in trials if t.truth_ms == 0.0 and t.tempo == 1.0]
    judged = [t for t in still if t.found.in_time is not None]
    late = [t for t in trials if t.truth_ms != 0.0]
    known = [t for t in late if t.found.in_time is not None]
    off = [t for t in trials if t.tempo != 1.0]
    errors = [abs(t.found.tempo / t.tempo - 1.0) for t in off if t.repaired]
    return {
        "as they are: evaluable": share(still, lambda t: t.found.in_time is not None),
        "as they are: in time": share(judged, lambda t: (t.found.in_time or 0.0) > 0.5),
        "as they are: edited": share(still, lambda t: t.found.calls_for_an_edit),
        "200 and 400 ms off: repaired": share(late, lambda t: t.repaired),
        "the same, of the evaluable": share(known, lambda t: t.repaired),
        "200 and 400 ms off: another edit": share(late, lambda t: t.found.calls_for_an_edit and not t.repaired),
        "tempo 0.85-1.18: repaired within 1%": share(off, lambda t: t.repaired),
        "tempo 0.85-1.18: another edit": share(off, lambda t: t.found.calls_for_an_edit and not t.repaired),
        "tempo: mean error": round(float(np.mean(errors)), 4) if errors else None,
    }


def talkers(films: Iterable[Film]) -> dict[str, object]:
    """Talking clips with one face for 5 s: as they are, moved, at other tempos."""
    trials: list[Trial] = []
    silent: dict[str, int] = {}
    others: dict[str, int] = {}
    for film in films:
        for view in stretches(film):
            waveform = view.audio()
            cue = None if waveform is None else lips_of(view, waveform)
            if cue is None or cue.reason is not None:
                others[str(cue and cue.reason)] = others.get(str(cue and cue.reason), 0) + 1
                continue
            for ms, tempo in conditions():
                edited = view.store.view(view.ref, fault(ms, tempo))
                found = synchronization(edited)
                # A clip cut out of a longer film: its place in the film is the unit of the bootstrap.
                trials.append(Trial(source=view.ref.key, truth_ms=ms, tempo=tempo, found=found))
                if found.reason is not None:
                    silent[found.reason] = silent.get(found.reason, 0) + 1
    return {**_common(trials), "reasons": silent, "clips without one face for 5 s, or nobody speaks": others}


def never_moved(films: Iterable[Film], most: int) -> dict[str, object]:
    """Clips that must be left alone: few pictures a second, no talker, other people's voices."""
    rows: dict[str, list[Trial]] = {"12 and 15 pictures a second": [], "no talking face": [], "another voice": []}

    def add(kind: str, view: ClipView, source: str) -> None:
        try:
            rows[kind].append(Trial(source=source, truth_ms=0.0, tempo=1.0, found=synchronization(view)))
        except ClipError:
            return

    for film in TALKERS["12 pictures a second"]:
        for view in stretches(film):
            add("12 and 15 pictures a second", view, film.name)
    for film in films:
        for view in stretches(film):
            add("12 and 15 pictures a second", Slow(view), view.ref.key)
    for name in FACELESS:
        for view in stretches(Film(name=name)):
            add("no talking face", view, name)
    for view, pair in strangers_of([*SILENT, *films], voices(), most):
        add("another voice", pair, view.ref.key)
    return {kind: share(trials, lambda t: t.found.calls_for_an_edit) for kind, trials in rows.items()}


def clean() -> dict[str, object]:
    """Clips that are in time, of every kind that is there: how many would be edited, and what of them is told."""
    rows: dict[str, list[Trial]] = {"moving stamps with their sounds": [], "speech over moving stamps": []}
    for scene in scenes():
        kind = {"object": "moving stamps with their sounds", "speech": "speech over moving stamps"}.get(scene.kind)
        if kind is not None:
            rows[kind].append(Trial(source=scene.key, truth_ms=0.0, tempo=1.0, found=synchronization(load(scene))))
    for path in sorted(p for p in MEDIA.rglob("*") if p.suffix in (".mp4", ".mov")):
        film = path.relative_to(MEDIA).as_posix()
        for view in cut(film):
            try:
                trial = Trial(source=film, truth_ms=0.0, tempo=1.0, found=synchronization(view))
            except ClipError:
                continue
            if trial.found.reason not in ("no_audio", "muted"):
                rows.setdefault(f"film: {film.split('/')[0]}", []).append(trial)
    every = [t for trials in rows.values() for t in trials]
    told = {f"{kind}: evaluable": share(trials, lambda t: t.found.in_time is not None) for kind, trials in rows.items()}
    which = [
        f"{t.source}: {t.found.lag_ms:+.0f} ms, {t.found.tempo:.3f}, {','.join(t.found.cues)}"
        for t in every
        if t.found.calls_for_an_edit
    ]
    return {"edited": share(every, lambda t: t.found.calls_for_an_edit), "which": which, **told}


def cut(film: str) -> Iterator[ClipView]:
    """A film whole, and longer ones in stretches of 5 and 8 s."""
    view = next(stretches(Film(name=film)))
    seconds = view.streams().video_duration or 0.0
    return stretches(Film(name=film, lengths=(5.0, 8.0), hop=5.0)) if seconds > LONGEST_WHOLE_S else iter([view])


def recoded() -> dict[str, object]:
    """Real films in four codecs, keyframes near and far, their sound 300 ms late: how far the answers are apart."""
    rows: dict[str, dict[str, list[object]]] = {}
    for name in RECODED:
        rows[name] = {}
        for codec, options in CODECS.items():
            for distance in (DISTANCES[0], DISTANCES[-1]):
                data = _transcoded(MEDIA / name, (*options, "-g", str(distance)))
                view = stored(data, "mkv", name)
                found = synchronization(view.store.view(view.ref, (Shift(milliseconds=300.0),)))
                answer = [found.lag_ms, round(found.out_of_time, 4), ",".join(found.cues)]
                rows[name][f"{codec}, {distance}"] = answer
    apart = {place: [round(float(np.ptp([a[i] for a in r.values()])), 4) for r in rows.values()] for i, place in AT}
    return {**apart, "rows": rows}


def _transcoded(path: Path, options: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip.mkv"
        source = ("-t", "8", "-i", str(path), "-pix_fmt", "yuv420p", "-c:a", "copy")
        subprocess.run(["ffmpeg", "-v", "error", "-y", *source, *options, str(target)], check=True)
        return target.read_bytes()


def codecs(count: int) -> dict[str, object]:
    """The same clips in four codecs at three distances of keyframes: how far lag and confidence are apart."""
    contacts = recordings()
    lags: list[float] = []
    sure: list[float] = []
    rows: dict[str, object] = {}
    for index in range(count):
        scene = replace(random_touch(f"codec/{index}", [contacts[5 * index][1]]), size=(320, 240), frame_rate=25.0)
        shot = render(scene)
        late = moved(shot.sound, 300.0, 1.0)
        found: dict[str, TimeJudgement] = {}
        for codec, options in CODECS.items():
            for distance in DISTANCES:
                motion = decode_motion(_encoded(shot, scene, (*options, "-g", str(distance))))
                if motion is not None:
                    found[f"{codec}, {distance}"] = weigh(late, motion)
        values = list(found.values())
        lags.append(float(np.ptp([f.lag_ms for f in values])))
        sure.append(float(np.ptp([f.out_of_time for f in values])))
        rows[scene.key] = {name: [f.lag_ms, round(f.out_of_time, 4)] for name, f in found.items()}
    return {"largest difference of lag, ms": lags, "largest difference of confidence": sure, "rows": rows}


def _encoded(shot: Shot, scene: Touch, options: Sequence[str]) -> bytes:
    width, height = scene.size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mkv"
        source = (
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-s",
            f"{width}x{height}",
            "-r",
            f"{scene.frame_rate}",
            "-i",
            "-",
        )
        command = ["ffmpeg", "-v", "error", "-y", *source, "-pix_fmt", "yuv420p", *options, str(path)]
        subprocess.run(command, input=shot.luma.tobytes(), check=True)
        return path.read_bytes()


def cost() -> dict[str, float]:
    """Processor time in ms of what touches add to a clip of 10 s at 25 pictures a second."""
    shot = render(Touch(key="cost", shape="ball", sounds=[recordings()[0][1]], seconds=10.0))
    motion, (onset, rate) = seen(shot), onset_strength(shot.sound)
    timed: dict[str, float] = {}
    for name, work in {
        "evidence and judgement": lambda: judge_time(onset_cues(onset, rate, motion)),
        "motion and impacts": lambda: seen(shot),
    }.items():
        work()
        started = time.process_time()
        for _ in range(5):
            work()
        timed[name] = round(200.0 * (time.process_time() - started), 1)
    return timed


def report(found: Mapping[str, Mapping[str, object]]) -> str:
    """Markdown."""
    lines = ["# How well time is judged", "", "`python bench/timing.py`", ""]
    for title, rows in found.items():
        lines += [f"## {title}", "", "| | |", "|---|---|"]
        lines += [f"| {name} | {_cell(value)} |" for name, value in rows.items() if name != "rows"]
        lines.append("")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, dict) and "of" in value:
        if value["share"] is None:
            return "no clip"
        low, high = value["interval"]
        return f"{value['count']} of {value['of']}: {value['share']:.1%} ({low:.1%} to {high:.1%})"
    return str(value)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="How well time is judged.")
    parser.add_argument("--scenes", type=int, default=40, help="rendered touches")
    parser.add_argument("--pairs", type=int, default=2, help="other voices a face")
    parser.add_argument("--only", default="", help="words of a part's title; the other parts stay as they were")
    options = parser.parse_args()
    av.logging.set_level(av.logging.FATAL)
    test = tuple(replace(film, lengths=(8.0,), hop=6.0) for film in TALKERS["test"])
    parts: dict[str, Callable[[], Mapping[str, object]]] = {
        "Rendered touches": partial(touches, options.scenes),
        "Clean clips of every kind": clean,
        "Codecs": partial(codecs, 3),
        "Codecs, film": recoded,
        "Cost, ms": cost,
        "Talking film that had no say": partial(talkers, TALKERS["test"]),
        "Talking films that lips were set on": partial(talkers, TALKERS["set"]),
        "Must be left alone: edited": partial(never_moved, (*test, *TALKERS["set"]), options.pairs),
    }
    kept = RESULTS / "timing.json"
    found: dict[str, Mapping[str, object]] = {}
    for title, part in parts.items():
        if options.only not in title:
            continue
        measured = part()
        # After each part, for it may take minutes; what others wrote meanwhile stays.
        before: dict[str, Mapping[str, object]] = json.loads(kept.read_text("utf-8")) if options.only else found
        found = {t: measured if t == title else before[t] for t in parts if t == title or t in before}
        kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        kept.with_suffix(".md").write_text(report(found), encoding="utf-8")
    print(report(found))


if __name__ == "__main__":
    main()
