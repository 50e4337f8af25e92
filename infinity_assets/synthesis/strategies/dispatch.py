"""All strategies, and the assignment of seeds to them."""

from itertools import accumulate

import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution, StrategyName
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies import deficiency
from infinity_assets.synthesis.strategies.auto_evol import AutoEvol
from infinity_assets.synthesis.strategies.evol_instruct import EvolInstruct
from infinity_assets.synthesis.strategies.magpie import Magpie
from infinity_assets.synthesis.strategies.self_code_align import SelfCodeAlign
from infinity_assets.synthesis.strategies.self_rubrics import SelfRubrics
from infinity_assets.synthesis.strategies.strategy import WRITTEN, Strategy
from infinity_assets.synthesis.strategies.syllabus import Syllabus
from infinity_assets.synthesis.strategies.task_from_text import TaskFromText

STRATEGIES: dict[StrategyName, Strategy] = {
    strategy.name: strategy
    for strategy in (EvolInstruct(), AutoEvol(), SelfRubrics(), Magpie(), TaskFromText(), SelfCodeAlign(), Syllabus())
}
"""Strategies by name."""

WRITTEN_BY_STRATEGY = pl.Schema({**WRITTEN, "strategy": pl.String})
"""`WRITTEN` with the strategy that the seed was assigned to: a name, `deficiency`, or `none`."""


def list_strategies(settings: Evolution) -> list[Strategy]:
    """List the strategies of the settings."""
    return [STRATEGIES[name] for name in sorted(settings.strategies)]


def list_prompts(settings: Evolution) -> tuple[str, ...]:
    """List the prompts of all strategies of the settings, by name."""
    lacking = {deficiency.OPERATION} if settings.deficiency_share > 0 else set()
    return tuple(sorted(lacking.union(*(strategy.prompts(settings) for strategy in list_strategies(settings)))))


def assign(seeds: pl.DataFrame, settings: Evolution, number: int) -> pl.Series:
    """Assign each seed by row id to one of the strategies that can use it, in proportion to their weights.

    Args:
        seeds: `SEEDS`.
        settings: Settings with names and weights of the strategies.
        number: Number of the round, from 1.

    Returns:
        The name of a strategy per seed, null if no strategy can use it.
    """
    weights = [
        pl.when(strategy.takes()).then(settings.strategies[strategy.name]).otherwise(0.0).alias(strategy.name)
        for strategy in list_strategies(settings)
    ]
    table = seeds.select(*weights)
    point = draw(f"strategy:{number}", seeds["row_id"]) * table.sum_horizontal()
    reached = list(accumulate((table[name] for name in table.columns), lambda total, weight: total + weight))
    assigned = pl.coalesce(
        *(
            pl.when(pl.Series(point < limit)).then(pl.lit(name))
            for name, limit in zip(table.columns, reached, strict=True)
        )
    )
    return seeds.select(assigned.alias("strategy")).to_series()


def write(seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
    """Write an instruction for every seed: from its deficiency if it is drawn for that, else by its strategy.

    Returns:
        `WRITTEN_BY_STRATEGY`, one line per seed, in their order. A seed that no strategy can use has the error
        `no_strategy`.
    """
    evolution = asking.settings.chat.evolution
    lacking = deficiency.mark_seeds(seeds, evolution, number)
    others = seeds.filter(~lacking)
    named = others.with_columns(assign(others, evolution, number))
    written = [_add_strategy(deficiency.write(seeds.filter(lacking), asking), "deficiency")] if lacking.any() else []
    for strategy in list_strategies(evolution):
        own = named.filter(pl.col("strategy") == strategy.name).drop("strategy")
        if own.height:
            written.append(_add_strategy(strategy.write(own, asking, number), strategy.name))
    lines = pl.concat([pl.DataFrame(schema=WRITTEN_BY_STRATEGY), *written])
    if lines["row_id"].is_duplicated().any():
        raise InfinityError("A strategy wrote two lines for one seed.")
    result = seeds.select("row_id").join(lines, on="row_id", how="left", maintain_order="left")
    no_strategy = pl.when(pl.col("strategy").is_null()).then(pl.lit("no_strategy"))
    # The operation of a strategy that failed before its first operation is its name.
    operation = pl.coalesce("operation", "strategy", pl.lit("none"))
    return result.with_columns(
        error=pl.coalesce("error", no_strategy), operation=operation, strategy=pl.col("strategy").fill_null("none")
    )


def _add_strategy(written: pl.DataFrame, strategy: str) -> pl.DataFrame:
    return written.with_columns(strategy=pl.lit(strategy)).select(
        pl.col(name).cast(dtype) for name, dtype in WRITTEN_BY_STRATEGY.items()
    )
