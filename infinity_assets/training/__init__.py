"""Training of small models on samples of rows, in a separate process, to measure the quality of the selection."""
