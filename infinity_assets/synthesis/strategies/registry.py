"""All strategies, and which of them a seed goes to."""

from itertools import accumulate

import polars as pl

from infinity_assets.chat_settings import Evolution, StrategyName
from infinity_assets.errors import InfinityError
from infinity_assets.rows.ids import draw
from infinity_assets.synthesis.asking import Asking
from infinity_assets.synthesis.strategies.evol_instruct import EvolInstruct
from infinity_assets.synthesis.strategies.strategy import WRITTEN, Strategy

STRATEGIES: dict[StrategyName, Strategy] = {strategy.name: strategy for strategy in (EvolInstruct(),)}
"""By name."""


def chosen(settings: Evolution) -> list[Strategy]:
    """The strategies of the settings."""
    return [STRATEGIES[name] for name in sorted(settings.strategies)]


def prompts_of(settings: Evolution) -> tuple[str, ...]:
    """The names of all prompts that they ask with."""
    return tuple(sorted({name for strategy in chosen(settings) for name in strategy.prompts(settings)}))


def assign(seeds: pl.DataFrame, settings: Evolution, number: int) -> pl.Series:
    """The strategy of every seed, drawn by row id among those that can use it, each as likely as its weight; null where none can.

    Args:
        seeds: `SEEDS`.
        settings: Names and weights.
        number: The round, from 1.
    """
    weights = [
        pl.when(strategy.takes()).then(settings.strategies[strategy.name]).otherwise(0.0).alias(strategy.name)
        for strategy in chosen(settings)
    ]
    table = seeds.select(*weights)
    point = draw(f"strategy:{number}", seeds["row_id"]) * table.sum_horizontal()
    reached = list(accumulate((table[name] for name in table.columns), lambda sofar, weight: sofar + weight))
    found = pl.coalesce(*(pl.when(pl.Series(point < upto)).then(pl.lit(name)) for name, upto in zip(table.columns, reached, strict=True)))
    return seeds.select(found.alias("strategy")).to_series()


def write(seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
    """`WRITTEN`, one line per seed, by the strategy that it goes to; a seed that none can use has the error `no_strategy`."""
    evolution = asking.settings.chat.evolution
    named = seeds.with_columns(assign(seeds, evolution, number))
    written = [
        strategy.write(some, asking, number).select(pl.col(name).cast(dtype) for name, dtype in WRITTEN.items())
        for strategy in chosen(evolution)
        if (some := named.filter(pl.col("strategy") == strategy.name)).height
    ]
    found = pl.concat([pl.DataFrame(schema=WRITTEN), *written])
    if found["row_id"].is_duplicated().any():
        raise InfinityError("A strategy wrote two lines for one seed.")
    told = named.select("row_id").join(found, on="row_id", how="left", maintain_order="left")
    nobody = pl.when(pl.col("operation").is_null()).then(pl.lit("no_strategy"))
    return told.with_columns(error=pl.coalesce("error", nobody), operation=pl.col("operation").fill_null("none"))
