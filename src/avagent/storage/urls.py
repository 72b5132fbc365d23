"""URLs of files, and the fsspec file systems behind them."""

from __future__ import annotations

import base64
from typing import Any, cast

import fsspec  # pyright: ignore[reportMissingTypeStubs]

from avagent.core.errors import UsageError
from avagent.storage.retries import policy

_MD5_DIGITS = 32
EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "s3a": "s3"}


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path on it.

    Raises:
        UsageError: the scheme is unknown, or its package is not installed.
    """
    scheme = url.split("://", 1)[0] if "://" in url else "file"
    # A cached listing would hide what another worker has written since.
    options = {"use_listings_cache": False} if scheme in EXTRAS else {}
    try:
        fs, path = cast("tuple[Any, Any]", fsspec.core.url_to_fs(url, **options))  # pyright: ignore[reportUnknownMemberType]
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        remedy = f"pip install 'avagent[{extra}]'" if extra else "install its fsspec package"
        raise UsageError(f"{url}: storage {scheme!r} needs a package that is not installed: {remedy}") from error
    except ValueError as error:
        raise UsageError(f"{url}: unknown storage {scheme!r}: {error}") from error
    if scheme in EXTRAS:
        _limit_time(fs, EXTRAS[scheme])
    return fs, str(path)


def is_local(url: str) -> bool:
    """Whether the URL lies on this machine's file system."""
    return "://" not in url or url.startswith(("file://", "local://"))


def is_remote(fs: Any) -> bool:
    """Whether a file system is reached over the network, by a client that serves many requests at once."""
    return bool(getattr(fs, "async_impl", False))


def canonical(url: str) -> str:
    """The URL as every worker understands it: local ones as absolute paths without scheme."""
    fs, path = filesystem(url)
    return path if is_local(url) else str(fs.unstrip_protocol(path))


def join(folder: str, *parts: str) -> str:
    """A URL below a folder."""
    return (folder if folder.endswith("/") else folder + "/") + "/".join(parts)


def basename(url: str) -> str:
    """The last part of a URL."""
    return url.rstrip("/").rsplit("/", 1)[-1]


def parent(url: str) -> str:
    """The folder of a URL."""
    head, slash, _ = url.rstrip("/").rpartition("/")
    if head.endswith(":/"):
        return head + slash
    return head or slash or "."


def md5_of(entry: dict[str, Any]) -> str | None:
    """The MD5 (32 hexadecimal digits) that the store tells of an object; None: it tells none.

    GCS tells it of all but composed objects. An S3 ETag is one if the object was sent in one piece, and neither
    encrypted by KMS nor in a directory bucket: so it may prove that bytes are right, never that they are wrong.
    """
    if told := entry.get("md5Hash"):
        return base64.b64decode(str(told)).hex()
    etag = str(entry.get("ETag", "")).strip('"')
    return etag if len(etag) == _MD5_DIGITS else None


def _limit_time(fs: Any, extra: str) -> None:
    """The clients' own limits: S3's are short, GCS's bounds the whole request, however large. The user's win."""
    seconds = policy().timeout_s
    if extra == "s3":
        fs.read_timeout = seconds
        fs.connect_timeout = min(seconds, 30.0)
        # What botocore gives up is tried again by `retries`, not by two layers.
        fs.retries = 1
    elif fs.requests_timeout is None:
        import aiohttp  # noqa: PLC0415

        fs.requests_timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
