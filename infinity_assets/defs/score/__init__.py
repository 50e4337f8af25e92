"""Score: what models and measures say of a row, in narrow tables beside the rows: a new threshold never runs a model again."""
