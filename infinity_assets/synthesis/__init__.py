"""New rows from old ones: evolution operators, what is thrown away, degenerate answers, weak students. Pure functions; models are asked elsewhere."""
