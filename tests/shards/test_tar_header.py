"""The quick way to read and write header blocks against the standard library's."""

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.shards.webdataset import tar_header
from avagent.shards.webdataset.tar_header import BLOCK, file_header, parse_header

NAMES = st.text(min_size=1, max_size=300).filter(lambda name: "\0" not in name and _encodable(name))
SIZES = st.one_of(st.integers(0, 1 << 20), st.integers((8 << 30) - 2, (8 << 30) + 2))


def _encodable(name):
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@given(name=NAMES, size=SIZES)
def test_headers_are_those_of_tarfile(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    assert file_header(name, size) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


@given(
    name=NAMES.filter(lambda name: len(name.encode()) <= 100),
    size=st.integers(0, 1 << 33),
    kind=st.sampled_from([b"0", b"\0", b"5", b"2", b"S", b"x", b"7"]),
    layout=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT]),
    mtime=st.integers(0, 1 << 34),
)
def test_blocks_say_what_tarfile_reads(name, size, kind, layout, mtime):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mtime, info.uname = size, kind, mtime, "bigdata"
    try:
        block = info.tobuf(layout, "utf-8", "surrogateescape")[-BLOCK:]
    except ValueError:  # ustar cannot hold it
        return
    known = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    found = parse_header(block)
    assert (found.name, found.type, found.size) == (
        known.name.encode("utf-8", "surrogateescape"),
        known.type,
        known.size,
    )


@given(position=st.integers(0, BLOCK - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_told_as_tarfile_tells_it(position, value):
    block = bytearray(file_header("clip.mp4", 12345))
    block[position] = value
    try:
        known = tarfile.TarInfo.frombuf(bytes(block), "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        with pytest.raises(type(error)):
            parse_header(bytes(block))
    else:
        found = parse_header(bytes(block))
        assert (found.name, found.type, found.size) == (known.name.encode(), known.type, known.size)


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_what_common_writers_write_goes_the_quick_way(layout):
    info = tarfile.TarInfo("clip.mp4")
    info.size = 5
    assert tar_header._parse_plain(info.tobuf(layout)) is not None
