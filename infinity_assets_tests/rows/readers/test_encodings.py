"""Text that is not the UTF-8 it should be is guessed at only where one encoding fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.rows.readers.encodings import decode, decode_lines

CASES = [
    ("plain", b"plain", "plain", None),
    ("with a mark", b"\xef\xbb\xbfhello", "hello", None),
    ("chinese", "你好，世界".encode("gb18030"), "你好，世界", "decoded_gb18030"),
    ("western", "café à la crème".encode("cp1252"), "café à la crème", "decoded_windows_1252"),
    ("quotes", "“it’s”".encode("cp1252"), "“it’s”", "decoded_windows_1252"),
    ("UTF-8 with a bad byte", "你好世界你好".encode() + b"\xff", "你好世界你好\ufffd", "invalid_utf8"),
    ("neither", b"a\x81\x20b", "a\ufffd b", "invalid_utf8"),
]


@pytest.mark.parametrize(("data", "text", "repair"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_decode(data: bytes, text: str, repair: str | None) -> None:
    assert decode(data) == (text, repair)


@given(st.text())
def test_utf8_is_never_repaired(text: str) -> None:
    assert decode(b"\xef\xbb\xbf" + text.encode()) == (text, None)


@given(st.binary(max_size=60))
def test_any_bytes_are_text_and_what_is_no_utf8_is_told(data: bytes) -> None:
    text, repair = decode(data)
    assert "\ufffd" not in text or repair or b"\xef\xbf\xbd" in data
    assert (repair is None) == (text.encode() == data.removeprefix(b"\xef\xbb\xbf"))


@given(st.lists(st.sampled_from([case[1] for case in CASES]) | st.binary(max_size=20), min_size=1))
def test_each_line_is_decoded_by_itself(lines: list[bytes]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    text, repairs = decode_lines(b"\n".join(lines))
    if repairs:
        assert text.split("\n") == [decode(line)[0] for line in lines]
        assert repairs == {number: decode(line)[1] for number, line in enumerate(lines) if decode(line)[1]}
    else:
        assert text.encode() == b"\n".join(lines).removeprefix(b"\xef\xbb\xbf")
