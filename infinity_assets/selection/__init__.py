"""Which rows of the pool are taken: importance, diversity, quotas, seeds. Pure functions from frames and settings to verdicts with reasons."""
