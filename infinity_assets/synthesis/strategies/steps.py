"""Rewriting in steps. A failed step keeps the last good text."""

import polars as pl

from infinity_assets.synthesis.strategies.strategy import to_written


def begin(seeds: pl.DataFrame) -> pl.DataFrame:
    """Return the state before the first step.

    Args:
        seeds: row_id, language and `request`, which is the seed.

    Returns:
        The lines with `current` (the current text), `operation` (of the last successful step, or null), `error` (of the
        last step, if no step has succeeded) and `wrote` (whether the last step succeeded).
    """
    nothing = pl.lit(None, pl.String)
    return seeds.with_columns(current="request", operation=nothing, error=nothing, wrote=pl.lit(False))


def advance(state: pl.DataFrame, answers: pl.DataFrame, operation: str) -> pl.DataFrame:
    """Return the state after a step.

    Args:
        state: State from `begin` or `advance`.
        answers: Answers of this step for some of the rows: row_id, text, finish_reason, error.
        operation: Operation of the step.
    """
    cut = pl.when(pl.col("finish_reason") == "length").then(pl.lit("truncated"))
    empty = pl.when(pl.col("text").fill_null("").str.strip_chars() == "").then(pl.lit("empty"))
    step = answers.select(
        "row_id", written=pl.col("text").str.strip_chars(), fault=pl.coalesce("error", cut, empty), asked=pl.lit(True)
    )
    joined = state.join(step, on="row_id", how="left", maintain_order="left")
    wrote = pl.col("asked").fill_null(False) & pl.col("fault").is_null()
    return joined.with_columns(
        current=pl.when(wrote).then("written").otherwise("current"),
        operation=pl.when(wrote).then(pl.lit(operation)).otherwise("operation"),
        error=pl.when(~wrote & pl.col("operation").is_null()).then(pl.coalesce("fault", "error")),
        wrote=wrote,
    ).drop("written", "fault", "asked")


def finish(state: pl.DataFrame) -> pl.DataFrame:
    """Return `WRITTEN` after the last step: the last good text, or the error if there is none."""
    return to_written(state.with_columns(text=pl.when(pl.col("operation").is_not_null()).then("current")))
