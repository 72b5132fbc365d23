"""From a recipe to ports and the loop that uses them."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from avagent import __version__
from avagent.core.calibration import Calibrations
from avagent.core.errors import CalibrationError, ParameterError, RecipeError
from avagent.core.failure_rate import FailureLimit
from avagent.core.ports import Scorer
from avagent.models.registry import build_captioner, build_planner, build_scorer
from avagent.models.scorers.two import TwoScorers
from avagent.pipelines.model_sections import SCORES, OneScorer, ScorerSection
from avagent.pipelines.recipe import Recipe
from avagent.records.calibration_files import read_calibrations
from avagent.records.decisions import Provenance
from avagent.storage.retries import configure
from avagent.transforms.loop import Loop, PortLoader, Share
from avagent.transforms.store import StoreConfig

SCORER, EVALUATION_SCORER = "scorer", "evaluation_scorer"
SCORER_PORTS = tuple(whole + part for whole in (SCORER, EVALUATION_SCORER) for part in ("", *(f".{s}" for s in SCORES)))
"""All that can be calibrated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """A recipe, ready to run.

    Attributes:
        recipe: what was asked for.
        models: fingerprint of each port.
        loop: for the decide phase.
        provenance: for the records.
    """

    recipe: Recipe
    models: Mapping[str, str]
    loop: Loop
    provenance: Provenance


def wire(recipe: Recipe, *, source: str = "SHARDS") -> Wired:
    """Build the ports of a recipe once, here, so that what is missing shows before any worker starts.

    Args:
        recipe: what was asked for.
        source: the input, for messages.

    Raises:
        RecipeError: an unknown implementation or option; a scorer that is not calibrated.
        MissingModelError: weights or packages are not installed.
    """
    configure(recipe.shard_options().storage)
    captioner = partial(build_captioner, recipe.captioner.name, dict(recipe.captioner.options))
    planner = partial(build_planner, recipe.planner.name, dict(recipe.planner.options))
    scorer = calibrated_scorer(recipe, SCORER, source)
    evaluation = None if recipe.evaluation_scorer is None else calibrated_scorer(recipe, EVALUATION_SCORER, source)
    scoring = scorer()
    models = {
        "captioner": captioner().fingerprint,
        "planner": planner().fingerprint,
        "scorer": scoring.fingerprint,
    }
    if evaluation is not None:
        models[EVALUATION_SCORER] = evaluation().fingerprint
    share = partial(_share, recipe)
    loop = Loop(
        captioner=PortLoader(captioner, share("captioner")),
        planner=PortLoader(planner, share("planner")),
        scorer=PortLoader(scorer, share(SCORER)),
        policy=recipe.loop_policy(scoring.margins),
        allowed=recipe.allowed,
        store=StoreConfig(max_bytes=recipe.worker.cache_mib << 20, run=uuid.uuid4().hex, shards=recipe.shard_options()),
        max_batch=recipe.worker.max_batch,
        evaluation=None if evaluation is None else PortLoader(evaluation, share(EVALUATION_SCORER)),
        failures=FailureLimit(ratio=recipe.max_failure_ratio, check_after=recipe.failure_check_after),
    )
    provenance = Provenance(
        recipe=recipe.name, fingerprint=recipe.fingerprint(models), models=models, version=__version__
    )
    return Wired(recipe=recipe, models=models, loop=loop, provenance=provenance)


def for_shards(wired: Wired, count: int) -> Wired:
    """The same for a run over so many shards: failures of the only one count against the run."""
    failures = wired.loop.failures
    if count != 1 or failures is None:
        return wired
    return replace(wired, loop=replace(wired.loop, failures=replace(failures, one_shard=True)))


def _share(recipe: Recipe, port: str) -> Share:
    return "machine" if port in recipe.worker.share_model else "process"


def scorer_section(recipe: Recipe, port: str) -> OneScorer:
    """The recipe's `scorer` or `evaluation_scorer`; of two in one, `scorer.alignment` or `scorer.synchronization`.

    Raises:
        RecipeError: it names none, or two where one is asked for.
    """
    whole, _, part = port.partition(".")
    section = recipe.scorer if whole == SCORER else recipe.evaluation_scorer
    found = section if section is None or not part else getattr(section, part)
    if found is None:
        raise RecipeError(f"recipe {recipe.name!r} names no {port}")
    if not found.name:
        raise RecipeError(
            f"{port} of recipe {recipe.name!r} is two scorers: say {port}.alignment or {port}.synchronization"
        )
    return found


def calibrated_scorer(recipe: Recipe, port: str, source: str) -> Callable[[], Scorer]:
    """What builds a scorer with its calibration; picklable. The file is read here, no worker needs it.

    Raises:
        RecipeError: an unknown implementation or option.
        CalibrationError: no calibration, an unreadable one, or one of another model; the message names the command.
        MissingModelError: weights or packages are not installed.
    """
    whole = recipe.scorer if port == SCORER else recipe.evaluation_scorer
    if isinstance(whole, ScorerSection) and not whole.name:
        parts = [calibrated_scorer(recipe, f"{port}.{score}", source) for score in SCORES]
        return partial(_two, *parts)
    section = scorer_section(recipe, port)
    try:
        calibration = _read_calibration(section)
        build = partial(build_scorer, section.name, {**section.options, **calibration})
        _ = build().margins
    except CalibrationError as error:
        raise CalibrationError(f"{error}.\n{_remedy(recipe, port, source)}") from error
    return build


def _two(alignment: Callable[[], Scorer], synchronization: Callable[[], Scorer]) -> Scorer:
    return TwoScorers(alignment=alignment(), synchronization=synchronization())


def _read_calibration(section: OneScorer) -> dict[str, Calibrations]:
    if section.calibration is None:
        return {}
    try:
        return {"calibration": read_calibrations(section.calibration)}
    except FileNotFoundError as error:
        raise CalibrationError(
            f"scorer {section.name!r}: there is no calibration file {section.calibration}"
        ) from error
    except (OSError, ParameterError) as error:
        raise CalibrationError(f"scorer {section.name!r}: {error}") from error


def _remedy(recipe: Recipe, port: str, source: str) -> str:
    """The command that makes a calibration, to be copied as it is."""
    which = f" --port {port}" if port != SCORER else ""
    output = f"{port.replace('.', '-')}-calibration.json" if port != SCORER else "calibration.json"
    return (
        f"Run: avagent calibrate --input {shlex.quote(source)} {recipe.arguments}{which} --output {output}\n"
        f"and name the file in the recipe as {port}.calibration (or on the command line: --set"
        f" {port}.calibration={output}). To go without: {port}.options.uncalibrated=true, with both margins"
    )
