"""Selectors: named ways to take a number of rows from a pool, each a pure function of (rows, size, settings), in one registry."""
