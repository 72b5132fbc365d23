"""The clip lists of AudioSet and VGGSound, and which file belongs to which clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from avagent.core.errors import UsageError
from avagent.core.ingest import Candidate, Segment, SourceFile, Unusable
from avagent.ingest.clip_lists import list_candidates, read_clip_list, segment_key

AUDIOSET = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=4, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_,/m/0bt9lr,/m/0jbk"
-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw"
_half, 30.500, 40.500, "/m/09x0r"
not a row
"""
VGGSOUND = """---g-f_I2yQ,1,people marching,test
--0PQM4-hqg,30,"waterfall, burbling",train
"""


def rows(tmp_path: Path, text: str, layout: str):
    path = tmp_path / "list.csv"
    path.write_text(text, "utf-8")
    return read_clip_list(str(path), layout)


def file(name: str) -> SourceFile:
    return SourceFile(url=f"/media/{name}.mp4", suffix="mp4", nbytes=1, version="1")


def test_audioset_rows(tmp_path: Path):
    first, second, half, bad = rows(tmp_path, AUDIOSET, "audioset")
    assert first == Segment(
        video_id="--4gqARaEJE", start=0.0, end=10.0, labels=("/m/068hy", "/m/07q6cd_", "/m/0bt9lr", "/m/0jbk")
    )
    assert segment_key(second) == "-0RWZT-miFs_000420"
    assert segment_key(half) == "_half_000030-500"
    assert bad.problem is Unusable.BAD_ROW
    assert "line 7" in bad.message


def test_vggsound_rows_have_ten_seconds_and_a_class(tmp_path: Path):
    first, second = rows(tmp_path, VGGSOUND, "vggsound")
    assert (first.start, first.end, first.labels, first.split, first.index) == (1, 11, ("people marching",), "test", 0)
    assert (second.labels, second.index) == (("waterfall, burbling",), 1)


def test_a_list_in_another_layout_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="--layout"):
        rows(tmp_path, "a,b\nc,d\n", "vggsound")


@pytest.mark.parametrize(
    "name",
    [
        "-x_30.000_40.000",
        "-x_30.0_40.0",
        "-x_30000_40000",
        "-x_30_40",
        "-x_000030_000040",
        "-x_000030",
        "-x_30",
        "-x-30-40",
    ],
)
def test_files_named_by_their_segment_are_already_cut(name: str):
    row = Segment(video_id="-x", start=30.0, end=40.0, labels=("a",))
    (found,) = list_candidates([row], {name: file(name), "-x": file("-x")})
    assert found == Candidate(key="-x_000030", files=(file(name),), segment=row, already_cut=True)


def test_a_whole_video_serves_all_its_segments():
    two = [Segment(video_id="v", start=s, end=s + 10, labels=("a",)) for s in (0.0, 20.0)]
    found = list(list_candidates(two, {"v": file("v")}))
    assert [(c.key, c.files, c.already_cut) for c in found] == [
        ("v_000000", (file("v"),), False),
        ("v_000020", (file("v"),), False),
    ]


def test_rows_without_a_file_and_rows_that_come_twice():
    row = Segment(video_id="v", start=0.0, end=10.0, labels=("a",))
    missing, twice = list_candidates([row, row], {})
    assert (missing.problem, twice.problem) == (Unusable.MISSING, Unusable.DUPLICATE_KEY)
