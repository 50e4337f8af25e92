"""Which rewrites are thrown away, and why: `measures` asks models and compares, `rules` holds what was measured against the settings."""
