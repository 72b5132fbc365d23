"""How the refined clips compare with what is known about them: their clean sound and the fault that was put in."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.io import wavfile
from scipy.signal import correlate

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.measures.sound_facts import measure
from avagent.media.container import decode_audio

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far a sound is from the clean one, before and after, in the measure that fits the fault."""

    measure: str
    before: float | None
    after: float | None
    higher_is_better: bool

    @property
    def nearer(self) -> bool:
        """Whether the sound came nearer to the clean one."""
        if self.before is None or self.after is None:
            return False
        return self.after > self.before if self.higher_is_better else self.after < self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One clip: what was wrong with it, what was done, what came of it.

    Attributes:
        key: the clip.
        fault: kind of the fault; None: clean.
        repairs: kinds of action that mend the fault.
        row: its row of `clips.parquet`.
        rounds: its rows of `rounds.parquet`.
        captions: of sound and picture.
        accepted: kinds of the accepted actions, in order.
        identical: whether its mp4 left byte for byte as it came.
        distance: to the clean sound; None for a clean clip and for one that did not leave.
    """

    key: str
    fault: str | None
    repairs: frozenset[str]
    row: Row
    rounds: tuple[Row, ...]
    captions: tuple[str, str]
    accepted: tuple[str, ...]
    identical: bool
    distance: Distance | None

    @property
    def right(self) -> bool:
        """Whether an action of the right kind was accepted."""
        return bool(self.repairs & set(self.accepted))


def judge(corpus: Path, refined: Path) -> list[Verdict]:
    """A verdict for every clip of the corpus, in its order.

    Raises:
        KeyError: a clip has no row in the manifest.
    """
    truths: list[Row] = json.loads((corpus / "truth.json").read_text(encoding="utf-8"))["clips"]
    rows: dict[str, Row] = {row["key"]: row for row in _rows(refined / "_manifest" / "clips.parquet")}
    rounds = _rows(refined / "_manifest" / "rounds.parquet")
    came, left = members(corpus / "shards"), members(refined)
    verdicts: list[Verdict] = []
    for truth in truths:
        key = truth["key"]
        before, after = came[f"{key}.mp4"], left.get(f"{key}.mp4")
        fault: Row | None = truth["fault"]
        verdicts.append(
            Verdict(
                key=key,
                fault=None if fault is None else fault["kind"],
                repairs=frozenset(truth["repairs"]),
                row=rows[key],
                rounds=tuple(r for r in rounds if r["key"] == key),
                captions=_captions(left.get(f"{key}.avagent.json")),
                accepted=tuple(action["kind"] for action in json.loads(rows[key]["actions"])),
                identical=after is not None and hashlib.sha256(before).digest() == hashlib.sha256(after).digest(),
                distance=_distance(fault["kind"], corpus / truth["clean"], before, after) if fault and after else None,
            )
        )
    return verdicts


def members(folder: Path) -> dict[str, bytes]:
    """Every member of the folder's shards, by name."""
    found: dict[str, bytes] = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for info in archive:
                file = archive.extractfile(info)
                if file is not None:
                    found[info.name] = file.read()
    return found


def si_sdr(reference: FloatArray, estimate: FloatArray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, doi:10.1109/ICASSP.2019.8683855).

    Args:
        reference: float32 [samples].
        estimate: float32 [samples]; the longer of the two is cut.
    """
    n = min(reference.size, estimate.size)
    clean, other = reference[:n].astype(np.float64), estimate[:n].astype(np.float64)
    clean, other = clean - clean.mean(), other - other.mean()
    target = clean * (clean @ other) / max(float(clean @ clean), 1e-20)
    rest = other - target
    return 10.0 * float(np.log10(max(float(target @ target), 1e-20) / max(float(rest @ rest), 1e-20)))


def lag_ms(reference: Waveform, estimate: Waveform) -> float:
    """How much later than the reference a sound comes, in ms: the peak of their cross-correlation."""
    clean, other = reference.mono(), estimate.mono()
    correlation = correlate(other, clean, mode="full", method="fft")
    return (int(np.argmax(correlation)) - (clean.size - 1)) * 1000.0 / reference.rate


def _rows(path: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


def _captions(record: bytes | None) -> tuple[str, str]:
    captions: Row = (json.loads(record).get("captions") if record else None) or {}
    audio, video = captions.get("audio") or {}, captions.get("video") or {}
    return str(audio.get("text", "")), str(video.get("text", ""))


def _distance(fault: str, clean_wav: Path, before: bytes, after: bytes) -> Distance:
    rate, samples = wavfile.read(clean_wav)
    clean = Waveform(np.ascontiguousarray(np.atleast_2d(samples.T), dtype=np.float32), int(rate))
    faulty, refined = decode_audio(before), decode_audio(after)
    match fault:
        case "level":
            values = [_loudness_error(clean, sound) for sound in (faulty, refined)]
            return Distance(measure="|dLUFS|", before=values[0], after=values[1], higher_is_better=False)
        case "speed":
            values = [None if s is None else abs(s.duration - clean.duration) for s in (faulty, refined)]
            return Distance(measure="|dt| s", before=values[0], after=values[1], higher_is_better=False)
        case "lag":
            values = [None if s is None else abs(lag_ms(clean, s)) for s in (faulty, refined)]
            return Distance(measure="|lag| ms", before=values[0], after=values[1], higher_is_better=False)
        case _:
            values = [None if s is None else si_sdr(clean.mono(), s.mono()) for s in (faulty, refined)]
            return Distance(measure="SI-SDR dB", before=values[0], after=values[1], higher_is_better=True)


def _loudness_error(clean: Waveform, sound: Waveform | None) -> float | None:
    wanted = measure(clean).loudness
    found = None if sound is None else measure(sound).loudness
    return None if wanted is None or found is None else abs(found - wanted)
