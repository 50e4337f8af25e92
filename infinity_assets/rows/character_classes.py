"""Character classes, shared by the text scanners and the tables that they read."""

SEPARATOR, LETTER, NUMBER, ALONE, SPACE, SYMBOL = range(6)
"""Between tokens; a letter of a word; a number of a word; a token by itself; white space; between tokens but with a
meaning."""

SYMBOLS = r"[\p{Sm}\p{Sc}\p{So}*/%&#@~^\\-]"
"""Operators, currencies, pictures: texts that differ in one differ in meaning."""
