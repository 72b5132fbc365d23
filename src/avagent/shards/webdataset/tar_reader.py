"""Tar archives as a stream of entries that know where they lie: POSIX ustar and PAX, GNU long names.

Header blocks are parsed by `tar_header` (checksum, octal and base-256 numbers). What `tarfile` does not give is added
here: the byte range of every entry with its extension headers, so that it can be copied verbatim, and limits on what an
archive may claim.

Reference: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block".
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from avagent.core.errors import FailureReason, ShardError
from avagent.shards.limits import DEFAULT_LIMITS, Defect, ShardLimits, limit_defect
from avagent.shards.names import unsafe_name
from avagent.shards.webdataset.tar_header import BLOCK, Header, parse_header
from avagent.storage import ByteSource

_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EXTENSIONS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_FORBIDDEN = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_GLOBAL_FORBIDDEN = ("path", "size", "linkpath")
_SKIP_BYTES = 1 << 20
_ZEROS = bytes(64 * BLOCK)
_MAX_DIGITS = 19


def _over_limit(message: str, limit: str) -> ShardError:
    defect = limit_defect(message, limit)
    return ShardError(defect.message, reason=defect.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of an archive.

    Attributes:
        name: as recorded, not to be trusted; bytes that are not UTF-8 are shown as escapes.
        offset: of its first header block, extension headers included.
        length: up to the next entry, padding included.
        header: all header blocks, verbatim.
        size: of the data in bytes.
        data: None: not a file, or left unread because of a defect.
        padding: what follows the data up to a full block, verbatim.
        directory: whether it is a folder (without data).
        defect: why it cannot be used.
    """

    name: str
    offset: int
    length: int
    header: bytes
    size: int
    data: bytes | None = None
    padding: bytes = b""
    directory: bool = False
    defect: Defect | None = None


@dataclass(slots=True)
class _Extensions:
    """What extension headers say about the entry that follows them."""

    raw: bytearray
    path: bytes | None = None
    size: int | None = None
    sparse: bool = False


def read_entries(source: ByteSource, total: int | None, limits: ShardLimits = DEFAULT_LIMITS) -> Iterator[Entry]:
    """The entries of an archive in one pass, one in memory at a time.

    Reading ends where the file ends between two entries: an archive without its end blocks counts as whole, as it does
    for `tarfile` and `webdataset`. Zero blocks do not end it, as with `tar --ignore-zeros`: archives that were joined
    by `cat` are one archive, and what else lies behind the end blocks is a corrupt header, not silence.

    Args:
        source: at the first byte of the archive or of an entry.
        total: bytes from there to the end; None: not known (it is compressed).
        limits: entries over the limits have a defect and are skipped unread.

    Raises:
        ShardError: the archive ends within a header, a header is corrupt, or there are more than `limits.entries`; the
            entries before were given. An archive that ends within a member gives that one with a defect.
    """
    yield from _Reader(source, total, limits).entries()


class _Reader:
    """Position and limits of one pass."""

    def __init__(self, source: ByteSource, total: int | None, limits: ShardLimits) -> None:
        self._source = source
        self._total = math.inf if total is None else total
        self._limits = limits
        self._offset = 0
        self._headers = 0
        self._ahead = b""
        """Read from the source already, but not taken: it begins with a block that is not zero."""
        self._ended = False
        """Whether zero blocks were passed."""

    def entries(self) -> Iterator[Entry]:
        while self._offset <= self._total:
            self._pass_zeros()
            start = self._offset
            extensions = _Extensions(raw=bytearray())
            info = self._next_info(extensions)
            if info is None:
                return
            yield self._entry(info, extensions, start)

    def _next_info(self, extensions: _Extensions) -> Header | None:
        """The next header that is not an extension; None at the end of the archive."""
        while True:
            at = self._offset
            block = self._read(BLOCK, "a header")
            if not block or block == _ZEROS[:BLOCK]:
                if extensions.raw:
                    raise self._broken(at, "ends after an extension header")
                return None
            info = self._parse(block, at)
            extensions.raw += block
            if info.type == tarfile.XGLTYPE:
                self._global(info, extensions, at)
            elif info.type in _EXTENSIONS:
                self._extension(info, extensions, at)
            else:
                if info.type == tarfile.GNUTYPE_SPARSE:
                    self._sparse_map(block, extensions, at)
                return info

    def _pass_zeros(self) -> None:
        """Go on to the next block that is not zero, in large steps: a hostile file may be nothing but zeros."""
        found = self._take(BLOCK)
        while found and found == _ZEROS[: len(found)]:
            self._ended = True
            self._offset += len(found)
            found = self._take(len(_ZEROS))
        if self._ended:
            zeros = next((at for at in range(0, len(found), BLOCK) if any(found[at : at + BLOCK])), 0)
            self._offset += zeros
            found = found[zeros:]
        self._ahead = found + self._ahead

    def _sparse_map(self, block: bytes, extensions: _Extensions, at: int) -> None:
        """Old GNU sparse headers go on in further blocks, as long as a flag says so."""
        more = block[482]
        while more and len(extensions.raw) <= self._limits.header_bytes:
            extension = self._need(BLOCK, at)
            extensions.raw += extension
            more = extension[504]

    def _parse(self, block: bytes, at: int) -> Header:
        self._headers += 1
        if self._headers > self._limits.entries:
            raise _over_limit(f"there are more than {self._limits.entries} headers in one shard", "entries")
        try:
            info = parse_header(block)
        except (tarfile.HeaderError, ValueError) as error:
            behind = " behind its end blocks" if self._ended else ""
            raise self._broken(at, f"has a corrupt header{behind} ({error})") from error
        if info.size < 0:
            raise self._broken(at, "claims a negative size")
        return info

    def _extension(self, info: Header, extensions: _Extensions, at: int) -> None:
        payload = self._payload(info, extensions, at)
        if info.type == tarfile.GNUTYPE_LONGNAME:
            extensions.path = payload.split(b"\0", 1)[0]
        elif info.type != tarfile.GNUTYPE_LONGLINK:
            for keyword, value in self._records(payload, at):
                if keyword == "path":
                    extensions.path = value
                elif keyword == "size":
                    extensions.size = self._number(value, at)
                elif keyword.startswith("GNU.sparse."):
                    extensions.sparse = True

    def _global(self, info: Header, extensions: _Extensions, at: int) -> None:
        for keyword, _ in self._records(self._payload(info, extensions, at), at):
            if keyword in _GLOBAL_FORBIDDEN:
                raise self._broken(at, f"sets {keyword!r} for all members in a global header, which is not supported")

    def _payload(self, info: Header, extensions: _Extensions, at: int) -> bytes:
        if info.size > self._limits.header_bytes or len(extensions.raw) > 4 * self._limits.header_bytes:
            raise _over_limit(
                f"the extension header at byte {at} is larger than {self._limits.header_bytes} bytes", "header_bytes"
            )
        padded = self._need(_padded(info.size), at)
        extensions.raw += padded
        return padded[: info.size]

    def _records(self, payload: bytes, at: int) -> Iterator[tuple[str, bytes]]:
        """PAX records: `LENGTH KEYWORD=VALUE` and a newline; the length counts the whole record."""
        start = 0
        while start < len(payload) and payload[start]:
            space = payload.find(b" ", start, start + _MAX_DIGITS + 1)
            digits = payload[start : max(space, start)]
            end = start + int(digits) if digits.isdigit() else start
            keyword, equals, value = payload[space + 1 : end].partition(b"=")
            if not (equals and value.endswith(b"\n") and end <= len(payload)):
                raise self._broken(at, "has a corrupt PAX header")
            yield keyword.decode("utf-8", "backslashreplace"), value[:-1]
            start = end

    def _number(self, value: bytes, at: int) -> int:
        if not (value.isdigit() and len(value) <= _MAX_DIGITS):
            raise self._broken(at, f"claims a size of {value!r}")
        return int(value)

    def _entry(self, info: Header, extensions: _Extensions, start: int) -> Entry:
        raw_name = extensions.path if extensions.path is not None else info.name
        directory = info.type == tarfile.DIRTYPE or (info.type in _REGULAR and raw_name.endswith(b"/"))
        kind = _FORBIDDEN.get(info.type) if not extensions.sparse else "a sparse file"
        size = info.size if extensions.size is None else extensions.size
        if directory or (info.type in _FORBIDDEN and info.type != tarfile.GNUTYPE_SPARSE):
            size = 0
        name = raw_name.decode("utf-8", "backslashreplace")
        defect = self._defect(name, raw_name, kind, size, info.type)
        data, padding = None, b""
        if self._offset + _padded(size) > self._total:
            message = f"the archive ends within the member {name!r} of {size} bytes, at byte {self._offset}"
            defect = Defect(reason=FailureReason.TRUNCATED_SHARD, message=message)
            self._offset = int(self._total) + 1
        elif not directory:
            data, padding = self._data(size, keep=defect is None)
        return Entry(
            name=name,
            offset=start,
            length=int(min(self._offset, self._total)) - start,
            header=bytes(extensions.raw),
            size=size,
            data=data,
            padding=padding,
            directory=directory,
            defect=defect,
        )

    def _defect(self, name: str, raw: bytes, kind: str | None, size: int, code: bytes) -> Defect | None:
        unsafe = unsafe_name(name)
        if unsafe is None and name.encode("utf-8") != raw:
            unsafe = "a name that is not UTF-8"
        if unsafe is not None:
            return Defect(reason=FailureReason.UNSAFE_MEMBER, message=f"the member {name!r} has {unsafe}")
        if kind is None and code != tarfile.DIRTYPE and code not in _REGULAR:
            kind = f"an entry of unknown type {code!r}"
        if kind is not None:
            return Defect(reason=FailureReason.UNSAFE_MEMBER, message=f"the member {name!r} is {kind}")
        if size > self._limits.member_bytes:
            message = f"the member {name!r} has {size} bytes, over the limit of {self._limits.member_bytes}"
            return limit_defect(message, "member_bytes")
        return None

    def _data(self, size: int, *, keep: bool) -> tuple[bytes | None, bytes]:
        at = self._offset
        if keep:
            return self._need(size, at), self._need(_padded(size) - size, at)
        left = _padded(size)
        while left:
            left -= len(self._need(min(left, _SKIP_BYTES), at))
        return None, b""

    def _read(self, size: int, what: str) -> bytes:
        at = self._offset
        data = self._take(size)
        self._offset += len(data)
        if data and len(data) < size:
            raise self._broken(at, f"ends within {what}")
        return data

    def _take(self, size: int) -> bytes:
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data if len(data) == size else data + self._source.read(size - len(data))

    def _need(self, size: int, at: int) -> bytes:
        data = self._read(size, "a member") if size else b""
        if len(data) < size:
            raise self._broken(at, "ends within a member")
        return data

    def _broken(self, at: int, what: str) -> ShardError:
        if at == 0:
            return ShardError(f"not a tar archive: it {what}", reason=FailureReason.UNREADABLE_SHARD)
        return ShardError(f"the archive {what}, at byte {at}", reason=FailureReason.TRUNCATED_SHARD)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
