"""Conversion of rows to the formats that trainers read."""

from collections.abc import Mapping

import polars as pl

from infinity_assets.rows.conversation import turns_of
from infinity_assets.rows.schema import MESSAGES

_TO_SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}
_TURN = pl.element().struct
_CONVERSATIONS = pl.col("messages").list.eval(
    pl.struct(_TURN.field("role").replace(_TO_SHAREGPT).alias("from"), _TURN.field("content").alias("value"))
)


def cut_masked(rows: pl.DataFrame, *, drop: bool = False) -> pl.DataFrame:
    """Return rows without the answers that must not be learned, for formats in which every answer is learned.

    Args:
        rows: Columns messages and masked_turns (indexes of masked messages, or null), and others.
        drop: Leave out each row with a masked answer. Otherwise the row ends before the request of its first masked
            answer, and is left out if it then has no answer.
    """
    first = pl.col("masked_turns").list.min()
    if drop:
        return rows.filter(first.is_null())
    before = pl.col("messages").list.head(first - 1)
    is_answered = before.list.eval(_TURN.field("role") == "assistant").list.any()
    return rows.filter(first.is_null() | is_answered).with_columns(
        pl.when(first.is_null()).then("messages").otherwise(before).alias("messages"),
        pl.lit(None, rows.schema["masked_turns"]).alias("masked_turns"),
    )


def write_lines(rows: pl.DataFrame) -> bytes:
    """Return rows as JSON lines, without the `weight` of turns that have none.

    Quotes inside a text are escaped, so that no text contains the key.
    """
    return rows.write_ndjson().encode().replace(b',"weight":null', b"")


def _weigh(rows: pl.DataFrame, turns: pl.Expr) -> pl.Series:
    """Return turns (a list of structs) with the field `weight`: 0 for those in `masked_turns`, otherwise null."""
    if "masked_turns" not in rows.columns or rows["masked_turns"].null_count() == rows.height:
        return rows.select(turns).to_series()
    place = pl.int_range(pl.len()).over("row")
    weight = pl.when(place.is_in("masked_turns")).then(pl.lit(0, pl.Int8))
    lines = rows.select(pl.int_range(pl.len()).alias("row"), "masked_turns", turns.alias("turn")).explode("turn")
    weighed = lines.with_columns(weight=weight).group_by("row", maintain_order=True)
    return weighed.agg(pl.col("turn").struct.with_fields(pl.col("weight")))["turn"]


def infinity_instruct(rows: pl.DataFrame, fine: Mapping[str, str], coarse: Mapping[str, str]) -> pl.DataFrame:
    """Return rows in Infinity-Instruct's schema, with the license added.

    Args:
        rows: Columns row_id, messages, source, licence, language, and optionally ability, cate_ability (lists) and
            reward.
        fine: Chinese names of the fine labels. A label without one keeps its English name.
        coarse: Chinese names of the coarse abilities.

    Returns:
        id, conversations (list of {from, value}), label {ability_en, ability_zh, cate_ability_en, cate_ability_zh},
        langdetect, source, reward (a float, as in Infinity-Instruct's releases from 2025 on; null if there is no
        reward), licence. The Chinese lists are as long as the English ones; all are empty if the row has no labels.
    """
    none = pl.lit([], pl.List(pl.String))
    labels = {}
    for column, chinese in (("ability", fine), ("cate_ability", coarse)):
        english = pl.col(column).fill_null(none) if column in rows.columns else none
        labels |= {f"{column}_en": english, f"{column}_zh": english.list.eval(pl.element().replace(chinese))}
    return rows.select(
        pl.col("row_id").alias("id"),
        _CONVERSATIONS.alias("conversations"),
        pl.struct(**labels).alias("label"),
        pl.col("language").alias("langdetect"),
        "source",
        pl.col("reward").cast(pl.Float64) if "reward" in rows.columns else pl.lit(None, pl.Float64).alias("reward"),
        "licence",
    )


def openai_messages(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows in OpenAI's chat format: id and messages, nothing else.

    If rows have `masked_turns`, these messages have the `weight` 0.
    """
    return rows.select(pl.col("row_id").alias("id"), _weigh(rows, pl.col("messages").cast(MESSAGES)).alias("messages"))


def infinity_preference(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return pairs in Infinity-Preference's format: id, prompt (the request), chosen and rejected (messages: the
    request and its answer).
    """
    return pairs.select(
        pl.col("row_id").alias("id"), "prompt", pl.col("chosen").cast(MESSAGES), pl.col("rejected").cast(MESSAGES)
    )


def sharegpt(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows in ShareGPT's format: id and conversations (list of {from, value}: system, human, gpt).

    If rows have `masked_turns`, these turns have the `weight` 0.
    """
    return rows.select(pl.col("row_id").alias("id"), _weigh(rows, _CONVERSATIONS).alias("conversations"))


def alpaca(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows in Alpaca's format, extended to several turns.

    Columns: id, instruction (the last request), input (empty), output (its answer), system (empty if there is no system
    turn), history (earlier pairs of request and answer).
    """
    asked, answered = turns_of("user"), turns_of("assistant")
    pairs = rows.select(asked=asked, answered=answered).iter_rows()
    history = [[list(pair) for pair in zip(*texts, strict=False)][:-1] for texts in pairs]
    return rows.select(
        pl.col("row_id").alias("id"),
        asked.list.last().alias("instruction"),
        pl.lit("").alias("input"),
        answered.list.last().alias("output"),
        turns_of("system").list.first().fill_null("").alias("system"),
        pl.Series("history", history, dtype=pl.List(pl.List(pl.String))),
    )
