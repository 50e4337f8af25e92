"""Selectors: a registry of pure functions of (rows, size, settings) that take a number of rows from a pool."""
