"""Classes of characters, shared by the texts' scanners and the tables that they read."""

SEPARATOR, LETTER, NUMBER, ALONE, SPACE, SYMBOL = range(6)
"""Classes of characters: between tokens, in a word, in a word but no letter, a token by itself, white space, between tokens but with a meaning."""

SYMBOLS = r"[\p{Sm}\p{Sc}\p{So}*/%&#@~^\\-]"
"""Operators, currencies, pictures: texts that differ in one do not say the same."""
