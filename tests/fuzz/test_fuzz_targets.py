"""Every fuzz target over its seeds, what was found before, and some hundred seeded mutations."""

from __future__ import annotations

import random

import fuzz_shards
import pytest
from fuzz_targets import REGRESSIONS, TARGETS, regressions
from mutations import mutate

SHARE = {"tar": 150, "tfrecord": 200, "video": 25, "sound": 40, "picture": 150}
OTHERS = 300


@pytest.mark.parametrize("name", TARGETS)
def test_promises_are_kept(name):
    target = TARGETS[name]
    seeds = target.seeds()
    cases = [*seeds, *(path.read_bytes() for path in regressions(name)), b""]
    rng = random.Random(f"{name} 1")  # noqa: S311  (repeatable is the point)
    cases += [mutate(rng.choice(seeds), seeds, rng) for _ in range(SHARE.get(name, OTHERS))]
    for data in cases:
        target.fuzz_one(data)


def test_every_regression_belongs_to_a_target():
    files = {path.name for path in REGRESSIONS.glob("*.bin")}
    assert files == {path.name for name in TARGETS for path in regressions(name)}


def test_a_broken_promise_is_noticed(monkeypatch):
    """The harness itself: a reader that loses a byte."""
    honest = fuzz_shards.read_clip
    monkeypatch.setattr(fuzz_shards, "read_clip", lambda ref, options: honest(ref, options).members)
    with pytest.raises(fuzz_shards.BrokenPromiseError, match="the same when it is read again"):
        fuzz_shards.fuzz_tar(fuzz_shards.tar_seeds()[0])
