"""Rows: their columns and ids, their text, and the formats in which they are written."""
