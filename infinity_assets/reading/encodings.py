"""Decoding of text that is not valid UTF-8.

Chinese datasets contain lines in GB 18030, older Western ones in Windows-1252, and some files mix encodings line by
line. An encoding is assumed only if the bytes are valid in it and the decoded text looks like the script of that
encoding. In text that fits no encoding, U+FFFD replaces the invalid bytes.
"""

import re
from pathlib import Path

from infinity_assets.rows.words import load_words

INVALID_UTF8 = "invalid_utf8"
FROM_GB18030 = "decoded_gb18030"
FROM_WINDOWS = "decoded_windows_1252"
FROM_SHIFT_JIS = "decoded_shift_jis"
FROM_EUC_KR = "decoded_euc_kr"
FROM_BIG5 = "decoded_big5"
FROM_CP1251 = "decoded_cp1251"
FROM_KOI8_R = "decoded_koi8_r"

UNKNOWN_ENCODING = "unknown_encoding"
"""Error code (not a repair) of a text if more than a third of it, or whole words, fit no encoding."""

UNKNOWN_MESSAGE = "more than a third of it, or whole words, fit no known encoding"

SHORT = 8
"""Number of Chinese characters below which a text can count as Chinese without frequent characters."""

_BOM = b"\xef\xbb\xbf"
_REPLACED = "\ufffd"

_FREQUENT = {
    script: frozenset(characters)
    for script, characters in load_words(Path(__file__).with_name("encodings.yaml")).items()
}
"""The most frequent characters of each script."""

_LETTER = "A-Za-zÀ-ÖØ-öø-ÿŒœŠšŽžŸƒ"
_FOREIGN_WORD = re.compile(r"(?<![A-Za-z])[¢¤-ª¬-¶¸-º¼-ÿŒœŠšŽžŸƒ]{2,}(?![A-Za-z])|[¢¤-ª¬-¶¸-º¼-ÿŒœŠšŽžŸƒ]{4,}")
"""Matches words of only accented letters and signs, which Western text does not contain."""
_SIGN_IN_WORD = re.compile("[a-z][¡£¥±²³µ¶¹»¼½¾¿][a-z]")
"""Matches a sign inside a word, as where Polish in Windows-1250 is read as Windows-1252."""
_LOST_WORD = re.compile(rf"(?<!\w){_REPLACED}{{2,}}(?!\w)|{_REPLACED}[a-z]|[a-z]{_REPLACED}")
"""Matches a word of which no character fits an encoding, or one that lacks a letter."""
_CASE_CHANGES = re.compile("[а-яё][А-ЯЁ]")
_WESTERN = re.compile(f"[{_LETTER}]")
_ODD = re.compile("[\x80-\x9f¤¦¬¯¸\ue000-\uf8ff]")
_HAN = re.compile("[\u3400-\u9fff]")
_ASIAN = re.compile("[^\x00-\x7f\u2000-\u206f\u3000-\u303f\uff00-\uff60]")
"""Matches non-ASCII characters other than punctuation."""
_KANA = re.compile("[\u3041-\u30ff]")
_NARROW_KANA = re.compile("[\uff61-\uff9f]")
_SYLLABLE = re.compile("[\uac00-\ud7a3]")
_RUSSIAN = re.compile("[\u0400-\u045f]")


def decode(data: bytes) -> tuple[str, str | None]:
    """Return the text without a byte order mark, and a repair code or `None`. `unknown_encoding` means failure."""
    data = data.removeprefix(_BOM)
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        pass
    text = data.decode(errors="replace")
    replaced = text.count(_REPLACED)
    if sum(not char.isascii() for char in text) > 3 * replaced:  # UTF-8 with a few bad bytes
        return text, INVALID_UTF8
    chinese = _decode_strictly(data, "gb18030")
    if (
        chinese is not None
        and _frequent_share(_HAN, chinese, _FREQUENT["simplified"]) >= 1 / 8
        and not _ODD.search(chinese)
        and _is_mostly(_HAN, chinese)
    ):
        return chinese, FROM_GB18030
    for encoding, repair, fits in (
        ("cp1252", FROM_WINDOWS, _is_western),
        ("cp932", FROM_SHIFT_JIS, _is_japanese),
        ("cp949", FROM_EUC_KR, _is_korean),
        ("cp950", FROM_BIG5, _is_traditional),
    ):
        guess = _decode_strictly(data, encoding)
        if guess is not None and fits(guess):
            return guess, repair
    russian = [(_decode_strictly(data, "cp1251"), FROM_CP1251), (_decode_strictly(data, "koi8_r"), FROM_KOI8_R)]
    score, guess, repair = max(
        ((_score_russian(guess), guess or "", repair) for guess, repair in russian), key=lambda one: one[0]
    )
    if score >= 0.45:
        return guess, repair
    if chinese is not None and _is_short_chinese(chinese):
        return chinese, FROM_GB18030
    return text, UNKNOWN_ENCODING if 3 * replaced > len(text) or len(_LOST_WORD.findall(text)) > 1 else INVALID_UTF8


def decode_lines(data: bytes) -> tuple[str, dict[int, str]]:
    """Decode lines, each on its own unless all are UTF-8. Return the text, and repair codes by line number from 0."""
    try:
        return data.removeprefix(_BOM).decode(), {}
    except UnicodeDecodeError:
        decoded = [decode(line) for line in data.split(b"\n")]
    return "\n".join(text for text, _ in decoded), {
        number: repair for number, (_, repair) in enumerate(decoded) if repair
    }


def _decode_strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _frequent_share(script: re.Pattern, text: str, frequent: frozenset[str]) -> float:
    """Return the fraction of a script's characters in the text that are in `frequent`."""
    characters = script.findall(text)
    return sum(char in frequent for char in characters) / max(1, len(characters))


def _is_mostly(script: re.Pattern, text: str) -> bool:
    """Return whether at least half of the text's non-ASCII characters (without punctuation) belong to a script."""
    return 0 < len(_ASIAN.findall(text)) <= 2 * len(script.findall(text))


def _is_western(text: str) -> bool:
    letters = _WESTERN.findall(text)
    foreign = sum(not letter.isascii() for letter in letters)
    # In one or two words most letters may be accented, as in été.
    return (
        3 * foreign <= (2 if len(letters) < 12 else 1) * len(letters)
        and not _ODD.search(text)
        and not _FOREIGN_WORD.search(text)
        and not _SIGN_IN_WORD.search(text)
    )


def _is_japanese(text: str) -> bool:
    foreign = len(_ASIAN.findall(text))
    return 5 * len(_KANA.findall(text)) >= foreign > 5 * len(_NARROW_KANA.findall(text))


def _is_korean(text: str) -> bool:
    return _is_mostly(_SYLLABLE, text) and _frequent_share(_SYLLABLE, text, _FREQUENT["hangul"]) >= 1 / 4


def _is_traditional(text: str) -> bool:
    return (
        _is_mostly(_HAN, text)
        and _frequent_share(_HAN, text, _FREQUENT["traditional"]) >= 1 / 8
        and not _ODD.search(text)
    )


def _score_russian(text: str | None) -> float:
    """Return the share of Russian's ten most frequent letters among the Cyrillic ones; 0 for another script."""
    foreign = [char for char in text or "" if not char.isascii() and char.isalpha()]
    odd = sum("\u2500" <= char <= "\u25ff" for char in text or "")
    russian = [char for char in foreign if _RUSSIAN.match(char)]
    if _CASE_CHANGES.search(text or "") or not russian or len(russian) < 0.9 * len(foreign) or 10 * odd > len(russian):
        return 0
    # Reading CP1251 as KOI8-R, or the reverse, swaps upper and lower case, so upper case counts less.
    return sum(
        char in _FREQUENT["cyrillic"] or (char.isupper() and char.lower() in _FREQUENT["cyrillic"]) * 0.8
        for char in russian
    ) / len(russian)


def _is_short_chinese(text: str) -> bool:
    """Return whether a text has fewer than `SHORT` Chinese characters, all of them common (GB 2312 level 1)."""
    foreign = [char for char in text if not char.isascii()]
    try:
        pairs = [char.encode("gb2312") for char in foreign]
    except UnicodeError:
        return False
    return 0 < len(_HAN.findall(text)) < SHORT and all(pair[0] < 0xD8 for pair in pairs)
