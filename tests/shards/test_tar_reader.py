"""The tar reader and writer, against Python's `tarfile` and by golden bytes."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_tools import end_of, members, special_entry, tar_bytes

from avagent.core.errors import FailureReason, ParameterError, ShardError
from avagent.shards.limits import ShardLimits
from avagent.shards.names import unsafe_name
from avagent.shards.webdataset.tar_reader import read_entries
from avagent.shards.webdataset.tar_writer import END_OF_ARCHIVE, TarWriter, header

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300).filter(
    lambda name: unsafe_name(name) is None and not name.endswith("/")
)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=1500)), min_size=1, max_size=6)


def entries(data: bytes, limits: ShardLimits | None = None):
    return list(read_entries(io.BytesIO(data), len(data), limits or ShardLimits()))


def refusal(data: bytes) -> FailureReason | None:
    """Why the archive as a whole is refused."""
    try:
        entries(data)
    except ShardError as error:
        return error.reason
    return None


def write(files) -> bytes:
    buffer = io.BytesIO()
    tar = TarWriter(buffer)
    for name, data in files:
        tar.add(name, data)
    tar.close()
    return buffer.getvalue()


@given(files=FILES, form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_reads_what_tarfile_wrote(files, form):
    data = tar_bytes(files, form=form)
    found = entries(data)
    assert [(e.name, e.data) for e in found] == files
    assert all(e.defect is None for e in found)


@given(files=FILES)
def test_tarfile_reads_what_we_wrote(files):
    data = write(files)
    assert members(data) == files
    assert [(e.name, e.data) for e in entries(data)] == files


@given(files=FILES, form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_entries_hold_every_byte_of_the_archive(files, form):
    data = tar_bytes(files, form=form)
    found = entries(data)
    verbatim = b"".join(e.header + (e.data or b"") + e.padding for e in found)
    assert verbatim == data[: end_of(data)]
    assert [e.offset for e in found] == [sum(e.length for e in found[:i]) for i in range(len(found))]


@settings(max_examples=300)
@given(data=st.binary(max_size=3000))
def test_noise_is_refused_or_read_but_never_a_crash(data):
    assert refusal(data) in {None, FailureReason.UNREADABLE_SHARD, FailureReason.TRUNCATED_SHARD}


@settings(max_examples=300)
@given(position=st.integers(0, 511), value=st.integers(0, 255), second=st.booleans())
def test_a_changed_header_byte_is_noticed(position, value, second):
    files = [("a.mp4", b"1" * 600), ("b.mp4", b"2" * 600)]
    data = bytearray(tar_bytes(files, form=tarfile.USTAR_FORMAT))
    at = position + (512 + 1024 if second else 0)
    old, data[at] = data[at], value
    reason = refusal(bytes(data))
    if reason is None:
        # The checksum field itself may spell the same number in another way.
        assert value == old or 148 <= position < 156
        assert [(e.name, e.data) for e in entries(bytes(data))] == files
    else:
        assert value != old
        assert reason == (FailureReason.TRUNCATED_SHARD if second else FailureReason.UNREADABLE_SHARD)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_an_archive_cut_anywhere_gives_its_first_entries_whole(form):
    files = [("é.mp4", b"1" * 600), ("n" * 200 + ".mp4", b"2" * 512), ("c.mp4", b"")]
    data = tar_bytes(files, form=form)
    whole = entries(data)
    for cut in range(1, end_of(data)):
        found, broken = [], False
        try:
            for entry in read_entries(io.BytesIO(data[:cut]), cut):
                found += [entry] if entry.defect is None else []
                broken = broken or entry.defect is not None
        except ShardError:
            broken = True
        complete = [e for e in whole if e.offset + e.length <= cut]
        assert found == complete
        assert broken == (cut not in {e.offset for e in whole})


@pytest.mark.parametrize("zeros", [0, 512, 1024, 10_240, 40_960, 512 * 300])
def test_archives_joined_by_cat_are_one_archive_as_for_tar_ignore_zeros(zeros):
    first, second = tar_bytes([("a.mp4", b"1"), ("a.json", b"2")]), tar_bytes([("b.mp4", b"3" * 700)])
    joined = first[: end_of(first)] + bytes(zeros) + second
    with tarfile.open(fileobj=io.BytesIO(joined), ignore_zeros=True) as tar:
        names = tar.getnames()
    found = entries(joined)
    assert [e.name for e in found] == names == ["a.mp4", "a.json", "b.mp4"]
    assert joined[found[-1].offset : found[-1].offset + found[-1].length] == second[: end_of(second)]


def test_zeros_alone_are_an_empty_archive_and_an_end_without_zeros_is_an_end():
    data = tar_bytes([("a.mp4", b"1")])
    assert entries(bytes(512)) == entries(bytes(1 << 20)) == []
    assert entries(data[:1024]) == entries(data) == entries(data + bytes(100)) == entries(data + bytes(1 << 20))


@pytest.mark.parametrize("rubbish", [b"x" * 512, b"-----BEGIN SIGNATURE-----", bytes(511) + b"x"])
def test_what_else_lies_behind_the_end_blocks_is_not_passed_over_in_silence(rubbish):
    data = tar_bytes([("a.mp4", b"1")])
    seen = []
    with pytest.raises(ShardError, match=r"behind its end blocks|ends within a header") as raised:
        seen.extend(e.name for e in read_entries(io.BytesIO(data + rubbish), len(data + rubbish)))
    assert raised.value.reason == FailureReason.TRUNCATED_SHARD
    with pytest.raises(ShardError):
        entries(data + bytes(512 * 200) + rubbish)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"),
        (tarfile.FIFOTYPE, "named pipe"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
        (b"V", "unknown type"),
    ],
)
def test_what_is_no_plain_file_has_a_defect_and_is_stepped_over(kind, what):
    data = special_entry("a.mp4", kind, "/etc/passwd") + tar_bytes([("b.mp4", b"2")])
    first, second = entries(data)
    assert first.defect.reason == FailureReason.UNSAFE_MEMBER
    assert what in first.defect.message
    assert first.data is None
    assert (second.name, second.data, second.defect) == ("b.mp4", b"2", None)


def test_a_link_has_no_data_whatever_size_it_claims():
    info = tarfile.TarInfo("a.mp4")
    info.type, info.linkname, info.size = tarfile.LNKTYPE, "b.mp4", 700
    first, second = entries(info.tobuf(tarfile.USTAR_FORMAT) + tar_bytes([("b.mp4", b"2")]))
    assert (first.length, second.name, second.data) == (512, "b.mp4", b"2")


def test_an_old_sparse_map_that_goes_on_is_stepped_over():
    block = bytearray(special_entry("a.mp4", tarfile.GNUTYPE_SPARSE))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    more, last = bytearray(512), bytes(512)
    more[504] = 1
    first, second = entries(bytes(block) + bytes(more) + last + tar_bytes([("b.mp4", b"2")]))
    assert first.defect.reason == FailureReason.UNSAFE_MEMBER
    assert (first.length, second.name) == (1536, "b.mp4")


def pax(records: dict[str, str], name: str = "a.mp4", data: bytes = b"1", **fields) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.pax_headers = len(data), records
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


def test_sparse_files_of_the_pax_kind_are_refused():
    (found,) = entries(pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}))
    assert found.defect.reason == FailureReason.UNSAFE_MEMBER
    assert "sparse" in found.defect.message


def test_a_pax_path_and_size_win_over_the_header():
    plain = tarfile.TarInfo("short.mp4")
    plain.size = 0
    extended = pax({"path": "from/pax.mp4", "size": "3"}, data=b"")
    (found,) = entries(extended[: -len(pax({}, data=b""))] + plain.tobuf(tarfile.USTAR_FORMAT) + b"abc" + bytes(509))
    assert (found.name, found.data) == ("from/pax.mp4", b"abc")


def test_a_global_header_may_carry_a_comment_but_no_path():
    comment = tarfile.TarInfo.create_pax_global_header({"comment": "made by hand"})
    (found,) = entries(comment + tar_bytes([("a.mp4", b"1")]))
    assert found.header.startswith(comment)
    with pytest.raises(ShardError, match="global header"):
        entries(tarfile.TarInfo.create_pax_global_header({"path": "x.mp4"}) + tar_bytes([("a.mp4", b"1")]))


def test_sizes_in_base_256_are_read():
    block = bytearray(header("a.mp4", 0))
    block[124:136] = b"\x80" + (3).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    (found,) = entries(bytes(block) + b"abc" + bytes(509))
    assert found.data == b"abc"


def test_a_claim_beyond_the_end_is_a_cut_member_and_not_read():
    block = bytearray(header("a.mp4", 0))
    block[124:136] = b"\x80" + (1 << 62).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    (found,) = entries(bytes(block) + bytes(1024))
    assert found.defect.reason == FailureReason.TRUNCATED_SHARD
    assert found.data is None


@pytest.mark.parametrize(
    "records", [b"7 path=x", b"path=x\n", b"99 path=x\n", b"9 pathxx\n", b"0 path=x\n", b"9" * 30 + b" p=x\n"]
)
def test_a_corrupt_pax_header_ends_the_archive(records):
    info = tarfile.TarInfo("PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    data = tar_bytes([("a.mp4", b"1")])
    broken = data[:1024] + info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512) + data
    with pytest.raises(ShardError, match="corrupt PAX header"):
        entries(broken)


@pytest.mark.parametrize(
    ("limits", "count", "reason"),
    [
        (ShardLimits(member_bytes=599), 1, FailureReason.LIMIT_EXCEEDED),
        (ShardLimits(member_bytes=600), 0, None),
    ],
)
def test_a_member_over_the_limit_is_stepped_over(limits, count, reason):
    found = entries(tar_bytes([("a.mp4", b"1" * 600), ("b.mp4", b"2")]), limits)
    assert [e.defect.reason for e in found if e.defect] == [reason] * count
    assert found[1].data == b"2"


@pytest.mark.parametrize("limits", [ShardLimits(entries=1), ShardLimits(header_bytes=200)])
def test_too_many_or_too_large_headers_end_the_archive(limits):
    with pytest.raises(ShardError) as caught:
        entries(tar_bytes([("a.mp4", b"1"), ("n" * 300 + ".mp4", b"2")], form=tarfile.GNU_FORMAT), limits)
    assert caught.value.reason == FailureReason.LIMIT_EXCEEDED


def test_limits_must_be_positive():
    with pytest.raises(ParameterError, match="members must be at least 1"):
        ShardLimits(members=0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("/etc/passwd.mp4", "absolute"),
        ("\\host\\a.mp4", "absolute"),
        ("C:\\a.mp4", "absolute"),
        ("C:/a.mp4", "absolute"),
        ("../a.mp4", "leaves its folder"),
        ("a/../../b.mp4", "leaves its folder"),
        ("a\\..\\b.mp4", "leaves its folder"),
        ("a\0b.mp4", "NUL"),
    ],
)
def test_hostile_names_are_refused_by_reader_and_writer(name, reason):
    assert reason in unsafe_name(name)
    with pytest.raises(ParameterError, match="cannot be a member's name"):
        header(name, 0)


@pytest.mark.parametrize("name", ["a.mp4", "./a.mp4", "a..b/c...mp4", "..a/b.mp4", "a b/ü.mp4", "C:a.mp4"])
def test_harmless_names_are_not(name):
    assert unsafe_name(name) is None


def test_a_name_that_is_not_utf8_is_refused_and_shown_with_escapes():
    data = tar_bytes([("x.mp4", b"1")], form=tarfile.USTAR_FORMAT)
    block = bytearray(data[:512])
    block[0:1] = b"\xe9"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    (found,) = entries(bytes(block) + data[512:])
    assert found.name == "\\xe9.mp4"
    assert found.defect.reason == FailureReason.UNSAFE_MEMBER


def test_golden_bytes_of_the_writer():
    """The digest was checked once by listing and extracting the archive with GNU tar 1.34."""
    data = write([("a.mp4", b"0123"), ("folder/" + "n" * 100 + ".json", b"{}"), ("é.txt", b"")])
    assert len(data) == 512 * (2 + 4 + 3 + 2)
    assert data.endswith(END_OF_ARCHIVE)
    assert hashlib.sha256(data).hexdigest() == "e48ca3740c04ab73d776fc6dbba91074de3415485ab005d82ac0e487713e70c0"


def test_pieces_must_add_up_to_the_size_that_was_announced():
    with pytest.raises(OSError, match="should have 5 bytes, got 4"):
        TarWriter(io.BytesIO()).add_blocks("a.mp4", 5, [b"ab", b"cd"])


def test_a_header_of_many_tiny_records_is_read_in_linear_time():
    """Copying the rest of the header at every record would move 60 GB here."""
    payload = b"5 a=\n" * 200_000 + b"16 path=x/a.txt\n"
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(payload)
    header = info.tobuf(tarfile.USTAR_FORMAT) + payload + bytes(-len(payload) % 512)
    (entry,) = entries(header + tar_bytes([("y.txt", b"1")]))
    assert entry.name == "x/a.txt"
