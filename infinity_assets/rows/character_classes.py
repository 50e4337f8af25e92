"""Character classes, shared by the text scanners and the tables that they read."""

SEPARATOR, LETTER, NUMBER, ALONE, SPACE, SYMBOL = range(6)
"""Character classes: `ALONE` is a token by itself, `SYMBOL` separates tokens but has a meaning, `SEPARATOR` is any
other character between tokens."""

SYMBOLS = r"[\p{Sm}\p{Sc}\p{So}*/%&#@~^\\-]"
"""Matches operators, currency signs and pictographs. Texts that differ in one of them differ in meaning."""
