"""Decontamination: which rows hold a benchmark item, and the evidence for it."""
