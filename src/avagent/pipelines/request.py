"""What a run was asked to do, and what makes two runs the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from avagent import __version__, storage
from avagent.core.errors import UsageError
from avagent.pipelines.recipe import NO_RESULT_DEPENDS_ON, Recipe
from avagent.pipelines.run import InputShard
from avagent.pipelines.wiring import Wired
from avagent.records.manifest import manifest_url
from avagent.runs.commit import RUN_FILE
from avagent.runs.previous import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineRequest:
    """What `avagent refine` was asked to do.

    Attributes:
        source: folder, glob or shard list.
        output: folder.
        recipe: validated.
        previous: folder of the previous run, or `latest`; None: start afresh.
        limit: clips at most, over all shards; None: all.
        decide_only: stop before shards are rewritten.
        overwrite: replace another run's output.
        wait: stay until the runner is done.
        dry_run: only say what would be done.
        beam: Beam's own arguments.
    """

    source: str
    output: str
    recipe: Recipe
    previous: str | None = None
    limit: int | None = None
    decide_only: bool = False
    overwrite: bool = False
    wait: bool = True
    dry_run: bool = False
    beam: tuple[str, ...] = ()


def run_identity(wired: Wired, inputs: Sequence[InputShard], limit: int | None, review: str | None = None) -> str:
    """SHA-256 of all that the output depends on, as far as it can be told without reading the shards.

    Args:
        wired: recipe and models.
        inputs: the shards.
        limit: clips at most; None: all.
        review: SHA-256 of a person's review of the decisions; None: there is none.
    """
    content: dict[str, Any] = {
        "fingerprint": wired.provenance.fingerprint,
        "inputs": [[shard.url, shard.nbytes, shard.version] for shard in inputs],
        "limit": limit,
        "version": __version__,
    }
    return _digest(content if review is None else {**content, "review": review})


def stage_fingerprints(wired: Wired) -> dict[str, str]:
    """What each part of the results depends on, besides the clips: a later run reuses those that stayed the same.

    Sections of the recipe that belong to no part below are taken to matter to how clips are read, and so to all.
    """
    recipe = wired.recipe.model_dump(mode="json", exclude=set(NO_RESULT_DEPENDS_ON))
    own = {"name", "captioner", "planner", "scorer", "evaluation_scorer", "actions", "policy", "output"}
    reading = {"version": __version__, "recipe": {name: part for name, part in recipe.items() if name not in own}}
    captioners = {name: text for name, text in wired.models.items() if "caption" in name}
    scorers = {name: text for name, text in wired.models.items() if name.startswith("scorer")}
    loop = {"policy": asdict(wired.loop.policy), "allowed": sorted(wired.loop.allowed)}
    depends = {
        Part.CAPTIONS: [reading, captioners],
        Part.SCORES: [reading, scorers, str(wired.loop.policy.reflection)],
        Part.DECISIONS: [reading, dict(wired.models), loop],
        Part.REPAIRS: [reading, recipe["output"]],
        Part.SHARDS: [reading, wired.provenance.fingerprint],
    }
    return {str(part): _digest(content) for part, content in depends.items()}


def _digest(content: Any) -> str:
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
        "stages": stage_fingerprints(wired),
        "inputs": [{"url": shard.url, "bytes": shard.nbytes, "version": shard.version} for shard in inputs],
        "limit": request.limit,
        "decide_only": request.decide_only,
        "beam": list(request.beam),
    }


def read_run(output: str) -> dict[str, Any]:
    """What `run.json` of an output folder says.

    Raises:
        UsageError: there is none, or it is not one.
    """
    url = manifest_url(output, RUN_FILE)
    try:
        run = json.loads(storage.read_text(url))
    except FileNotFoundError as error:
        raise UsageError(
            f"{output} holds no run: {url} is missing; run `avagent refine --decide-only` first"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{url} cannot be read as the record of a run: {error}") from error
    if not isinstance(run, dict) or not {"recipe", "inputs"} <= set(run):
        raise UsageError(f"{url} is not the record of a run")
    return run
