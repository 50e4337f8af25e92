"""Rules: named conditions under which a row is left out, each with the number it measured and the threshold it was held against."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Rule:
    """One rule.

    A row fails where `fails` is true; null is no failure, so a rule on a score passes the rows that were never scored.
    """

    reason: str
    fails: pl.Expr
    measure: pl.Expr
    threshold: str | float | int | None = None


def first_failure(frame: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """The rows that fail a rule, with the first one they fail.

    Args:
        frame: One line per row, with row_id and what the rules read.
        rules: In the order in which they are tried.

    Returns:
        One line per failing row, in the frame's order: row_id, reason, detail (JSON: measure, threshold).
    """

    def detail(rule: Rule) -> pl.Expr:
        parts = pl.struct(rule.measure.cast(pl.String).alias("measure"), pl.lit(str(rule.threshold)).alias("threshold"))
        return parts.struct.json_encode()

    reason = pl.coalesce(pl.when(rule.fails.fill_null(False)).then(pl.lit(rule.reason)) for rule in rules)
    evidence = pl.coalesce(pl.when(rule.fails.fill_null(False)).then(detail(rule)) for rule in rules)
    return frame.select("row_id", reason.alias("reason"), evidence.alias("detail")).filter(pl.col("reason").is_not_null())
