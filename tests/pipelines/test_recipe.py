"""Recipes: validated, frozen, fingerprinted."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from avagent.core.actions import EXTENDED_ACTIONS, PAPER_ACTIONS
from avagent.core.decide import Acceptance
from avagent.core.errors import RecipeError
from avagent.pipelines.recipe import load_recipe, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid(name: str):
    assert load_recipe(name).name == name


def test_values_can_be_set_from_outside():
    recipe = load_recipe("embedded", ["policy.threshold=0.5", "actions=paper", "policy.acceptance=both"])
    policy = recipe.loop_policy((0.03, 0.04))
    assert policy.threshold == 0.5
    assert policy.acceptance is Acceptance.BOTH
    assert (policy.min_gain_alignment, policy.min_gain_synchronization) == (0.03, 0.04)
    assert recipe.allowed == PAPER_ACTIONS
    assert load_recipe("embedded").allowed == EXTENDED_ACTIONS


def test_a_margin_in_the_recipe_wins_over_the_scorers():
    recipe = load_recipe("embedded", ["policy.min_gain_alignment=0.2"])
    assert recipe.loop_policy((0.03, 0.04)).min_gain_alignment == 0.2


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError):
        load_recipe("embedded").name = "other"  # type: ignore[misc]


def test_the_fingerprint_follows_what_decides_and_nothing_else():
    models = {"scorer": "a"}
    base = load_recipe("embedded").fingerprint(models)
    assert load_recipe("embedded", ["worker.max_batch=4", "max_failure_ratio=0.5"]).fingerprint(models) == base
    assert load_recipe("embedded", ["policy.max_rounds=2"]).fingerprint(models) != base
    assert load_recipe("embedded").fingerprint({"scorer": "b"}) != base


def test_the_fingerprint_follows_the_rules_that_edits_are_judged_by(monkeypatch):
    base = load_recipe("embedded").fingerprint({})
    monkeypatch.setattr("avagent.pipelines.recipe.REFLECTION_REVISION", 99)
    assert load_recipe("embedded").fingerprint({}) != base


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "must be a mapping"),
        ("name: [", "not YAML"),
        ("name: x\n", "captioner"),
        (
            "name: x\ncaptioner: {name: a}\nplanner: {name: a}\nscorer: {name: a}\npolicy: {treshold: 1}\n",
            "did you mean 'threshold'",
        ),
        ("name: x\ncaptioner: {name: a}\nplaner: {name: a}\nscorer: {name: a}\n", "did you mean 'planner'"),
    ],
)
def test_a_bad_recipe_file_is_refused(tmp_path: Path, text: str, said: str):
    file = tmp_path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        load_recipe(str(file))


@pytest.mark.parametrize(
    "pair", ["threshold", "=1", "name.x=3", "policy.threshold=[", "actions=[shift, wiener]", "output.audio_codec=flaac"]
)
def test_a_bad_setting_is_refused(pair: str):
    with pytest.raises(RecipeError):
        load_recipe("embedded", [pair])


def test_the_fields_of_tfrecords_are_part_of_what_decides():
    base = load_recipe("embedded")
    named = load_recipe("embedded", ["tfrecord.media=video_bytes", "tfrecord.key=[]"])
    assert named.shard_options().fields.media == ("video_bytes",)
    assert named.shard_options().fields.key == ()
    assert named.fingerprint({}) != base.fingerprint({})


@pytest.mark.parametrize("pair", ["tfrecord.medium=x", "tfrecord.media=audio", "tfrecord.media=3"])
def test_fields_that_cannot_be_are_refused(pair: str):
    with pytest.raises(RecipeError, match="tfrecord"):
        load_recipe("embedded", [pair])


def test_storage_is_tried_as_the_recipe_says():
    recipe = load_recipe("embedded", ["worker.storage_attempts=2", "worker.storage_timeout_s=1.5"])
    assert (recipe.shard_options().storage.attempts, recipe.shard_options().storage.timeout_s) == (2, 1.5)
    assert recipe.fingerprint({}) == load_recipe("embedded").fingerprint({})
