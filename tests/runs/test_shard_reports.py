"""Reports of shards as files: equal after a round trip, absent or refused otherwise."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_tools import failures, texts

from avagent import storage
from avagent.core.errors import ParameterError
from avagent.core.state import Outcome
from avagent.runs.rewrite import LateFailure, ShardReport
from avagent.runs.shard_reports import read_report, report_url, write_report

reports = st.builds(
    ShardReport,
    name=st.just("s-000000.tar"),
    source=texts,
    url=st.none(),
    outcomes=st.lists(st.tuples(st.sampled_from(Outcome), st.integers(0, 9)), max_size=4).map(tuple),
    nsamples=st.integers(0, 1 << 40),
    filesize=st.integers(0, 1 << 50),
    md5=texts,
    errors=st.integers(0, 1 << 40),
    late_failures=st.lists(st.builds(LateFailure, index=st.integers(0, 99), failure=failures), max_size=2).map(tuple),
)


@given(report=reports, written=st.booleans())
def test_reports_survive_a_round_trip(report, written):
    output = f"memory://{uuid.uuid4().hex}"
    if written:
        report = replace(report, url=storage.join(output, report.name))
    assert read_report(output, "s3://in/s-000000.tar") is None
    write_report(output, report)
    assert read_report(output, "s3://in/s-000000.tar") == report
    storage.remove(output, recursive=True)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"name": "s-000000.tar", "extra": 1}', b"\xff"])
def test_anything_else_is_refused_with_its_place(text):
    output = f"memory://{uuid.uuid4().hex}"
    storage.write_bytes(report_url(output, "s-000000.tar"), text)
    with pytest.raises(ParameterError, match=r"s-000000\.tar\.json is not the report of a shard"):
        read_report(output, "s-000000.tar")
