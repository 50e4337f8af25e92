"""Rewriting in steps, where a step that fails keeps the last good text."""

import polars as pl

from infinity_assets.synthesis.strategies.strategy import as_written


def begin(seeds: pl.DataFrame) -> pl.DataFrame:
    """Before the first step.

    Args:
        seeds: row_id, language and `request`, which is the seed.

    Returns:
        The same lines with `current` (the text as it stands), `operation` (of the last step that wrote something; null while nothing is written),
        `error` (of the last step, while nothing is written) and `wrote` (whether the last step wrote something).
    """
    nothing = pl.lit(None, pl.String)
    return seeds.with_columns(current="request", operation=nothing, error=nothing, wrote=pl.lit(False))


def advance(state: pl.DataFrame, said: pl.DataFrame, operation: str) -> pl.DataFrame:
    """After a step.

    Args:
        state: As `begin` gives it.
        said: row_id, text, finish_reason, error: what was written in this step, for some of the rows.
        operation: The step's.
    """
    cut = pl.when(pl.col("finish_reason") == "length").then(pl.lit("truncated"))
    empty = pl.when(pl.col("text").fill_null("").str.strip_chars() == "").then(pl.lit("empty"))
    step = said.select(
        "row_id", said=pl.col("text").str.strip_chars(), fault=pl.coalesce("error", cut, empty), asked=pl.lit(True)
    )
    told = state.join(step, on="row_id", how="left", maintain_order="left")
    wrote = pl.col("asked").fill_null(False) & pl.col("fault").is_null()
    return told.with_columns(
        current=pl.when(wrote).then("said").otherwise("current"),
        operation=pl.when(wrote).then(pl.lit(operation)).otherwise("operation"),
        error=pl.when(~wrote & pl.col("operation").is_null()).then(pl.coalesce("fault", "error")),
        wrote=wrote,
    ).drop("said", "fault", "asked")


def finish(state: pl.DataFrame) -> pl.DataFrame:
    """`WRITTEN`, after the last step: the last good text, or the error where there is none."""
    return as_written(state.with_columns(text=pl.when(pl.col("operation").is_not_null()).then("current")))
