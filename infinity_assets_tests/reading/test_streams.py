"""Tests that compressions and archives are read, damage is an error, and bytes take precedence over names."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import PurePosixPath

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infinity_assets.reading.containers import Record, read_blocks
from infinity_assets.reading.streams import is_archive, plain_suffix
from infinity_assets_tests.properties import examples

COUNT = 400
LINES = b"".join(b'{"number": %d, "text": "some words %d"}\n' % (number, number * 7919) for number in range(COUNT))
VALUES = [{"number": number, "text": f"some words {number * 7919}"} for number in range(COUNT)]
HALF = LINES.index(b"\n", len(LINES) // 2) + 1


def records(name: str, data: bytes, wanted: Callable[[str], bool] = lambda path: True) -> dict[str, list[Record]]:
    """Return the records of a file, or of each file in an archive, by path."""
    found: dict[str, list[Record]] = {}
    for block in read_blocks(io.BytesIO(data), name, wanted):
        found.setdefault(block.file, []).extend(block.records())
    return found


def tarred(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstd,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
FILES = {
    "a/one.jsonl": LINES[:HALF],
    "two!.jsonl.gz": gzip.compress(LINES),
    "ü.csv": b"q,a\nhi,yes\n",
    "readme.md": b"no data",
}
WITHIN = {"a/one.jsonl": HALF and LINES[:HALF].count(b"\n"), "two!.jsonl.gz": COUNT, "ü.csv": 1}
ARCHIVES: dict[str, bytes] = {
    ".tar": tarred(FILES),
    ".tgz": gzip.compress(tarred(FILES)),
    **{f".tar{suffix}": pack(tarred(FILES)) for suffix, pack in COMPRESSIONS.items()},
    ".zip": zipped(FILES),
    ".ZIP": zipped(FILES, zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_compressed_file_is_read_completely(suffix: str) -> None:
    pack = COMPRESSIONS[suffix]
    for packed in (pack(LINES), pack(LINES[:HALF]) + pack(LINES[HALF:]), pack(b"") + pack(LINES)):
        ((file, found),) = records(f"a.jsonl{suffix}", packed).items()
        assert file == f"a.jsonl{suffix}"
        assert [record.value for record in found] == VALUES


def test_skippable_frames_and_padding_are_ignored() -> None:
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    for suffix, packed in ((".zst", skipped + zstd(LINES) + skipped), (".gz", gzip.compress(LINES) + bytes(512))):
        assert [record.value for record in records(f"a.jsonl{suffix}", packed)[f"a.jsonl{suffix}"]] == VALUES


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_other_bytes_after_a_frame_are_damage(suffix: str) -> None:
    """The libraries of bzip2 and xz treat any data after a frame as padding."""
    *found, last = records(f"a.jsonl{suffix}", COMPRESSIONS[suffix](LINES) + b"something else")[f"a.jsonl{suffix}"]
    assert ([record.value for record in found], last.error) == (VALUES, "unreadable_file")


@pytest.mark.parametrize("suffix", ARCHIVES)
def test_the_files_of_an_archive_are_read(suffix: str) -> None:
    found = records(f"x{suffix}", ARCHIVES[suffix], lambda path: not path.endswith(".md"))
    assert {file.removeprefix(f"x{suffix}!"): len(each) for file, each in found.items()} == WITHIN
    assert not any(record.error for each in found.values() for record in each)


def test_archives_in_archives_are_read() -> None:
    inner = zipped({"b.jsonl": LINES})
    nested = tarred({"inner.zip": inner, "inner.tar.xz": lzma.compress(tarred({"c.jsonl.bz2": bz2.compress(LINES)}))})
    found = records("x.tar", nested)
    assert {file: [record.value for record in each] for file, each in found.items()} == {
        "x.tar!inner.zip!b.jsonl": VALUES,
        "x.tar!inner.tar.xz!c.jsonl.bz2": VALUES,
    }


def test_too_many_nested_compressions_are_an_error() -> None:
    data = LINES
    for _ in range(6):
        data = gzip.compress(data)
    ((record,),) = records("a.jsonl", data).values()
    assert record.error == "unreadable_file"


def test_one_damaged_file_in_an_archive_affects_no_other() -> None:
    files = {
        "bad.jsonl.gz": b"no gzip\xff",
        "cut.jsonl.gz": gzip.compress(LINES)[:-9],
        "bad.zip": b"PK\x03\x04",
        "good.jsonl": LINES,
    }
    for name, archive in (("x.tar", tarred(files)), ("x.zip", zipped(files))):
        found = records(name, archive)
        errors = {file: each[-1].error for file, each in found.items()}
        bad = dict.fromkeys((f"{name}!{file}" for file in list(files)[:3]), "unreadable_file")
        assert errors == {**bad, f"{name}!good.jsonl": None}
        assert len(found[f"{name}!good.jsonl"]) == COUNT


def test_an_archive_with_data_after_its_end_is_an_error() -> None:
    data = bytearray(tarred({"a.jsonl": LINES, "b.jsonl": LINES}))
    second = data.index(b"b.jsonl\0")
    data[second : second + 512] = bytes(512)
    for name, packed in (("x.tar", bytes(data)), ("x.tgz", gzip.compress(data))):
        found = records(name, packed)
        assert (len(found[f"{name}!a.jsonl"]), [record.error for record in found[name]]) == (COUNT, ["unreadable_file"])


def test_the_checksum_after_an_archive_is_checked() -> None:
    packed = bytearray(gzip.compress(tarred({"a.jsonl": LINES}), 0))
    packed[packed.index(b"words")] ^= 2
    found = records("x.tgz", bytes(packed))
    assert [record.error for record in found["x.tgz"]] == ["unreadable_file"]


def test_an_encrypted_file_in_an_archive_affects_no_other() -> None:
    data = bytearray(zipped({"a.jsonl": LINES, "b.jsonl": LINES}))
    data[6] |= 1  # the first member's flags, in its header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    found = records("x.zip", bytes(data))
    assert [record.error for record in found["x.zip!a.jsonl"]] == ["unreadable_file"]
    assert "encrypted" in str(found["x.zip!a.jsonl"][0].message)
    assert len(found["x.zip!b.jsonl"]) == COUNT


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.zip", "a.tar", "a.tar.gz", "a.parquet"])
def test_an_empty_archive_or_table_is_an_error(name: str) -> None:
    ((record,),) = records(name, b"").values()
    assert record.error == "unreadable_file"


def test_an_empty_text_file_has_no_records() -> None:
    assert records("a.jsonl", b"") == records("a.csv", b"") == records("a.txt", b"") == records("a.yaml", b"") == {}


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_bytes_take_precedence_over_names(suffix: str) -> None:
    packed = COMPRESSIONS[suffix](LINES)
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.xz"):
        assert len(records(name, packed)[name]) == COUNT
    assert len(records("a", tarred({"b.jsonl": LINES}))["a!b.jsonl"]) == COUNT


FORMS = {
    **{f"a.jsonl{suffix}": pack(LINES[:HALF]) + pack(LINES[HALF:]) for suffix, pack in COMPRESSIONS.items()},
    **{f"a{suffix}": tarred({"b.jsonl": LINES}) if suffix == ".tar" else data for suffix, data in ARCHIVES.items()},
}


@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(FORMS)), share=st.floats(0, 1, exclude_max=True), bit=st.none() | st.integers(0, 7))
@example(name="a.jsonl.gz", share=0.0, bit=None)
@example(name="a.zip", share=0.0, bit=0)
def test_truncation_and_flipped_bits_are_detected_anywhere(name: str, share: float, bit: int | None) -> None:
    whole = FORMS[name]
    place = int(share * len(whole))
    damaged = whole[:place] if bit is None else whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
    expected = {file: [record.value for record in each] for file, each in records(name, whole).items()}
    found = records(name, damaged)
    errors = [record for each in found.values() for record in each if record.error]
    lost = sum(map(len, expected.values())) - sum(len(each) for each in found.values())
    at_a_frame = name.startswith("a.jsonl") and bit is None and place and lost == COUNT - LINES[:HALF].count(b"\n")
    assert errors or lost <= 0 or at_a_frame
    if bit is None:
        for file, each in found.items():
            sound = [record.value for record in each if not record.error]
            assert sound == expected.get(file, [])[: len(sound)]
            assert not any(record.error for record in each[:-1])


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.xz", "a.tar", "a.tgz", "a.tar.xz"])
def test_records_before_a_truncation_are_kept(name: str) -> None:
    """Deflate, xz and tar return all bytes so far; bzip2 and zstandard work in blocks of some hundred kilobytes."""
    lines = b"".join(b'{"a": "%s"}\n' % sha256(b"%d" % number).hexdigest().encode() for number in range(5000))
    archive = tarred({"a.jsonl": lines})
    whole = {".gz": gzip.compress(lines), ".xz": lzma.compress(lines), ".tar": archive, ".tgz": gzip.compress(archive)}
    data = lzma.compress(archive) if name == "a.tar.xz" else whole[PurePosixPath(name).suffix]
    for share in (0.25, 0.5, 0.75, 0.95):
        found = records(name, data[: int(share * len(data))])
        read = sum(not record.error for each in found.values() for record in each)
        assert read > (share - 0.1) * 5000


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"问题": "你好你好你好你好你好你好你好你好", "a": "\U0001f600"}]'),
        ("a.jsonl", '{"a": "x"}\n{"a": "y"}\n'),
        ("a.csv", "q,a\nhi,你好你好你好\n"),
        ("a.txt", "One paragraph.\n\nAnother one."),
    ],
)
def test_utf_16_and_utf_32_are_read(name: str, text: str, encoding: str, mark: bool) -> None:
    plain = records(name, text.encode())[name]
    found = records(name, ("\ufeff" * mark + text).encode(encoding))[name]
    assert found == plain


def test_invalid_utf_16_is_a_recorded_repair() -> None:
    (record,) = records("a.txt", "\ufeffhello".encode("utf-16-le") + b"x")["a.txt"]
    assert (record.value, record.repair) == ("hello\ufffd", "invalid_utf8")
    lines = '{"a": 1}\n{"a": "b'.encode("utf-16") + b"\x00\xd8" + '"}'.encode("utf-16-le")
    *_, record = records("a.jsonl", lines)["a.jsonl"]
    assert (record.value, record.repair) == ({"a": "b\ufffd"}, "invalid_utf8")


def test_suffixes_are_recognized_in_any_case() -> None:
    assert plain_suffix(PurePosixPath("a.JSONL.GZ")) == ".jsonl"
    assert plain_suffix(PurePosixPath(".gz")) == ""
    names = ["a.tgz", "a.tar.zst", "a.zip", "a.json.gz", "tar"]
    assert [name for name in names if is_archive(PurePosixPath(name))] == names[:3]
