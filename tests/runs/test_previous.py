"""The pointer to the newest version: a name beside it, never a path; what a killed publish left goes away."""

from __future__ import annotations

import json

import pytest

from avagent import storage
from avagent.core.errors import UsageError
from avagent.runs.previous import pointer_url, publish, read_pointer


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "/absolute", "..", ".", "", 7, None, ["x"]])
def test_a_pointer_that_names_a_path_is_refused(root, name):
    output = storage.join(root, "night-2")
    storage.write_bytes(pointer_url(output), json.dumps({"version": name}).encode())
    with pytest.raises(UsageError, match="should name a folder beside it"):
        read_pointer(output)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}", b"\xff"])
def test_what_is_no_pointer_is_refused(root, text):
    output = storage.join(root, "night-2")
    storage.write_bytes(pointer_url(output), text)
    with pytest.raises(UsageError, match="put it right"):
        read_pointer(output)


def test_a_published_version_is_found_from_its_neighbours(root):
    first, second = storage.join(root, "night-1"), storage.join(root, "night-2")
    assert read_pointer(second) is None
    publish(first)
    assert storage.basename(read_pointer(second)) == "night-1"
    publish(second + "/")
    assert storage.basename(read_pointer(first)) == "night-2"


def test_what_a_killed_publish_left_is_removed_and_nothing_else(root):
    output = storage.join(root, "night-1")
    left, other = (storage.join(root, name) for name in (".latest.json.0123.tmp", ".notes.txt.0123.tmp"))
    for url in (left, other):
        storage.write_bytes(url, b"half")
    publish(output)
    assert not storage.exists(left)
    assert storage.exists(other)
