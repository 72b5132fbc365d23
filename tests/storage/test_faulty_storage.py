"""What passes is tried again, what came short is never taken for whole, what was abandoned leaves nothing."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable

import fsspec
import pytest
from faulty_proxy import FaultyProxy, every
from storage_servers import SERVERS, without_waits

from avagent import storage
from avagent.core.errors import StorageError, UsageError
from avagent.storage import atomic, range_reader, reading
from avagent.storage.retries import RetryPolicy, may_pass

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
QUICK = RetryPolicy(attempts=3, timeout_s=5.0, first_wait_s=0, longest_wait_s=0)
DATA = bytes(range(256)) * 2500


class Faults:
    """Which fault comes next: those set, for the requests that they are set for, then none."""

    def __init__(self) -> None:
        self.script: Callable[[str, int], str | None] = lambda method, number: None

    def __call__(self, method: str, number: int) -> str | None:
        return self.script(method, number)

    def next(self, *faults: str, methods: tuple[str, ...] = ("GET", "PUT", "POST", "HEAD", "DELETE")) -> None:
        """These faults, in this order, for the next requests of these methods."""
        left = iter(faults)
        self.script = lambda method, number: next(left, None) if method in methods else None

    def always(self, fault: str, methods: tuple[str, ...] = ("GET", "PUT", "POST", "HEAD", "DELETE")) -> None:
        self.script = lambda method, number: fault if method in methods else None

    def none(self) -> None:
        self.script = lambda method, number: None


@pytest.fixture(scope="module", params=["s3", "gcs"])
def place(request):
    """(URL of the bucket, the faults of the proxy before it)."""
    server, client, bucket = SERVERS[request.param]
    faults = Faults()
    with server() as address, FaultyProxy(address, faults) as proxy, client(proxy.url), without_waits(QUICK):
        yield bucket, faults


@pytest.fixture
def faults(place):
    place[1].none()
    yield place[1]
    place[1].none()


@pytest.fixture
def root(place, faults):
    return storage.join(place[0], uuid.uuid4().hex)


@pytest.fixture
def url(root):
    url = storage.join(root, "a.bin")
    storage.write_bytes(url, DATA)
    return url


def stubborn(fault):
    """The fault, more often than the clients try one request again; s3fs does not where a body breaks off."""
    return [fault] * (2 if fault == "cut" else 7)


@pytest.mark.parametrize("fault", ["503", "reset", "cut"])
def test_what_passes_is_tried_again(url, root, faults, fault):
    for read in (
        lambda: storage.read_bytes(url) == DATA,
        lambda: storage.read_range(url, 1000, 9000) == DATA[1000:10_000],
        lambda: b"".join(storage.iter_range(url, 1000, 500_000)) == DATA[1000:501_000],
        lambda: storage.size(url) == len(DATA),
        lambda: storage.exists(url),
        lambda: storage.list_folder(root) == [url],
        lambda: storage.version(url) == storage.version(url),
    ):
        faults.next(*stubborn(fault))
        assert read()
    copied = storage.join(root, "b.bin")
    faults.next(*stubborn(fault))
    assert storage.copy(url, copied) == len(DATA)
    faults.next(*stubborn(fault))
    storage.write_bytes(copied, b"new")
    faults.none()
    assert storage.read_bytes(copied) == b"new"
    faults.next(*stubborn(fault))
    storage.remove(copied)
    storage.remove(root, recursive=True)
    faults.none()
    assert storage.list_folder(root) == []


def test_a_short_answer_is_not_taken_for_whole(url, root, faults):
    failed = sum(storage.retry_counts().values())
    for read, expected in (
        (lambda: storage.read_bytes(url), DATA),
        (lambda: storage.read_range(url, 1000, 9000), DATA[1000:10_000]),
        (lambda: b"".join(storage.iter_range(url, 1000, 500_000)), DATA[1000:501_000]),
        (lambda: storage.list_folder(root), [url]),
    ):
        faults.next("short", "short", methods=("GET",))
        assert read() == expected
    assert sum(storage.retry_counts().values()) >= failed + 4


def test_storage_that_stays_away_is_no_fault_of_the_file(url, faults):
    for operation in (storage.read_bytes, storage.remove):
        faults.always("503")
        with pytest.raises(StorageError, match=r"failed 3 times.*run the same command again"):
            operation(url)
    for fault in ("short", "cut"):
        faults.always(fault, methods=("GET",))
        with pytest.raises(StorageError, match="failed 3 times"):
            storage.read_range(url, 0, 1000)
    faults.none()
    assert storage.read_bytes(url) == DATA


def test_a_server_that_does_not_answer_is_given_up(url, faults, monkeypatch):
    fs, _ = storage.filesystem(url)
    faults.always("hang")
    storage.configure(RetryPolicy(attempts=1, timeout_s=0.05, first_wait_s=0, longest_wait_s=0))
    type(fs).clear_instance_cache()
    try:
        with pytest.raises(StorageError, match="failed 1 times"):
            storage.size(url)
    finally:
        type(fs).clear_instance_cache()
        storage.configure(QUICK)


def test_what_is_not_there_is_told_at_once(root, faults):
    counts = dict(storage.retry_counts())
    for operation in (storage.read_bytes, storage.size, storage.version):
        with pytest.raises(FileNotFoundError):
            operation(storage.join(root, "absent"))
    assert storage.retry_counts() == counts


def test_a_range_ends_where_the_file_ends(url, root):
    assert storage.read_range(url, len(DATA) - 3, 10) == DATA[-3:]
    assert storage.read_range(url, len(DATA), 10) == b""
    assert list(storage.iter_range(url, len(DATA) + 5, 10)) == []
    empty = storage.join(root, "empty")
    storage.write_bytes(empty, b"")
    assert (storage.read_bytes(empty), storage.read_range(empty, 0, 12)) == (b"", b"")
    with storage.open_read(empty) as source:
        assert source.read(10) == b""


def test_a_large_file_is_read_by_several_requests_at_once(url, faults, monkeypatch):
    monkeypatch.setattr(reading, "open_ranges", lambda *a: range_reader.open_ranges(*a, block=100_000))
    faults.script = every(request=4, transfer=3)
    with storage.open_read(url) as source:
        assert source.read(5) == DATA[:5]
        assert b"".join(iter(lambda: source.read(70_001), b"")) == DATA[5:]
        source.seek(500_000)
        assert source.read(3) == DATA[500_000:500_003]


def test_a_file_that_changes_while_it_is_read_is_an_error(url, monkeypatch):
    monkeypatch.setattr(reading, "open_ranges", lambda *a: range_reader.open_ranges(*a, block=1000))
    with storage.open_read(url) as source:
        source.read(1000)
        storage.write_bytes(url, b"shorter")
        with pytest.raises(OSError, match="changed while it was read"):
            source.read()


def parts(url):
    """A file of several parts."""
    with storage.atomic_write(url) as file:
        for number in range(3):
            file.write(bytes([number]) * (6 << 20))
    return file.written


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(atomic, "_PART_BYTES", 5 << 20)


def test_a_part_that_fails_is_sent_again(root, faults, small_parts):
    url = storage.join(root, "parts.bin")
    numbers = itertools.count(1)
    faults.script = lambda method, number: "503" if method in ("PUT", "POST") and next(numbers) % 2 else None
    written = parts(url)
    faults.none()
    assert storage.size(url) == written.nbytes == 18 << 20
    assert hashlib.md5(storage.read_bytes(url), usedforsecurity=False).hexdigest() == written.md5
    assert storage.list_folder(root) == [url]


@pytest.mark.parametrize("lost", [2, 5])
def test_a_write_of_which_an_answer_is_lost_is_found_written(root, faults, small_parts, lost):
    """Requests: begin, three parts, end, copy."""
    if lost == 2 and root.startswith("gs"):
        pytest.skip("GCS ignores bytes that it has; the emulator refuses them")
    url = storage.join(root, "parts.bin")
    numbers = itertools.count(1)
    faults.script = lambda method, number: "lost" if method in ("PUT", "POST") and next(numbers) == lost else None
    written = parts(url)
    faults.none()
    assert hashlib.md5(storage.read_bytes(url), usedforsecurity=False).hexdigest() == written.md5
    assert storage.list_folder(root) == [url]


def uploads(root):
    """Uploads under way, where the store tells."""
    fs, path = storage.filesystem(root)
    if not hasattr(fs, "list_multipart_uploads"):
        return []
    bucket, _, prefix = path.partition("/")
    return [u["Key"] for u in fs.list_multipart_uploads(bucket) if u["Key"].startswith(prefix)]


def test_an_abandoned_write_leaves_no_object_and_no_parts(root, faults, small_parts):
    url = storage.join(root, "parts.bin")

    def write():
        with storage.atomic_write(url) as file:
            file.write(bytes(11 << 20))
            assert not storage.exists(url)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write()
    assert storage.list_folder(root) == uploads(root) == []


def test_what_a_killed_writer_sent_is_cancelled(root, faults, small_parts):
    url = storage.join(root, "parts.bin")
    writing = storage.atomic_write(url)
    file = writing.__enter__()
    file.write(bytes(11 << 20))
    assert storage.list_folder(root) == []
    storage.cancel_uploads(root)
    assert uploads(root) == []
    storage.cancel_uploads(root)
    writing.__exit__(RuntimeError, RuntimeError("killed"), None)


def test_a_write_that_arrives_damaged_is_not_moved(root, faults, monkeypatch):
    url = storage.join(root, "a.bin")
    monkeypatch.setattr(atomic, "md5_of", lambda info: "0" * 32)
    monkeypatch.setattr(atomic, "content_md5", lambda fs, path: "1" * 32)
    with pytest.raises(StorageError, match="what was written has MD5"):
        storage.write_bytes(url, b"data")
    assert storage.list_folder(root) == []


def test_a_checksum_of_another_sort_is_settled_by_reading_again(url, root, monkeypatch):
    for module in (atomic, reading):
        monkeypatch.setattr(module, "md5_of", lambda info: "0" * 32)
    storage.write_bytes(storage.join(root, "b.bin"), b"data")
    assert storage.read_bytes(url) == DATA


def test_which_errors_may_pass():
    assert may_pass(ConnectionResetError())
    assert may_pass(TimeoutError())
    assert not may_pass(FileNotFoundError("gone"))
    assert not may_pass(PermissionError("no"))
    assert not may_pass(ValueError("no"))


def test_no_credentials_are_a_fault_of_the_call(monkeypatch, tmp_path):
    pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": "http://127.0.0.1:9", "default_block_size": 7})
    with pytest.raises(UsageError, match="no credentials"):
        storage.size("s3://clips/a")
