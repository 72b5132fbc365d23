"""Noise filters against libraries: SI-SDR improvement, harm to clean sound, PESQ."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable
from statistics import mean

import numpy as np
from _action_signals import RATE, SNRS_DB, Recordings, cases, content_cases
from _action_tables import Goal, Table, mean_median, pesq_wb, si_sdr

from avagent.core.actions import Action, SpectralGate, SpectralSubtraction, WaveletDenoise, WienerFilter
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import apply

Method = Callable[[FloatArray], FloatArray]

NOISES = ("white", "pink", "babble", "hum", "swelling")
OURS = ("spectral_subtraction", "wiener_filter", "wavelet_denoise", "spectral_gate")
# What a first measurement reached by textbook methods on other speech: SI-SDR improvement on white, pink, babble, hum.
FIRST = {
    "spectral_subtraction": (6.4, 4.9, 1.5, 8.8),
    "wiener_filter": (7.3, 4.9, 1.3, 8.7),
    "wavelet_denoise": (6.7, 3.9, 0.7, 7.0),
    "spectral_gate": (5.5, 3.5, 0.5, 3.3),
}


def ours(action: Action) -> Method:
    """An action as a function of float32 [samples] at 16 kHz."""
    return lambda x: apply(action, Waveform(np.ascontiguousarray(x)[None, :], RATE)).waveform.samples[0]


def methods() -> dict[str, Method]:
    """Ours, then the libraries."""
    import noisereduce  # noqa: PLC0415  benchmark-only dependency
    from scipy.signal import wiener  # noqa: PLC0415

    def reduce(x: FloatArray, *, stationary: bool) -> FloatArray:
        return np.asarray(noisereduce.reduce_noise(y=x, sr=RATE, stationary=stationary), np.float32)

    def local(x: FloatArray) -> FloatArray:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return np.nan_to_num(np.asarray(wiener(x.astype(np.float64), 29), np.float32))

    mine: tuple[Action, ...] = (SpectralSubtraction(), WienerFilter(), WaveletDenoise(), SpectralGate())
    return {
        **{action.kind: ours(action) for action in mine},
        "noisereduce 3.0.3": lambda x: reduce(x, stationary=False),
        "noisereduce 3.0.3, stationary": lambda x: reduce(x, stationary=True),
        "scipy.signal.wiener": local,
    }


def measure(recordings: Recordings) -> tuple[list[Table], list[Goal]]:
    """Tables and goals of the noise filters."""
    gains: dict[str, dict[str, list[float]]] = {}
    perceived: dict[str, dict[str, list[float]]] = {}
    harm: dict[str, dict[str, list[float]]] = {}
    for name, method in {"untreated": lambda x: x, **methods()}.items():
        gains[name], perceived[name] = defaultdict(list), defaultdict(list)
        for case in [*cases(recordings, NOISES), *content_cases(recordings)]:
            out = method(case.noisy)
            gains[name][case.noise].append(si_sdr(case.clean, out) - si_sdr(case.clean, case.noisy))
            if case.snr_db == SNRS_DB[1] and case.noise in NOISES[:4]:
                perceived[name][case.noise].append(pesq_wb(case.clean, out))
        harm[name] = {
            "clean speech": [si_sdr(x, method(x)) for x in recordings.speech],
            "clean music": [si_sdr(x, method(x)) for x in recordings.music],
        }
    return _tables(gains, perceived, harm), _goals(gains, perceived, harm)


Scores = dict[str, dict[str, list[float]]]


def _tables(gains: Scores, perceived: Scores, harm: Scores) -> list[Table]:
    noises = [*NOISES, "content+white", "content+pink"]
    improvement = Table(
        "Noise filters: SI-SDR improvement in dB",
        "Mean (median) over clips and 0, 5 and 10 dB input, 16 kHz, blind. Speech; `swelling` is pink noise"
        " that rises by 23 dB over the clip; `content` at 5 dB is animals, vehicles and the like, not speech.",
        noises,
    )
    damage = Table(
        "Noise filters: output SI-SDR on clean sound in dB",
        "Default strengths; 100 is untouched. Mean (median), then the worst clip.",
        ["clean speech", "worst", "clean music", "worst"],
    )
    quality = Table("Noise filters: PESQ-wb at 5 dB", "Mean (median) over clips.", list(NOISES[:4]))
    for name in gains:
        if name != "untreated":
            improvement.rows.append((name, [mean_median(gains[name][noise]) for noise in noises]))
            speech, music = harm[name]["clean speech"], harm[name]["clean music"]
            damage.rows.append((name, [mean_median(speech), min(speech), mean_median(music), min(music)]))
        quality.rows.append((name, [mean_median(perceived[name][noise]) for noise in NOISES[:4]]))
    return [improvement, damage, quality]


def _goals(gains: Scores, perceived: Scores, harm: Scores) -> list[Goal]:
    goals: list[Goal] = []
    for noise, wanted in (("white", 8.0), ("pink", 5.8), ("hum", 12.0), ("babble", 1.5)):
        best = max(OURS, key=lambda kind: mean(gains[kind][noise]))
        got = mean(gains[best][noise])
        goals.append(
            Goal(f"SI-SDR improvement, best action, {noise} ≥ {wanted} dB", f"{got:.2f} ({best})", got >= wanted)
        )
    worst = min((mean(gains[kind][noise]), kind, noise) for kind in OURS for noise in gains[kind])
    goals.append(
        Goal("no action below 0 dB on any noise (mean)", f"{worst[0]:.2f} ({worst[1]}, {worst[2]})", worst[0] >= 0)
    )
    for kind in OURS:
        got = [mean(gains[kind][noise]) for noise in NOISES[:4]]
        met = all(g >= f for g, f in zip(got, FIRST[kind], strict=True))
        text = f"{kind}: white, pink, babble, hum ≥ {', '.join(map(str, FIRST[kind]))}"
        goals.append(Goal(text, ", ".join(f"{g:.2f}" for g in got), met))
    for kind in OURS:
        wanted = 25.0 if kind == "spectral_gate" else 30.0
        speech, music = mean(harm[kind]["clean speech"]), mean(harm[kind]["clean music"])
        text = f"{kind}: output SI-SDR on clean speech and music ≥ {wanted:g} dB (mean)"
        goals.append(Goal(text, f"{speech:.1f}, {music:.1f}", min(speech, music) >= wanted))
    overall = {kind: mean([v for values in perceived[kind].values() for v in values]) for kind in (*OURS, "untreated")}
    best = max(OURS, key=lambda kind: overall[kind])
    text = f"PESQ-wb at 5 dB, best action, mean over noises (untreated {overall['untreated']:.2f}) ≥ 1.45"
    goals.append(Goal(text, f"{overall[best]:.2f} ({best})", overall[best] >= 1.45))
    return goals
