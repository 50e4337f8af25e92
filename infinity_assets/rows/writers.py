"""Rows in the forms that trainers read."""

import polars as pl

from infinity_assets.rows.schema import MESSAGES

_TO_SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}


def infinity_instruct(rows: pl.DataFrame, chinese: dict[str, str]) -> pl.DataFrame:
    """Infinity-Instruct's own schema, with the licence added.

    Args:
        rows: row_id, messages, source, licence, language; cate_ability and ability may be null.
        chinese: Chinese names of the coarse abilities.

    Returns:
        id, conversations (list of {from, value}), label {ability_en, cate_ability_en, cate_ability_zh}, langdetect, source, licence. The
        coarse lists have one entry, or none where the row was not labelled, and always the same length.
    """
    turn = pl.element().struct
    sharegpt = pl.struct(turn.field("role").replace(_TO_SHAREGPT).alias("from"), turn.field("content").alias("value"))
    coarse = pl.concat_list("cate_ability").list.drop_nulls()
    return rows.select(
        pl.col("row_id").alias("id"),
        pl.col("messages").list.eval(sharegpt).alias("conversations"),
        pl.struct(
            ability_en=pl.col("ability").fill_null(pl.lit([], dtype=pl.List(pl.String))),
            cate_ability_en=coarse,
            cate_ability_zh=coarse.list.eval(pl.element().replace(chinese)),
        ).alias("label"),
        pl.col("language").alias("langdetect"),
        "source",
        "licence",
    )


def openai_messages(rows: pl.DataFrame) -> pl.DataFrame:
    """OpenAI's chat form: id and messages, nothing else."""
    return rows.select(pl.col("row_id").alias("id"), pl.col("messages").cast(MESSAGES))
