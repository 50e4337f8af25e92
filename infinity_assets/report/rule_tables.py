"""Effects of the rules of InfInstruct-F, as markdown for pages of assets and as tables for the terminal."""

import polars as pl
from rich.table import Table

from infinity_assets.report import charts
from infinity_assets.report.terminal import frame_table
from infinity_assets.rows import conversation
from infinity_assets.selection.rules.rule import Bound

_SIGN = {"below": "fails below {:g}", "above": "fails above {:g}", "from": "fails from {:g}"}
_CUT = 75
_LINES = 400
"""Characters of a turn to show on the terminal."""


def totals(counts: pl.DataFrame) -> pl.DataFrame:
    """Add up the counts of all domains: one line per rule.

    Columns: rule, threshold (null if the domains differ or the rule is off), judged, failing, failing_alone, and a
    column per domain with its number of failing rows.
    """
    domains = counts.sort("domain")["domain"].unique(maintain_order=True).to_list()
    known = pl.col("threshold").drop_nulls()
    return counts.group_by("rule", maintain_order=True).agg(
        pl.when(known.n_unique() == 1).then(known.first()).alias("threshold"),
        pl.col("judged", "failing", "failing_alone").sum(),
        *(pl.col("failing").filter(pl.col("domain") == domain).sum().alias(domain) for domain in domains),
    )


def texts(rows: pl.LazyFrame, row_ids: pl.Series) -> pl.DataFrame:
    """Return row_id, prompt and answer of some rows."""
    wanted = rows.select("row_id", "messages").filter(pl.col("row_id").is_in(row_ids.unique().implode()))
    answer = conversation.answer().fill_null("")
    return wanted.select("row_id", prompt=conversation.content_of("user"), answer=answer).collect(engine="streaming")


def examples(bound: Bound, sides: pl.DataFrame, shown: pl.DataFrame) -> str:
    """Return the rows nearest to a threshold, on both sides of it, as a markdown table.

    Args:
        sides: The rows, from `counts.sides`.
        shown: Their texts, from `texts`.
    """
    if sides.is_empty():
        return f"{bound.means}\n\nNo row is judged."
    lines = sides.join(shown, on="row_id", how="left", maintain_order="left").select(
        pl.when("fails").then(pl.lit("fails")).otherwise(pl.lit("passes")).alias(""),
        *("measure", "threshold", "evidence"),
        pl.col("row_id").str.slice(0, 12).alias("row"),
        "source",
        pl.col("prompt", "answer").str.head(_CUT),
    )
    if sides["evidence"].is_null().all():
        lines = lines.drop("evidence")
    return f"{bound.means}\n\n{charts.table(lines, rows=lines.height)}"


def table(counts: pl.DataFrame) -> Table:
    """Return the result of `totals` as a table for the terminal. A count of 0 is blank."""
    lines = totals(counts).with_columns(pl.exclude("rule", "threshold").replace(0, None))
    return frame_table("Rules", lines.rename({"failing_alone": "alone"}), floats="g")


def side_lines(bound: Bound, sides: pl.DataFrame, shown: pl.DataFrame) -> list[str]:
    """Return text lines about the rows nearest to a threshold, for the terminal: a heading, then five lines per row."""
    result = [f"{bound.name}: {bound.means}"]
    for row in sides.join(shown, on="row_id", how="left", maintain_order="left").iter_rows(named=True):
        evidence = f"  {row['evidence']!r}" if row["evidence"] else ""
        verdict = "fails " if row["fails"] else "passes"
        result += [
            "",
            f"{verdict} {row['measure']:g} ({_SIGN[bound.fails].format(row['threshold'])}){evidence}",
            f"  row    {row['row_id']}  {row['source']}, {row['domain']}",
            *(f"  {side} {' '.join((row[side] or '').split())[:_LINES]}" for side in ("prompt", "answer")),
        ]
    return result
