"""Local S3 and GCS servers for tests: `moto[server]` and `gcp-storage-emulator`, over HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

from avagent import storage
from avagent.storage.retries import RetryPolicy, policy

BUCKET = "clips"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def s3_server() -> Iterator[tuple[str, int]]:
    """(host, port) of a server with an empty bucket `clips`."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    address = ("127.0.0.1", free_port())
    server = moto.ThreadedMotoServer(ip_address=address[0], port=address[1], verbose=False)
    server.start()
    with s3_client(f"http://{address[0]}:{address[1]}"):
        storage.filesystem("s3://")[0].makedirs(BUCKET, exist_ok=True)  # moto keeps its buckets for the whole process
    yield address
    server.stop()


@contextmanager
def gcs_server() -> Iterator[tuple[str, int]]:
    """(host, port) of a server with an empty bucket `clips`."""
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    with pytest.MonkeyPatch.context() as patch:
        # Asking for the bucket's layout takes minutes with an emulator over plain HTTP; read when gcsfs is imported.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        pytest.importorskip("gcsfs")
        address = ("127.0.0.1", free_port())
        server = emulator.create_server(*address, in_memory=True, default_bucket=BUCKET)
        server.start()
        yield address
        server.stop()


@contextmanager
def s3_client(endpoint: str) -> Iterator[None]:
    """`s3://` means the server at this URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})
        yield


@contextmanager
def gcs_client(endpoint: str) -> Iterator[None]:
    """`gs://` means the server at this URL."""
    with pytest.MonkeyPatch.context() as patch:
        for scheme in ("gcs", "gs"):
            patch.setitem(fsspec.config.conf, scheme, {"endpoint_url": endpoint, "token": "anon"})
        yield


SERVERS = {"s3": (s3_server, s3_client, "s3://clips"), "gcs": (gcs_server, gcs_client, "gs://clips")}


@contextmanager
def without_waits(retry_policy: RetryPolicy) -> Iterator[None]:
    """A retry policy for the block; the waits of the client libraries between attempts are left out."""
    before, wait = policy(), asyncio.sleep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", lambda _seconds, result=None: wait(0, result))
        storage.configure(retry_policy)
        yield
    storage.configure(before)
