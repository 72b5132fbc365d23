"""Training pairs as JSON lines, and the split by recording."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.actions import EXTENDED_ACTIONS, WienerFilter
from avagent.core.captions import Caption, Captions, Tag
from avagent.core.clip import Clip, Member
from avagent.core.errors import ParameterError, UsageError
from avagent.core.facts import Estimate, Facts, NoiseColour
from avagent.core.history import Base, History, Round
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest
from avagent.core.scores import Scores
from avagent.dsp.faults import Dropouts, Noise
from avagent.records.training_pairs import (
    PlanPair,
    Situation,
    SkippedClip,
    Split,
    licences_of,
    pair_from_json,
    pair_to_json,
    pairs_fingerprint,
    pairs_url,
    read_pairs,
    read_skipped,
    source_of,
    split_of,
    write_pairs,
)

SCORES = Scores(alignment=0.4, synchronization=None, synchronization_note="still_picture")
TRIED = Round(
    number=1,
    base=Base.ORIGINAL,
    plan=Plan(noise=WienerFilter(strength=1.25)),
    actions=(WienerFilter(strength=1.25),),
    scores=SCORES,
    accepted=False,
)


def pair(key: str = "dog#0", split: Split = Split.TRAIN, fault=Noise(snr_db=4.5, colour="pink")) -> PlanPair:  # noqa: B008
    request = PlanRequest(
        key="dog",
        captions=Captions(audio=Caption("Dog is heard.", (Tag("Dog", 0.9),)), video=None),
        facts=Facts(duration=5.0, rate=16000, channels=1, snr=Estimate(4.0, 0.9), noise_colour=NoiseColour.PINK),
        history=History(original=SCORES, rounds=(TRIED,)),
        base=Base.ORIGINAL,
        allowed=EXTENDED_ACTIONS,
    )
    return PlanPair(
        prompt='Heard: "Dog \u2013 \u0444"',
        answer="wavelet_denoise, none",
        right=("wavelet_denoise", "wiener_filter"),
        key=key,
        source="dog.ogg",
        licences=("GPL-2.0",),
        split=split,
        fault=fault,
        situation=Situation.MISTAKEN,
        request=request,
    )


@pytest.mark.parametrize("fault", [None, Noise(snr_db=1.0), Dropouts(lengths_ms=(10.0, 20.5))])
def test_a_pair_is_read_back_as_it_was(fault):
    made = pair(fault=fault)
    line = pair_to_json(made)
    assert pair_from_json(line) == made
    assert "\n" not in line
    assert json.loads(line)["request"]["allowed"] == sorted(EXTENDED_ACTIONS)


def test_a_line_that_is_no_pair_is_named(tmp_path: Path):
    write_pairs(str(tmp_path), "a.tar", [pair()])
    file = Path(pairs_url(str(tmp_path), Split.TRAIN, "a.tar"))
    file.write_text(file.read_text("utf-8") + '{"prompt": "x"}\n', "utf-8")
    with pytest.raises(ParameterError, match=r"a\.tar\.jsonl, line 2: not a training pair"):
        list(read_pairs(str(tmp_path), Split.TRAIN))


def test_pairs_of_several_shards_come_in_order_and_split(tmp_path: Path):
    made = {
        "b.tar": [pair("b#0"), SkippedClip(key="x", reason="no_audio"), pair("b#1", Split.VALIDATION)],
        "a.tar": [pair("a#0")],
    }
    counts = {shard: write_pairs(str(tmp_path), shard, items) for shard, items in made.items()}
    assert counts == {"b.tar": 2, "a.tar": 1}
    assert [p.key for p in read_pairs(str(tmp_path), Split.TRAIN)] == ["a#0", "b#0"]
    assert [p.key for p in read_pairs(str(tmp_path), Split.VALIDATION)] == ["b#1"]
    assert [s.reason for s in read_skipped(str(tmp_path))] == ["no_audio"]


def test_the_fingerprint_follows_the_pairs(tmp_path: Path):
    prints = []
    for name, key in (("one", "a#0"), ("same", "a#0"), ("other", "a#1")):
        write_pairs(str(tmp_path / name), "a.tar", [pair(key)])
        prints.append(pairs_fingerprint(str(tmp_path / name)))
    assert prints[0] == prints[1] != prints[2]


def test_a_folder_without_pairs_says_how_to_make_them(tmp_path: Path):
    with pytest.raises(UsageError, match="avagent plan-data"):
        list(read_pairs(str(tmp_path), Split.TRAIN))


@pytest.mark.parametrize(
    ("record", "source"),
    [
        ('{"source": "dog.ogg"}', "dog.ogg"),
        ('{"sources": ["b.png", "a.ogg"]}', "a.ogg + b.png"),
        ('{"source": ""}', "dog"),
        ('{"other": 1}', "dog"),
        ("[1, 2]", "dog"),
        ("no json", "dog"),
        (None, "dog"),
    ],
)
def test_the_recording_of_a_clip(record: str | None, source: str):
    members = () if record is None else (Member(name="dog.json", suffix="json", data=record.encode()),)
    assert source_of(Clip(key="dog", members=members)) == source


def test_the_licences_of_a_clip():
    data = json.dumps({"licences": ["GPL-2.0", "CC-BY-3.0"]}).encode()
    assert licences_of(Clip(key="a", members=(Member(name="a.json", suffix="json", data=data),))) == (
        "CC-BY-3.0",
        "GPL-2.0",
    )


@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 100))
def test_the_split_holds_out_about_its_share(share: float, seed: int):
    splits = [split_of(f"recording {i}", share, seed) for i in range(400)]
    assert abs(splits.count(Split.VALIDATION) / 400 - share) < 0.15
    assert splits == [split_of(f"recording {i}", share, seed) for i in range(400)]


def test_the_ends_of_the_split():
    assert {split_of(str(i), 0.0, 1) for i in range(50)} == {Split.TRAIN}
    assert {split_of(str(i), 1.0, 1) for i in range(50)} == {Split.VALIDATION}
