"""What an asset's model calls came to, for its page."""

import polars as pl


def spent(generations: pl.DataFrame) -> dict[str, int]:
    """Calls, how many of them were really made, how many failed, and their tokens (of the calls really made)."""
    made = generations.filter(~pl.col("cached"))
    return {
        "model calls": generations.height,
        "model calls made": made.height,
        "model calls failed": generations["error"].count(),
        "prompt tokens": int(made["prompt_tokens"].sum()),
        "completion tokens": int(made["completion_tokens"].sum()),
    }
