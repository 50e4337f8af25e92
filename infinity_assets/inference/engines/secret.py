"""A key that is sent to a server and shown to nobody."""

import base64
import re
from urllib.parse import quote

MASK = "***"
TELLING = 8
"""This many characters of a key in a row are a part of it that nobody should see; a key that is shorter than twice this is looked for as a whole."""
_MASKED = re.compile(r"\S*(?:\*{3,}|•{3,}|…|\.{3,})\S*")
"""How servers quote a key that they refuse: its beginning and its end, and stars between."""


class Secret:
    """A key. Its text is in `value` alone: not in `repr`, and taken out of whatever goes through `clean` or `strip`."""

    def __init__(self, value: str):
        self.value = value
        self._forms = sorted(set(_forms(value)), key=len, reverse=True) if value else []
        self._bytes = [form.encode() for form in self._forms if len(form) >= TELLING]

    def __repr__(self) -> str:
        return MASK

    def clean(self, text: str) -> str:
        """An error's text without the key: as it is, in base64, quoted for a URL or for JSON, in pieces, or with its middle masked."""
        for form in self._forms:
            text = text.replace(form, MASK)
        if len(self.value) >= 2 * TELLING:
            text = _MASKED.sub(self._without_ends, text)
            text = _without_pieces(text, self.value)
        return text

    def occurs_in(self, content: bytes) -> bool:
        """Whether a reply holds the key, in any form but pieces."""
        return any(form in content for form in self._bytes)

    def strip(self, text: str) -> str:
        """A model's text without the key. A short one, `EMPTY` for instance, is a word like others and stays."""
        for form in self._forms:
            if len(form) >= TELLING:
                text = text.replace(form, MASK)
        return text

    def _without_ends(self, match: re.Match[str]) -> str:
        word = match.group()
        return MASK if self.value[:3] in word or self.value[-3:] in word else word


def _forms(value: str) -> list[str]:
    """The spellings of a key. In base64 they are three: by where in a longer text the key begins."""
    forms = [
        value,
        quote(value, safe=""),
        quote(value),
        value.replace("\\", "\\\\").replace('"', '\\"').replace("/", "\\/"),
    ]
    if len(value) >= TELLING:
        for before in range(3):
            # The first and the last group of four digits also hold bits of the neighbours.
            encoded = base64.b64encode(b"\0" * before + value.encode()).decode()
            core = encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4]
            forms += [core, core.replace("+", "-").replace("/", "_")]
    return [form for form in forms if form]


def _without_pieces(text: str, value: str) -> str:
    hidden = [False] * len(text)
    for start in range(len(value) - TELLING + 1):
        piece = value[start : start + TELLING]
        at = text.find(piece)
        while at >= 0:
            hidden[at : at + TELLING] = [True] * TELLING
            at = text.find(piece, at + 1)
    if not any(hidden):
        return text
    return re.sub("\0+", MASK, "".join("\0" if hide else letter for hide, letter in zip(hidden, text, strict=True)))
