"""Bytes as text when they are not the UTF-8 that they should be.

Chinese sets hold lines in GB 18030, older Western ones in Windows-1252, and some files mix them line by line. A guess is made only where the
bytes fit one encoding and not the other; what fits none keeps its valid part, with U+FFFD for the rest.
"""

INVALID_UTF8 = "invalid_utf8"
FROM_GB18030 = "decoded_gb18030"
FROM_WINDOWS = "decoded_windows_1252"

_BOM = b"\xef\xbb\xbf"


def decode(data: bytes) -> tuple[str, str | None]:
    """The text without a byte order mark, and what had to be repaired to get it."""
    data = data.removeprefix(_BOM)
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        pass
    text = data.decode(errors="replace")
    if sum(not char.isascii() for char in text) > 2 * text.count("\ufffd"):  # UTF-8 with a few bad bytes
        return text, INVALID_UTF8
    if _is_chinese(data):
        return data.decode("gb18030"), FROM_GB18030
    try:
        return data.decode("cp1252"), FROM_WINDOWS
    except UnicodeDecodeError:
        return text, INVALID_UTF8


def decode_lines(data: bytes) -> tuple[str, dict[int, str]]:
    """The text of several lines, each decoded by itself where not all is UTF-8, and the repairs by line number from 0."""
    try:
        return data.removeprefix(_BOM).decode(), {}
    except UnicodeDecodeError:
        decoded = [decode(line) for line in data.split(b"\n")]
    return "\n".join(text for text, _ in decoded), {number: repair for number, (_, repair) in enumerate(decoded) if repair}


def _is_chinese(data: bytes) -> bool:
    """Whether the bytes above ASCII are pairs of GB 2312, the characters in common use. Western text of one accented letter at a time is not."""
    try:
        foreign = "".join(char for char in data.decode("gb18030") if not char.isascii())
        foreign.encode("gb2312")
    except UnicodeError:
        return False
    return bool(foreign)
