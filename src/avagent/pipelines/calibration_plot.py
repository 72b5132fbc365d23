"""A calibration as a picture: distributions of raw scores with the curve, and reliability."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from avagent.core.calibration import Calibration, Calibrations
from avagent.core.calibration_fit import ScoredPair, Sides, reliability, sides
from avagent.core.errors import MissingModelError

INSTALL = "pip install 'avagent[plots]'"
_BINS = 30
_OTHER = {"alignment": "mismatched", "synchronization": "shifted"}


def require_matplotlib() -> Any:
    """Its figure module. Raises MissingModelError: it is not installed."""
    try:
        return importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingModelError(f"the picture of a calibration needs matplotlib: {INSTALL}, or --no-plot") from error


def plot_calibrations(calibrations: Calibrations, pairs: Sequence[ScoredPair]) -> bytes:
    """A PNG: one row a score that was calibrated. Raises MissingModelError."""
    found = [c for c in (calibrations.alignment, calibrations.synchronization) if c is not None]
    figure = require_matplotlib().Figure(figsize=(9.0, 3.6 * len(found)), layout="constrained")
    rows = figure.subplots(len(found), 2, squeeze=False)
    for (left, right), calibration in zip(rows, found, strict=True):
        data = sides(pairs, calibration.name)
        _distributions(left, calibration, data)
        _reliability(right, calibration, data)
    figure.suptitle(f"{calibrations.scorer}: {calibrations.fingerprint}", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _distributions(axes: Any, calibration: Calibration, data: Sides) -> None:
    values = np.array([*data.high, *data.low])
    bins = np.linspace(values.min(), values.max() + 1e-9, _BINS + 1)
    axes.hist(data.high, bins, density=True, alpha=0.5, label=f"matched ({calibration.matched})")
    other = f"{_OTHER[calibration.name]} ({calibration.mismatched})"
    axes.hist(data.low, bins, density=True, alpha=0.5, label=other)
    axes.set_xlabel("raw score")
    axes.set_ylabel("density")
    curve = axes.twinx()
    curve.plot(calibration.raw, calibration.value, color="black", linewidth=1.2)
    curve.set_ylim(0.0, 1.0)
    curve.set_ylabel("P(matched)")
    interval = ""
    if calibration.auc_low is not None and calibration.auc_high is not None:
        interval = f" ({calibration.auc_low:.3f} to {calibration.auc_high:.3f})"
    axes.set_title(f"{calibration.name}: AUC {calibration.auc:.3f}{interval}", fontsize=9)
    axes.legend(fontsize=7)


def _reliability(axes: Any, calibration: Calibration, data: Sides) -> None:
    predicted, share = reliability(calibration, data)
    axes.plot([0.0, 1.0], [0.0, 1.0], color="grey", linewidth=0.8)
    axes.plot(predicted, share, marker="o", linewidth=1.0)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.0)
    axes.set_xlabel("predicted P(matched)")
    axes.set_ylabel("share matched")
    axes.set_title(f"reliability; margin {calibration.min_gain:.3f}", fontsize=9)
