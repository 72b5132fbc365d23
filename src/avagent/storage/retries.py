"""Operations on remote storage, tried again when what went wrong may pass.

The clients try single requests again themselves: botocore five times on 429, 5xx and broken connections, gcsfs six
times on these and on bodies that break off. What they let through is tried again here, and nowhere else: bodies that
break off on S3, answers that are shorter than asked for or no JSON, wrong checksums, time limits, and longer outages.
"""

from __future__ import annotations

import errno
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from avagent.core.errors import ParameterError, StorageError, UsageError

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_STATUSES = (408, 429, 500, 502, 503, 504)
_ERRNOS = (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EREMOTEIO)
# By name, with the packages that they are from: which of these are installed depends on the extras.
_PASSING = (
    ("aiohttp", "ClientError"),
    ("botocore", "HTTPClientError"),
    ("botocore", "ConnectionError"),
    ("botocore", "FlexibleChecksumError"),
    ("botocore", "ResponseParserError"),
    ("botocore", "IncompleteReadError"),
    ("gcsfs", "ChecksumError"),
    ("google", "TransportError"),
    ("google", "RefreshError"),
    ("requests", "RequestException"),
    ("urllib3", "HTTPError"),
)
_NO_CREDENTIALS = (
    ("botocore", "NoCredentialsError"),
    ("botocore", "PartialCredentialsError"),
    ("google", "DefaultCredentialsError"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long storage is given to come back.

    Attributes:
        attempts: times that an operation is tried; each of its requests is tried several times by the client.
        timeout_s: for a server to connect, and between two pieces of an answer, in s.
        first_wait_s, longest_wait_s: waits between attempts are random, up to a bound that doubles from the one to the
            other, in s.
    """

    attempts: int = 5
    timeout_s: float = 60.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.timeout_s <= 0 or not 0 <= self.first_wait_s <= self.longest_wait_s:
            raise ParameterError(
                f"attempts >= 1, timeout_s > 0 and 0 <= first_wait_s <= longest_wait_s are needed, got {self}"
            )


DEFAULT_RETRIES = RetryPolicy()


class TransferError(OSError):
    """A transfer came short or damaged."""


class _Process:
    """What holds for this process, whichever thread asks."""

    def __init__(self) -> None:
        self.policy = DEFAULT_RETRIES
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()


_process = _Process()


def configure(policy: RetryPolicy) -> None:
    """Set this process's policy."""
    _process.policy = policy


def policy() -> RetryPolicy:
    """This process's policy."""
    return _process.policy


def retry_counts() -> Mapping[str, int]:
    """Attempts that failed in this process so far, by operation."""
    with _process.lock:
        return dict(_process.counts)


def retried(what: str, operation: Callable[[], _T]) -> _T:
    """The operation's answer, from the first attempt that succeeds.

    Args:
        what: for messages: a verb and a URL.
        operation: may be repeated.

    Raises:
        StorageError: every attempt failed.
        UsageError: there are no credentials.
        OSError: what trying again does not mend: no such file, no permission.
    """
    current = _process.policy
    retrying = Retrying(
        stop=stop_after_attempt(current.attempts),
        wait=wait_random_exponential(multiplier=current.first_wait_s, max=current.longest_wait_s),
        retry=retry_if_exception(may_pass),
        before_sleep=lambda state: _note(what, state),
        reraise=True,
    )
    try:
        return retrying(operation)
    except Exception as error:
        if _is_one_of(error, _NO_CREDENTIALS):
            raise UsageError(f"{what}: no credentials: {error} (docs/storage.md)") from error
        if not may_pass(error):
            raise
        raise StorageError(
            f"{what}: failed {current.attempts} times, at last with {type(error).__name__}: {error}; when storage is"
            " well again, run the same command again to go on"
        ) from error


def may_pass(error: BaseException) -> bool:
    """Whether the same operation may succeed when it is tried again."""
    status = http_status(error)
    if status is not None:
        return status in _STATUSES
    if isinstance(error, (TransferError, ConnectionError, TimeoutError, json.JSONDecodeError)):
        return True
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    return _is_one_of(error, _PASSING)


def http_status(error: BaseException) -> int | None:
    """The HTTP status that an error stands for: gcsfs keeps it as `code`, s3fs in botocore's error that it replaces."""
    if _is_one_of(error, (("gcsfs", "HttpError"),)):
        code = str(getattr(error, "code", ""))
        return int(code) if code.isdigit() else None
    response: Any = getattr(error.__cause__, "response", None) if isinstance(error, OSError) else None
    if isinstance(response, dict):
        found: Any = response  # pyright: ignore[reportUnknownVariableType]
        status = found.get("ResponseMetadata", {}).get("HTTPStatusCode")
        # A copy may fail with status 200 and an error in the body.
        return 500 if status == 200 else status
    return None


def _is_one_of(error: BaseException, names: tuple[tuple[str, str], ...]) -> bool:
    found = {(kind.__module__.split(".", 1)[0], kind.__name__) for kind in type(error).__mro__}
    return any(name in found for name in names)


def _note(what: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    with _process.lock:
        _process.counts[what.split(" ", 1)[0]] += 1
    _LOG.warning(
        "%s: attempt %d failed with %s: %s; trying again", what, state.attempt_number, type(error).__name__, error
    )
