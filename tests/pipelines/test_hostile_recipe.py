"""Limits in the recipe: every one can be set, reaches what it limits, and belongs to the fingerprint."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from pathlib import Path

import pytest

from avagent.core.errors import RecipeError
from avagent.media.limits import DecodeLimits, MediaLimits
from avagent.pipelines.recipe import load_recipe
from avagent.shards.limits import ShardLimits

DOCS = Path(__file__).resolve().parents[2] / "docs" / "limits.md"


def test_every_limit_can_be_set_reaches_the_readers_and_counts_for_the_fingerprint():
    plain = load_recipe("embedded")
    known = {f.name: f for kind in (ShardLimits, MediaLimits, DecodeLimits) for f in dataclasses.fields(kind)}
    assert set(type(plain.limits).model_fields) == set(known)
    for name, field in known.items():
        value = 0.5 if name == "damaged_packets" else 7
        recipe = load_recipe("embedded", [f"limits.{name}={value}"])
        options = recipe.shard_options()
        found = {**asdict(options.limits), **asdict(options.media), **asdict(options.decoding)}
        assert found == {**{n: f.default for n, f in known.items()}, name: value}
        assert getattr(plain.limits, name) == field.default
        assert recipe.fingerprint({}) != plain.fingerprint({})


@pytest.mark.parametrize("text", ["limits.entries=0", "limits.decode_seconds=-1", "limits.damaged_packets=2"])
def test_limits_have_bounds(text):
    with pytest.raises(RecipeError, match=r"limits\."):
        load_recipe("embedded", [text])


def test_decoding_can_be_left_to_the_worker_itself():
    assert load_recipe("embedded", ["limits.decode_seconds=null"]).shard_options().decoding.decode_seconds is None


def test_a_message_stays_short(tmp_path):
    levels = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
    path = tmp_path / "bomb.yaml"
    path.write_text(f"a0: &a0 [x, x, x]\n{levels}name: *a29\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert len(str(caught.value)) < 2000


def test_every_limit_is_documented():
    rows = DOCS.read_text("utf-8")
    for kind in (ShardLimits, MediaLimits, DecodeLimits):
        for field in dataclasses.fields(kind):
            assert f"| `{field.name}` | {_shown(field.name, field.default)} |" in rows, field.name


def _shown(name: str, value: float) -> str:
    if not name.endswith("_bytes"):
        return f"{value:,}"
    return f"{value >> 30} GiB" if value % (1 << 30) == 0 else f"{value >> 20} MiB"
