"""Rows in the forms that trainers read."""

from collections.abc import Mapping

import polars as pl

from infinity_assets.rows.conversation import turns_of
from infinity_assets.rows.schema import MESSAGES

_TO_SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}
_TURN = pl.element().struct
_CONVERSATIONS = (
    pl.col("messages")
    .list.eval(
        pl.struct(_TURN.field("role").replace(_TO_SHAREGPT).alias("from"), _TURN.field("content").alias("value"))
    )
    .alias("conversations")
)


def infinity_instruct(rows: pl.DataFrame, fine: Mapping[str, str], coarse: Mapping[str, str]) -> pl.DataFrame:
    """Infinity-Instruct's own schema, with the licence added.

    Args:
        rows: row_id, messages, source, licence, language; ability and cate_ability (lists) may be null. reward where there is one.
        fine: Chinese names of the fine labels. One that has none keeps the English name.
        coarse: Chinese names of the coarse abilities.

    Returns:
        id, conversations (list of {from, value}), label {ability_en, ability_zh, cate_ability_en, cate_ability_zh}, langdetect, source, reward (a
        float, as in Infinity-Instruct's releases from 2025 on; null where there is none), licence. The Chinese lists are looked up and always as long
        as the English ones; all are empty where the row was not labelled.
    """
    labels = {}
    for column, chinese in (("ability", fine), ("cate_ability", coarse)):
        english = pl.col(column).fill_null(pl.lit([], dtype=pl.List(pl.String)))
        labels |= {f"{column}_en": english, f"{column}_zh": english.list.eval(pl.element().replace(chinese))}
    return rows.select(
        pl.col("row_id").alias("id"),
        _CONVERSATIONS,
        pl.struct(**labels).alias("label"),
        pl.col("language").alias("langdetect"),
        "source",
        pl.col("reward").cast(pl.Float64) if "reward" in rows.columns else pl.lit(None, pl.Float64).alias("reward"),
        "licence",
    )


def openai_messages(rows: pl.DataFrame) -> pl.DataFrame:
    """OpenAI's chat form: id and messages, nothing else."""
    return rows.select(pl.col("row_id").alias("id"), pl.col("messages").cast(MESSAGES))


def infinity_preference(pairs: pl.DataFrame) -> pl.DataFrame:
    """Infinity-Preference's form: id, prompt (the request), chosen and rejected (messages: the request and its answer).

    Args:
        pairs: row_id, prompt, chosen, rejected.
    """
    return pairs.select(
        pl.col("row_id").alias("id"), "prompt", pl.col("chosen").cast(MESSAGES), pl.col("rejected").cast(MESSAGES)
    )


def sharegpt(rows: pl.DataFrame) -> pl.DataFrame:
    """ShareGPT's form: id and conversations (list of {from, value}: system, human, gpt)."""
    return rows.select(pl.col("row_id").alias("id"), _CONVERSATIONS)


def alpaca(rows: pl.DataFrame) -> pl.DataFrame:
    """Alpaca's form, as it is extended to several turns: id, instruction (the last request), input (empty), output (its answer), system (empty
    where there is none), history (earlier pairs of request and answer).
    """
    asked, answered = turns_of("user"), turns_of("assistant")
    earlier = rows.select(
        asked.list.head(asked.list.len() - 1).alias("asked"),
        answered.list.head(answered.list.len() - 1).alias("answered"),
    )
    history = [[list(pair) for pair in zip(*row, strict=True)] for row in earlier.iter_rows()]
    return rows.select(
        pl.col("row_id").alias("id"),
        asked.list.last().alias("instruction"),
        pl.lit("").alias("input"),
        answered.list.last().alias("output"),
        turns_of("system").list.first().fill_null("").alias("system"),
        pl.Series("history", history, dtype=pl.List(pl.List(pl.String))),
    )


def with_labels(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the columns of labels that `infinity_instruct` reads; null where their asset has none."""
    dtype = pl.List(pl.String)
    return rows.with_columns(
        pl.lit(None, dtype).alias(name) for name in ("cate_ability", "ability") if name not in rows.columns
    )
