"""The rows that selection is about, in narrow columns: what the stored tables say of every conversation, and no text."""

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from infinity_assets.selection.rules import rulebook
from infinity_assets.settings.foundation import Rules

READS = ("decontaminated", "measured", "scored", "labelled", "importance", "proximity", "topics", "seed_selected")
"""Assets that are read."""

ROW = ("row_id", "source", "file", "position", "domain", "language", "kind")
TABLES: Mapping[str, Sequence[str]] = {
    "measured": ("answer_chars",),
    "scored": ("quality", "complexity", "reward", "ifd", "ifd_perplexity", "depth"),
    "labelled": ("ability", "cate_ability"),
    "importance": ("log_weight", "stratum", "share"),
    "proximity": ("topic", "proximity"),
}
"""Columns that selectors and the page read, by asset."""

Read = Callable[[str], pl.LazyFrame]
"""Name of an asset to its rows, of all partitions."""


def candidates(read: Read) -> pl.DataFrame:
    """Every row of `decontaminated` with what is stored about it.

    Returns:
        One line per row, sorted by row id: row_id, source, file, position, domain, language, kind, the columns of `TABLES`, `topic_share` (of the
        topic among all items of benchmarks) and `is_seed`.
    """
    rows = read("decontaminated").select(ROW).collect(engine="streaming").sort("row_id")
    for asset, columns in TABLES.items():
        rows = rows.join(
            read(asset).select("row_id", *columns).collect(engine="streaming"),
            on="row_id",
            how="left",
            maintain_order="left",
        )
    topics = read("topics").select("topic", topic_share="share").collect()
    seeds = read("seed_selected").select("row_id").collect()["row_id"]
    return rows.join(topics, on="topic", how="left", maintain_order="left").with_columns(
        pl.col("row_id").is_in(seeds.implode()).alias("is_seed")
    )


def vectors_of(read: Read) -> Callable[[pl.Series], pl.DataFrame]:
    """A function from row ids to their vectors: row_id, vector."""

    def fetch(row_ids: pl.Series) -> pl.DataFrame:
        wanted = row_ids.to_frame("row_id").lazy()
        return read("vectors").join(wanted, on="row_id", how="semi").collect(engine="streaming")

    return fetch


def facts(read: Read, rows: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """What the rules read of these rows (`rules.rulebook.facts`)."""
    measured = read("measured").collect(engine="streaming")
    scored = read("scored").select(rulebook.SCORES).collect(engine="streaming")
    return rulebook.facts(rows.select(rulebook.PLACE), measured, scored, rules)
