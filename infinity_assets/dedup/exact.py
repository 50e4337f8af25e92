"""Exact de-duplication on normalised content.

Two records are duplicates if their conversations are equal after NFKC, lower-casing and collapsing white space, roles included. The same
instruction with another answer is no duplicate. The survivor is decided by rule, never by arrival: source priority, then source name,
file and position.
"""

from collections.abc import Sequence

import polars as pl

from infinity_assets.rows import conversation
from infinity_assets.rows.ids import digest
from infinity_assets.rows.text import normalised

PLACE = ["source", "file", "position"]
"""What identifies a record."""


def fingerprint(rows: pl.DataFrame) -> pl.DataFrame:
    """The content and prompt hashes of every record.

    Args:
        rows: Rows of the pool.

    Returns:
        One line per record: row_id, source, file, position, content_hash and prompt_hash (128-bit, hexadecimal), chars.
    """
    # A normalised text holds no line break, so that turns one below the other cannot be mistaken for one turn that quotes another.
    turn = pl.element().struct
    content = pl.concat_str([turn.field("role"), normalised(turn.field("content"))], separator=": ")
    texts = rows.select(
        "row_id",
        *PLACE,
        pl.col("messages").list.eval(content).list.join("\n").alias("content"),
        normalised(conversation.content_of("system", "user")).alias("prompt"),
    )
    return texts.select(
        "row_id",
        *PLACE,
        pl.Series("content_hash", [digest(text) for text in texts["content"]], dtype=pl.String),
        pl.Series("prompt_hash", [digest(text) for text in texts["prompt"]], dtype=pl.String),
        pl.col("content").str.len_chars().cast(pl.Int64).alias("chars"),
    )


def find_duplicates(fingerprints: pl.LazyFrame, priority: Sequence[str]) -> pl.DataFrame:
    """Every record that loses to another with the same content.

    Args:
        fingerprints: Lines as `fingerprint` makes them, of the whole pool.
        priority: Sources whose records survive before all others, best first.

    Returns:
        One line per loser: row_id, source, file, position, duplicate_of (row id of the survivor), survivor_source, method, similarity.
    """
    rank = pl.col("source").replace_strict({s: i for i, s in enumerate(priority)}, default=len(priority), return_dtype=pl.Int64)
    columns = ["row_id", *PLACE, "content_hash"]
    ranked = fingerprints.select(columns).filter(pl.len().over("content_hash") > 1).with_columns(rank.alias("rank"))
    # `position` alone may repeat (a record with several instances becomes several rows): the row id settles it.
    ordered = ranked.sort("content_hash", "rank", *PLACE, "row_id")
    first = pl.int_range(pl.len()).over("content_hash") == 0
    return (
        ordered.with_columns(
            pl.col("row_id").first().over("content_hash").alias("duplicate_of"),
            pl.col("source").first().over("content_hash").alias("survivor_source"),
            first.alias("survives"),
        )
        .filter(~pl.col("survives"))
        .select("row_id", *PLACE, "duplicate_of", "survivor_source", pl.lit("exact").alias("method"), pl.lit(1.0).alias("similarity"))
        .sort(*PLACE, "row_id")
        .collect()
    )


def survivors(rows: pl.DataFrame, losers: pl.DataFrame) -> pl.DataFrame:
    """The rows that lost to no other, in their order.

    A record with two equal instances is two rows that share id and place: one line of the losers takes out one of them.

    Args:
        rows: Rows of the pool.
        losers: Lines as `find_duplicates` makes them.
    """
    record = ["row_id", *PLACE]
    nth = pl.int_range(pl.len()).over(record).alias("nth")
    lost = losers.select(record).with_columns(nth)
    return rows.with_columns(nth).join(lost, on=[*record, "nth"], how="anti", maintain_order="left").drop("nth")
