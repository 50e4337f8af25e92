"""Training of small models on rows, in a process of its own: what the rows teach."""
