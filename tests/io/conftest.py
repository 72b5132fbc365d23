"""Folders and a shard on each sort of file system."""

from __future__ import annotations

import uuid

import pytest
from rewrite_tools import FILES
from shard_tools import tar_bytes

from avagent.io import storage


@pytest.fixture(params=["path", "memory"])
def root(request, tmp_path):
    return str(tmp_path) if request.param == "path" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def shard(root):
    url = storage.join(root, "in", "train-000000.tar")
    storage.write_bytes(url, tar_bytes(FILES))
    return url


@pytest.fixture
def output(root):
    return storage.join(root, "out")
