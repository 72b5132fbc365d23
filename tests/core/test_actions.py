"""The action classes: bounds, sets, and the way to and from manifests."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.actions import (
    ACTION_SETS,
    ACTIONS,
    COORDINATIONS,
    EXTENDED_ACTIONS,
    NOISE_FILTERS,
    PAPER_ACTIONS,
    Action,
    FillBlanks,
    Pitch,
    Shift,
    SpectralGate,
    SpectralSubtraction,
    Speed,
    Volume,
    WaveletDenoise,
    WienerFilter,
    action_from_dict,
    action_to_dict,
)
from avagent.core.errors import ParameterError

BOUNDS: dict[type[Action], dict[str, tuple[float, float]]] = {
    SpectralSubtraction: {
        "over_subtraction": (1, 8),
        "floor_db": (-60, 0),
        "quantile": (0.05, 0.5),
        "window_s": (1, 60),
    },
    WienerFilter: {"strength": (0.25, 8), "floor_db": (-60, 0), "quantile": (0.05, 0.5), "window_s": (1, 60)},
    WaveletDenoise: {"strength": (0.25, 4), "levels": (1, 10), "window_s": (1, 60)},
    SpectralGate: {"threshold_db": (0, 30), "reduction_db": (0, 60), "quantile": (0.05, 0.5), "window_s": (1, 60)},
    Speed: {"factor": (0.5, 2)},
    Pitch: {"semitones": (-12, 12)},
    Volume: {"target_lufs": (-50, -8), "peak_dbtp": (-12, 0)},
    FillBlanks: {"min_gap_ms": (0.5, 100), "max_gap_ms": (5, 2000)},
    Shift: {"milliseconds": (-10_000, 10_000)},
}
REQUIRED: dict[type[Action], dict[str, float]] = {
    Speed: {"factor": 1.1},
    Pitch: {"semitones": 1.0},
    Shift: {"milliseconds": 40.0},
}
CASES = [(cls, name, low, high) for cls, bounds in BOUNDS.items() for name, (low, high) in bounds.items()]


def build(cls: type[Action], **params: float) -> Action:
    return cls(**{**REQUIRED.get(cls, {}), **params})  # pyright: ignore[reportArgumentType]


@st.composite
def actions(draw: st.DrawFn) -> Action:
    """Any valid action."""
    cls = draw(st.sampled_from(list(BOUNDS)))
    params: dict[str, object] = {}
    for name, (low, high) in BOUNDS[cls].items():
        whole = name == "levels"
        params[name] = draw(st.integers(int(low), int(high)) if whole else st.floats(low, high))
    if cls is FillBlanks:
        params["max_gap_ms"] = 2000.0
    if cls is Speed:
        params["mode"] = draw(st.sampled_from(["stretch", "resample"]))
    if cls is Volume:
        params["mode"] = draw(st.sampled_from(["static", "dynamic"]))
        params["declip"] = draw(st.booleans())
    if cls is Shift:
        params["edge"] = draw(st.sampled_from(["silence", "reflect"]))
    return cls(**params)  # pyright: ignore[reportArgumentType]


def test_the_sets_hold_nine_actions_of_which_the_paper_has_eight() -> None:
    assert len(ACTIONS) == 9
    assert set(NOISE_FILTERS) == {"spectral_subtraction", "wiener_filter", "wavelet_denoise", "spectral_gate"}
    assert set(COORDINATIONS) == {"speed", "pitch", "volume", "fill_blanks", "shift"}
    assert set(PAPER_ACTIONS) == set(ACTIONS) - {"shift"}
    assert ACTION_SETS == {"paper": PAPER_ACTIONS, "extended": EXTENDED_ACTIONS}
    assert set(EXTENDED_ACTIONS) == set(ACTIONS)


@pytest.mark.parametrize("cls", BOUNDS)
def test_every_number_has_bounds_here(cls: type[Action]) -> None:
    numbers = {f.name for f in fields(cls) if f.type in ("float", "int")}
    assert numbers == set(BOUNDS[cls])
    assert ACTIONS[build(cls).kind] is cls


@pytest.mark.parametrize(("cls", "name", "low", "high"), CASES)
def test_bounds_are_inclusive_and_kept(cls: type[Action], name: str, low: float, high: float) -> None:
    for value in (low, high):
        if (cls, name, value) == (FillBlanks, "max_gap_ms", low):
            build(cls, min_gap_ms=1.0, max_gap_ms=value)
        else:
            build(cls, **{name: type(low)(value)})
    for value in (low - 0.51, high + 0.51, math.nan, math.inf):
        with pytest.raises(ParameterError, match=f"{cls.__name__}.{name} must lie in"):
            build(cls, **{name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Speed(factor=1.1, mode="warp"), "Speed.mode must be"),  # pyright: ignore[reportArgumentType]
        (lambda: Volume(mode="loud"), "Volume.mode must be"),  # pyright: ignore[reportArgumentType]
        (lambda: Volume(declip="yes"), "Volume.declip must be true or false, got 'yes'"),  # pyright: ignore[reportArgumentType]
        (lambda: Shift(milliseconds=1, edge="wrap"), "Shift.edge must be"),  # pyright: ignore[reportArgumentType]
        (lambda: FillBlanks(min_gap_ms=50, max_gap_ms=20), "must not be below min_gap_ms"),
        (lambda: Speed(factor="1.1"), "Speed.factor must lie in .* got '1.1'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_other_values_are_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make()  # pyright: ignore[reportArgumentType]


@given(actions())
def test_an_action_survives_its_manifest_form(action: Action) -> None:
    data = action_to_dict(action)
    assert set(data) == {"kind", "params"}
    assert "kind" not in data["params"]
    assert action_from_dict(data) == action
    assert hash(action_from_dict(data)) == hash(action)


def test_actions_cannot_be_changed() -> None:
    with pytest.raises((FrozenInstanceError, AttributeError)):
        Pitch(semitones=1.0).semitones = 2.0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "unknown action None; known actions: spectral_subtraction"),
        ({"kind": "reverb"}, "unknown action 'reverb'"),
        ({"kind": ["speed"]}, "unknown action"),
        (
            {"kind": "pitch", "params": {"cents": 3}},
            "action 'pitch' has no parameter cents; it takes formants, semitones",
        ),
        ({"kind": "pitch"}, "action 'pitch': .*semitones"),
        ({"kind": "pitch", "params": {"semitones": 99}}, "Pitch.semitones must lie in"),
        ({"kind": "pitch", "params": {"semitones": 1, "kind": "speed"}}, "has no parameter kind"),
    ],
)
def test_bad_manifest_entries_say_what_is_wrong(data: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        action_from_dict(data)
