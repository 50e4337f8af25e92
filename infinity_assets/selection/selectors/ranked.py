"""Selectors that sort: the rows at one size are the first rows at a larger size."""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.selection.dsir import drawing
from infinity_assets.selection.selectors.verdicts import first_condition, rank_rows
from infinity_assets.settings import Foundation


def random(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take rows at random, seeded by the row id."""
    return rank_rows(frame.with_columns(draw("selector:random", frame["row_id"])), "random", size, [pl.col("draw")], {})


def longest(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take rows by descending length of the answer."""
    return rank_rows(
        frame,
        "longest",
        size,
        [-pl.col("answer_chars").cast(pl.Int64)],
        {"no_answer": pl.col("answer_chars").is_null()},
        ["answer_chars"],
    )


def ifd_column(settings: Foundation) -> str:
    """Return the column of IFD in force."""
    return "ifd" if settings.selectors.ifd_scale == "loss" else "ifd_perplexity"


def ifd_conditions(settings: Foundation) -> dict[str, pl.Expr]:
    """Return the conditions that exclude a row from ranking by IFD: no IFD, or an instruction that does not help."""
    score = pl.col(ifd_column(settings))
    return {"no_ifd": score.is_null(), "instruction_does_not_help": score >= settings.selectors.max_ifd}


def ifd(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take rows by descending IFD, below the bound."""
    column = ifd_column(settings)
    return rank_rows(frame, "ifd", size, [-pl.col(column)], ifd_conditions(settings), [column])


def quality(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take rows by descending judge's score, then by descending IFD (null last)."""
    order = [-pl.col("quality"), -pl.col("ifd")]
    return rank_rows(frame, "quality", size, order, {"no_quality": pl.col("quality").is_null()}, ["quality", "ifd"])


def reward(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take rows by descending quantile of the reward within their domain and language."""
    group = ["domain", "language"]
    known = frame.with_columns(
        (pl.col("reward").rank("max").over(group) / pl.col("reward").count().over(group)).alias("quantile"),
    )
    return rank_rows(
        known, "reward", size, [-pl.col("quantile")], {"no_reward": pl.col("reward").is_null()}, ["reward", "quantile"]
    )


def dsir(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Draw rows by importance weight, without replacement.

    Gumbel top-k in every stratum of length by its share; every domain in proportion to its rows.
    """
    keyed = frame.with_columns(drawing.noisy_keys(frame, "selector:dsir", settings.dsir.top_k))
    parts = [part.with_columns(drawing.order(part)) for part in keyed.partition_by("domain")] or [
        keyed.with_columns(order=pl.lit(0.0))
    ]
    ordered = pl.concat(parts)
    # Weights towards different targets are not comparable, so each domain of the pool gets its share of the rows.
    weighed = pl.col("log_weight").is_not_null()
    seat = pl.struct("order", "row_id").rank("ordinal").over("domain", weighed) / weighed.sum().over("domain")
    return rank_rows(
        ordered.with_columns(seat.alias("seat")),
        "dsir",
        size,
        [pl.col("seat")],
        {"no_weight": ~weighed},
        ["log_weight"],
    )


def retrieval(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take rows by the topics of the benchmarks: every topic gets its share, rows nearest to one of its items first.

    The seats go to the topics by the divisors of Sainte-Lague: among any number of rows each topic has its share, as
    far as it has rows.
    """
    conditions = {
        "no_topic": pl.col("topic").is_null() | pl.col("topic_share").is_null() | pl.col("proximity").is_null(),
        "far_from_benchmarks": pl.col("proximity") < settings.selectors.retrieval_floor,
    }
    turn = (
        pl.struct(-pl.col("proximity"), "row_id").rank("ordinal").over("topic", first_condition(conditions).is_null())
    )
    seat = ((turn - 0.5) / pl.col("topic_share")).alias("seat")
    return rank_rows(frame.with_columns(seat), "retrieval", size, [pl.col("seat")], conditions, ["topic", "proximity"])


def seed_replay(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take the seeds of the chat phase, at random if there are too many."""
    drawn = frame.with_columns(draw("selector:seed_replay", frame["row_id"]))
    return rank_rows(drawn, "seed_replay", size, [pl.col("draw")], {"no_seed": ~pl.col("is_seed").fill_null(False)})
