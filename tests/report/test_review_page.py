"""Decide, review in a real browser, apply: the manifest says what a person said, and all other clips are as decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from browser import barriers, opened
from media_samples import tone_bursts
from report_runs import run, scripted_ports, write_recipe
from runs import clips, contents, counts_add_up, members
from shard_tools import tar_bytes

from avagent.media.container import encode_audio

EDITED = 24
"""Clips that the loop improves: `fixable` by a filter, `second` by volume, `twice` by a filter, then volume."""
KEYS = tuple(f"{('fixable', 'second', 'twice')[n % 3]}-{n:02d}" for n in range(EDITED))
REJECTED = KEYS[3:13]


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    (folder / "in").mkdir()
    sounds = {
        key: encode_audio(tone_bursts(0.6, 16_000, 1, seed=n), "wav") for n, key in enumerate((*KEYS, "threshold-x"))
    }
    names = list(sounds)
    for name, keys in (("a.tar", names[:12]), ("b.tar", names[12:])):
        (folder / "in" / name).write_bytes(tar_bytes([(f"{key}.wav", sounds[key]) for key in keys]))
    with scripted_ports():
        command = ("refine", "--input", folder / "in", "--output", folder / "decided", "--recipe", write_recipe(folder))
        assert run(*command, "--decide-only") == 0
    return folder / "decided"


@pytest.fixture(scope="module")
def page(decided: Path) -> Path:
    with scripted_ports():
        assert run("review", decided) == 0
    return decided / "review.html"


def apply(decided: Path, output: Path, *more: object) -> int:
    with scripted_ports():
        return run("apply", "--decisions", decided, "--output", output, *more)


@pytest.fixture(scope="module")
def as_decided(decided: Path) -> dict[str, dict[str, Any]]:
    output = decided.parent / "as-decided"
    assert apply(decided, output) == 0
    return clips(output)


def save(tab: Any, path: Path) -> dict[str, Any]:
    with tab.expect_download() as download:
        tab.click("#save")
    assert download.value.suggested_filename == "review.json"
    download.value.save_as(path)
    return json.loads(path.read_text("utf-8"))


def test_ten_rejected_by_keyboard_are_rejected_and_no_others(
    decided: Path, page: Path, as_decided: dict[str, dict[str, Any]], tmp_path: Path
):
    with opened(page) as tab:
        assert barriers(tab) == []
        assert tab.locator("article").count() == EDITED
        for key in REJECTED:
            tab.evaluate("(key) => document.querySelector(`article[data-key='${key}']`).focus()", key)
            tab.keyboard.press("n")
        tab.evaluate("(key) => document.querySelector(`article[data-key='${key}']`).focus()", KEYS[0])
        tab.keyboard.press("y")
        tab.fill("input[name=reviewer]", "Ada")
        assert tab.locator("#reviewed").inner_text() == f"1 accepted, 10 rejected, 0 by rules, {EDITED - 11} as decided"
        told = save(tab, tmp_path / "review.json")
    assert {clip["key"] for clip in told["clips"] if clip["verdict"] == "rejected"} == set(REJECTED)
    output = tmp_path / "out"
    assert apply(decided, output, "--review", tmp_path / "review.json") == 0
    counts_add_up(output, EDITED + 1)
    rows = clips(output)
    for key, row in rows.items():
        expected = dict(as_decided[key])
        if key in REJECTED:
            assert (row["outcome"], row["reason"], row["actions"]) == ("unchanged", "rejected_by_review", "[]")
            assert (row["accepted_by"], row["review"]) == (None, "rejected")
            assert row["alignment_after"] == row["alignment_before"]
        else:
            person = key == KEYS[0]
            assert row["review"] == ("accepted" if person else None)
            assert row["accepted_by"] == ("person" if person else None if key == "threshold-x" else "loop")
            assert {name: row[name] for name in expected} == expected
    _records_tell(output, decided)


def _records_tell(output: Path, decided: Path) -> None:
    told = json.loads((output / "_manifest" / "run.json").read_text("utf-8"))["review"]
    assert {name: told[name] for name in ("accepted", "rejected", "by_rules", "untouched", "reviewer")} == {
        "accepted": 1,
        "rejected": 10,
        "by_rules": 0,
        "untouched": EDITED - 11,
        "reviewer": "Ada",
    }
    found = {name: data for shard in output.glob("*.tar") for name, data in members(shard).items()}
    came = {name: data for shard in (decided.parent / "in").glob("*.tar") for name, data in members(shard).items()}
    record = json.loads(found[f"{REJECTED[0]}.avagent.json"])
    assert record["review"] == {"by": "person", "verdict": "rejected", "rule": None, "reviewer": "Ada"}
    assert found[f"{REJECTED[0]}.wav"] == came[f"{REJECTED[0]}.wav"]
    assert found[f"{KEYS[0]}.wav"] != came[f"{KEYS[0]}.wav"]
    assert run("verify", output) == 0


def test_rules_are_shown_as_they_are_applied(
    decided: Path, page: Path, as_decided: dict[str, dict[str, Any]], tmp_path: Path
):
    with opened(page) as tab:
        tab.check("input[name=volume]")
        tab.fill("input[name=wiener_filter-below]", "0.01")
        shown = [clip.get_attribute("data-key") for clip in tab.locator("article.rejected").all()]
        told = save(tab, tmp_path / "review.json")
    assert told["rules"] == [{"action": "volume"}, {"action": "wiener_filter", "below": 0.01}]
    # Nothing was measured of the noise by the scripted ports' sounds with less confidence than that, or it was.
    output = tmp_path / "out"
    assert apply(decided, output, "--review", tmp_path / "review.json") == 0
    rows = clips(output)
    assert {key for key, row in rows.items() if row["review"] == "rejected"} == set(shown)
    for key, row in rows.items():
        kinds = [action["kind"] for action in json.loads(row["actions"])]
        assert "volume" not in kinds
        if key.startswith("twice") and key in shown:
            assert kinds in ([], ["wiener_filter"])
        if key not in shown:
            assert row["actions"] == as_decided[key]["actions"]


def test_what_was_said_outlives_the_page_being_opened_again(page: Path):
    with opened(page) as tab:
        tab.evaluate("document.querySelector('article').focus()")
        tab.keyboard.press("n")
        rejected = tab.locator("article.rejected")
        rejected.wait_for()
        # The browser keeps what a page stores in its own time: a page that is reloaded at once may be ahead of it.
        for _ in range(20):
            tab.reload()
            if rejected.count():
                break
        assert rejected.count() == 1


def _review(decided: Path, path: Path, **changes: object) -> Path:
    fingerprint = json.loads((decided / "_manifest" / "run.json").read_text("utf-8"))["fingerprint"]
    content = {"format": "avagent-review-v1", "fingerprint": fingerprint, "reviewer": "", "rules": [], "clips": []}
    path.write_text(json.dumps(content | changes), "utf-8")
    return path


UNKNOWN = [{"key": "nobody", "shard": "a.tar", "content_sha256": "0", "verdict": "rejected"}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "0" * 64}, "of the configuration 000000000000"),
        ({"format": "other"}, "is not a review"),
        ({"run": "rm -rf"}, "is not a review"),
        ({"rules": [{"action": "erase"}]}, "a rule is about one of"),
        ({"rules": [{"action": "shift", "below": 7}]}, "(0, 1]"),
        ({"clips": [{**UNKNOWN[0], "verdict": "maybe"}]}, "verdict"),
        ({"clips": UNKNOWN}, "'nobody' of a.tar"),
        ({"clips": UNKNOWN * 2}, "judged twice"),
    ],
)
def test_a_review_of_something_else_is_refused_before_anything_is_written(
    decided: Path,
    tmp_path: Path,
    changes: dict[str, Sequence[object]],
    message: str,
    capsys: pytest.CaptureFixture[str],
):
    before = contents(decided)
    assert apply(decided, tmp_path / "out", "--review", _review(decided, tmp_path / "r.json", **changes)) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
    assert contents(decided) == before


def test_the_decisions_that_were_reviewed_stay(decided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = _review(decided, tmp_path / "r.json")
    with scripted_ports():
        assert run("apply", "--decisions", decided, "--review", path) == 2
    assert "needs an --output of its own" in " ".join(capsys.readouterr().err.split())


def test_another_review_is_another_run(decided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "out"
    assert apply(decided, output, "--review", _review(decided, tmp_path / "r.json")) == 0
    assert apply(decided, output, "--review", tmp_path / "r.json") == 0
    assert "complete already" in capsys.readouterr().out
    other = _review(decided, tmp_path / "r2.json", rules=[{"action": "volume"}])
    assert apply(decided, output, "--review", other) == 2
    assert apply(decided, output, "--review", other, "--overwrite") == 0
    assert not any("volume" in row["actions"] for row in clips(output).values())
