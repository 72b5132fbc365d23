"""What a run was asked to do, and what makes two runs the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avagent import __version__
from avagent.pipelines.recipe import Recipe
from avagent.pipelines.run import InputShard
from avagent.pipelines.wiring import Wired


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineRequest:
    """What `avagent refine` was asked to do.

    Attributes:
        source: folder, glob or shard list.
        output: folder.
        recipe: validated.
        limit: clips at most, over all shards; None: all.
        decide_only: stop before shards are rewritten.
        overwrite: replace another run's output.
        beam: Beam's own arguments.
    """

    source: str
    output: str
    recipe: Recipe
    limit: int | None = None
    decide_only: bool = False
    overwrite: bool = False
    beam: tuple[str, ...] = ()


def run_identity(wired: Wired, inputs: Sequence[InputShard], limit: int | None) -> str:
    """SHA-256 of all that the output depends on, as far as it can be told without reading the shards."""
    content = {
        "fingerprint": wired.provenance.fingerprint,
        "inputs": [[shard.url, shard.nbytes] for shard in inputs],
        "limit": limit,
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def run_record(wired: Wired, inputs: Sequence[InputShard], request: RefineRequest) -> Mapping[str, Any]:
    """What `run.json` says besides counts and timings."""
    return {
        "avagent": __version__,
        "recipe": wired.recipe.model_dump(mode="json"),
        "fingerprint": wired.provenance.fingerprint,
        "models": dict(wired.models),
        "policy": {
            "min_gain_alignment": wired.loop.policy.min_gain_alignment,
            "min_gain_synchronization": wired.loop.policy.min_gain_synchronization,
        },
        "inputs": [{"url": shard.url, "bytes": shard.nbytes} for shard in inputs],
        "limit": request.limit,
        "decide_only": request.decide_only,
        "beam": list(request.beam),
    }
