"""Decontamination: finds the rows that contain a benchmark item, with the evidence."""
