"""Selection of rows from the pool: importance, diversity, quotas, seeds. Pure functions from rows to verdicts."""
