"""Training of small models on rows in a separate process, to measure what the rows teach."""
