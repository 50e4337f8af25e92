"""Selectors that sort: the rows they take at a size are the first of those they take at a larger one."""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.selection.dsir import drawing
from infinity_assets.selection.selectors.verdicts import by_order, lacking
from infinity_assets.settings import Foundation


def random(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """By lot, seeded by the row id."""
    return by_order(frame.with_columns(draw("selector:random", frame["row_id"])), "random", size, [pl.col("draw")], {})


def longest(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """By the length of the answer, longest first."""
    return by_order(
        frame,
        "longest",
        size,
        [-pl.col("answer_chars").cast(pl.Int64)],
        {"no_answer": pl.col("answer_chars").is_null()},
        ["answer_chars"],
    )


def ifd_column(settings: Foundation) -> str:
    """The column of IFD in force."""
    return "ifd" if settings.selectors.ifd_scale == "loss" else "ifd_perplexity"


def ifd_conditions(settings: Foundation) -> dict[str, pl.Expr]:
    """Rows that cannot be ranked by IFD: it is not known, or the instruction does not help."""
    score = pl.col(ifd_column(settings))
    return {"no_ifd": score.is_null(), "instruction_does_not_help": score >= settings.selectors.max_ifd}


def ifd(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """By IFD, highest first, below the bound."""
    column = ifd_column(settings)
    return by_order(frame, "ifd", size, [-pl.col(column)], ifd_conditions(settings), [column])


def quality(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """By the judge's score, then by IFD (unknown last), highest first."""
    order = [-pl.col("quality"), -pl.col("ifd")]
    return by_order(frame, "quality", size, order, {"no_quality": pl.col("quality").is_null()}, ["quality", "ifd"])


def reward(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """By the share of the rows of the same domain and language whose reward is not higher."""
    group = ["domain", "language"]
    known = frame.with_columns(
        (pl.col("reward").rank("max").over(group) / pl.col("reward").count().over(group)).alias("quantile"),
    )
    return by_order(
        known, "reward", size, [-pl.col("quantile")], {"no_reward": pl.col("reward").is_null()}, ["reward", "quantile"]
    )


def dsir(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """By importance weight, drawn without replacement: Gumbel top-k in every stratum of length, by its share; every domain in proportion."""
    keyed = frame.with_columns(drawing.noisy_keys(frame, "selector:dsir", settings.dsir.top_k))
    parts = [part.with_columns(drawing.order(part)) for part in keyed.partition_by("domain")] or [
        keyed.with_columns(order=pl.lit(0.0))
    ]
    ordered = pl.concat(parts)
    # Weights towards different targets are not comparable: of a pool of several domains each has its share of the rows.
    weighed = pl.col("log_weight").is_not_null()
    seat = pl.struct("order", "row_id").rank("ordinal").over("domain", weighed) / weighed.sum().over("domain")
    return by_order(
        ordered.with_columns(seat.alias("seat")),
        "dsir",
        size,
        [pl.col("seat")],
        {"no_weight": ~weighed},
        ["log_weight"],
    )


def retrieval(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """By the topics of the benchmarks: every topic takes its share, the rows nearest to one of its items first.

    The seats go to the topics by the divisors of Sainte-Lague: of any number of rows each topic has its share, as far as it has rows.
    """
    conditions = {
        "no_topic": pl.col("topic").is_null() | pl.col("topic_share").is_null() | pl.col("proximity").is_null(),
        "far_from_benchmarks": pl.col("proximity") < settings.selectors.retrieval_floor,
    }
    turn = pl.struct(-pl.col("proximity"), "row_id").rank("ordinal").over("topic", lacking(conditions).is_null())
    seat = ((turn - 0.5) / pl.col("topic_share")).alias("seat")
    return by_order(frame.with_columns(seat), "retrieval", size, [pl.col("seat")], conditions, ["topic", "proximity"])


def seed_replay(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """The seeds of the chat phase, by lot where there are too many."""
    drawn = frame.with_columns(draw("selector:seed_replay", frame["row_id"]))
    return by_order(drawn, "seed_replay", size, [pl.col("draw")], {"no_seed": ~pl.col("is_seed").fill_null(False)})
