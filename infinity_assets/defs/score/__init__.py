"""Scores and measures of rows, in narrow tables beside the rows, so that a new threshold never runs a model again."""
