"""Calibration files, and the scored pairs that they were fitted on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, cast

from avagent import storage
from avagent.core.calibration import Calibrations
from avagent.core.calibration_fit import PairKind, ScoredPair
from avagent.core.errors import ParameterError
from avagent.core.scores import RawScores
from avagent.core.time_judgement import TimeJudgement


def read_calibrations(url: str) -> Calibrations:
    """A calibration file.

    Raises:
        OSError: it cannot be read.
        ParameterError: it is not one; the message says which file.
    """
    text = storage.read_text(url)
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ParameterError(f"expected a JSON object, got {type(content).__name__}")
        return Calibrations.from_dict(cast("Mapping[str, Any]", content))
    except ValueError as error:
        raise ParameterError(f"{url} cannot be used: {error}") from error


def write_calibrations(url: str, calibrations: Calibrations) -> None:
    """The inverse of :func:`read_calibrations`. Atomic. Raises OSError."""
    storage.write_bytes(url, (json.dumps(calibrations.to_dict(), indent=1) + "\n").encode())


def write_pairs(url: str, pairs: Iterable[ScoredPair]) -> int:
    """Scored pairs, one JSON object a line, in an order of their own; returns their number. Atomic. Raises OSError."""
    ordered = sorted(pairs, key=lambda pair: (pair.content_sha256, pair.kind, pair.detail))
    with storage.atomic_write(url) as file:
        for pair in ordered:
            file.write((json.dumps(asdict(pair), sort_keys=True) + "\n").encode())
    return len(ordered)


def read_pairs(url: str) -> Iterator[ScoredPair]:
    """The inverse of :func:`write_pairs`.

    Raises:
        OSError: it cannot be read.
        ParameterError: a line is no scored pair.
    """
    with storage.open_read(url) as source:
        for number, line in enumerate(source, start=1):
            try:
                values: dict[str, Any] = json.loads(line)
                raw, kind = _raw(values.pop("raw")), PairKind(values.pop("kind"))
                yield ScoredPair(kind=kind, raw=raw, **values)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ParameterError(f"{url}, line {number}: not a scored pair: {error}") from error


def _raw(values: dict[str, Any]) -> RawScores:
    timing: dict[str, Any] | None = values.pop("timing", None)
    if timing is None:
        return RawScores(**values)
    cues = tuple(str(cue) for cue in timing.pop("cues"))
    return RawScores(**values, timing=TimeJudgement(**timing, cues=cues))
