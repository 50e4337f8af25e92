"""Decontamination: the rows that hold a benchmark item, and the evidence."""
