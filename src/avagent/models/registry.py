"""Implementations of the ports by name: what a recipe's `captioner`, `planner` and `scorer` sections refer to.

Nothing heavy is imported before an implementation is built. Every built port can be pickled; its networks are loaded
where it is first used. Other packages add implementations by entry points, see `PLUGINS`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from avagent.core.errors import RecipeError
from avagent.core.ports import Captioner, Planner, Scorer

CAPTIONERS: Mapping[str, str] = {
    "audio_llm": "avagent.models.captioners.audio_llm:AudioLLMCaptioner",
    "embedded": "avagent.models.embedded.captioner:EmbeddedCaptioner",
    "omni": "avagent.models.captioners.omni:OmniCaptioner",
    "remote": "avagent.models.captioners.remote:RemoteCaptioner",
    "split": "avagent.models.captioners.split:SplitCaptioner",
    "video_llava": "avagent.models.captioners.video_llava:VideoLlavaCaptioner",
}
PLANNERS: Mapping[str, str] = {
    "eager": "avagent.models.baselines.eager:EagerPlanner",
    "embedded": "avagent.models.embedded.planner:EmbeddedPlanner",
    "llm": "avagent.models.llm.planner:LLMPlanner",
    "random": "avagent.models.baselines.random:RandomPlanner",
}
SCORERS: Mapping[str, str] = {
    "caption_xclip": "avagent.models.scorers.caption_xclip:CaptionXClipScorer",
    "clap_clip": "avagent.models.scorers.clap_clip:ClapClipScorer",
    "embedded": "avagent.models.embedded.scorer:EmbeddedScorer",
    "imagebind": "avagent.models.scorers.imagebind:ImageBindScorer",
    "lips": "avagent.models.embedded.time_scorer:TimeScorer",
    "pe_av": "avagent.models.scorers.pe_av:PeAvScorer",
    "syncnet": "avagent.models.scorers.syncnet:SyncNetScorer",
}

PLUGINS = "avagent.{port}s"
"""Group of the entry points of installed packages that add implementations; a name of ours stays ours."""


def build_captioner(name: str, options: Mapping[str, Any] | None = None) -> Captioner:
    """A captioner.

    Raises:
        RecipeError: an unknown name or option, or a value out of bounds.
        MissingModelError: its weights or packages are not installed; the message names the command.
    """
    return _build("captioner", CAPTIONERS, name, options)


def build_planner(name: str, options: Mapping[str, Any] | None = None) -> Planner:
    """A planner. Raises as :func:`build_captioner`."""
    return _build("planner", PLANNERS, name, options)


def build_scorer(name: str, options: Mapping[str, Any] | None = None) -> Scorer:
    """A scorer. Raises as :func:`build_captioner`."""
    return _build("scorer", SCORERS, name, options)


def _build(port: str, known: Mapping[str, str], name: str, options: Mapping[str, Any] | None) -> Any:
    if name not in known:
        known = {**{point.name: point.value for point in entry_points(group=PLUGINS.format(port=port))}, **known}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RecipeError(f"unknown {port} {name!r}{hint} Known: {', '.join(sorted(known))}")
    module, attribute = known[name].split(":")
    implementation = getattr(importlib.import_module(module), attribute)
    try:
        return implementation(**dict(options or {}))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{port} {name!r} cannot be built with options {dict(options or {})}: {error}") from error
