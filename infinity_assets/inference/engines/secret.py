"""Protection of an API key, which is sent to a server and never shown."""

import base64
import re
from urllib.parse import quote

MASK = "***"
TELLING = 8
"""Minimum length of a masked piece of a key. Keys shorter than twice this length are masked only as a whole."""
_MASKED = re.compile(r"\S*(?:\*{3,}|•{3,}|…|\.{3,})\S*")
"""Pattern of a rejected key as servers quote it: its beginning and its end, with stars or dots between."""


class Secret:
    """An API key. Its text is only in `value`: `repr` hides it, and `clean` and `strip` remove it from texts."""

    def __init__(self, value: str):
        self.value = value
        self._spellings = sorted(set(_spellings(value)), key=len, reverse=True) if value else []

    def __repr__(self) -> str:
        return MASK

    def clean(self, text: str) -> str:
        """Remove the key from an error text, even in base64, escaped for URLs or JSON, in pieces or partly masked."""
        for form in self._spellings:
            text = text.replace(form, MASK)
        if len(self.value) >= 2 * TELLING:
            text = _MASKED.sub(self._mask_ends, text)
            text = _mask_pieces(text, self.value)
        return text

    def strip(self, text: str) -> str:
        """Remove the key from a model's text. A short key such as `EMPTY` stays, because it may be a word."""
        for form in self._spellings:
            if len(form) >= TELLING:
                text = text.replace(form, MASK)
        return text

    def _mask_ends(self, match: re.Match[str]) -> str:
        word = match.group()
        return MASK if self.value[:3] in word or self.value[-3:] in word else word


def _spellings(value: str) -> list[str]:
    """Return the spellings of a key. There are three in base64, for its possible positions in a longer text."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("/", "\\/")
    forms = [value, quote(value, safe=""), quote(value), escaped]
    if len(value) >= TELLING:
        for before in range(3):
            # The first and the last group of four digits also encode neighboring characters.
            encoded = base64.b64encode(b"\0" * before + value.encode()).decode()
            core = encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4]
            forms += [core, core.replace("+", "-").replace("/", "_")]
    return [form for form in forms if form]


def _mask_pieces(text: str, value: str) -> str:
    hidden: set[int] = set()
    for start in range(len(value) - TELLING + 1):
        # The look-ahead also finds pieces that overlap.
        for match in re.finditer(f"(?={re.escape(value[start : start + TELLING])})", text):
            hidden.update(range(match.start(), match.start() + TELLING))
    letters = ("\0" if place in hidden else letter for place, letter in enumerate(text))
    return re.sub("\0+", MASK, "".join(letters)) if hidden else text
