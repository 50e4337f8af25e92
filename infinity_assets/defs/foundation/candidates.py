"""The candidates for InfInstruct-F: every decontaminated row with its stored measures and scores, without texts."""

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from infinity_assets.selection.rules import rulebook
from infinity_assets.settings.foundation import Rules

READS = ("decontaminated", "measured", "scored", "labelled", "importance", "proximity", "topics", "seed_selected")
"""The assets that the candidates are read from."""

ROW = ("row_id", "source", "file", "position", "domain", "language", "kind")
TABLES: Mapping[str, Sequence[str]] = {
    "measured": ("answer_chars",),
    "scored": ("quality", "complexity", "reward", "ifd", "ifd_perplexity", "depth"),
    "labelled": ("ability", "cate_ability"),
    "importance": ("log_weight", "stratum", "share"),
    "proximity": ("topic", "proximity"),
}
"""Columns that the selectors and the page of `inf_instruct_f` need, by asset."""

Read = Callable[[str], pl.LazyFrame]
"""A function that takes the name of an asset and returns the rows of all its partitions."""


def candidates(read: Read) -> pl.DataFrame:
    """Return every row of `decontaminated` with its stored measures and scores.

    Returns:
        One line per row, sorted by row id: row_id, source, file, position, domain, language, kind, the columns of
        `TABLES`, `topic_share` (share of the topic among all benchmark items) and `is_seed`.
    """
    rows = add_columns(read, read("decontaminated").select(ROW).collect(engine="streaming").sort("row_id"), TABLES)
    topics = read("topics").select("topic", topic_share="share").collect()
    seeds = read("seed_selected").select("row_id").collect()["row_id"]
    return rows.join(topics, on="topic", how="left", maintain_order="left").with_columns(
        pl.col("row_id").is_in(seeds.implode()).alias("is_seed")
    )


def add_columns(read: Read, rows: pl.DataFrame, tables: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Add columns of other assets to rows. `tables` names them by asset. A value is null if its asset lacks the row."""
    for asset, columns in tables.items():
        table = read(asset).select("row_id", *columns).collect(engine="streaming")
        rows = rows.join(table, on="row_id", how="left", maintain_order="left")
    return rows


def vectors_of(read: Read) -> Callable[[pl.Series], pl.DataFrame]:
    """Return a function that fetches the vectors of row ids: row_id, vector."""

    def fetch(row_ids: pl.Series) -> pl.DataFrame:
        wanted = row_ids.to_frame("row_id").lazy()
        return read("vectors").join(wanted, on="row_id", how="semi").collect(engine="streaming")

    return fetch


def facts(read: Read, rows: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Return the values that the rules test for each row (`rules.rulebook.facts`)."""
    measured = read("measured").collect(engine="streaming")
    scored = read("scored").select(rulebook.SCORES).collect(engine="streaming")
    return rulebook.facts(rows.select(rulebook.PLACE), measured, scored, rules)
