"""All strategies, and which of them a seed goes to."""

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
"""By name."""

TOLD = pl.Schema({**WRITTEN, "strategy": pl.String})
"""What came of a seed, and who was to make it: a strategy, `deficiency`, or `none`."""


def chosen(settings: Evolution) -> list[Strategy]:
    """The strategies of the settings."""
    return [STRATEGIES[name] for name in sorted(settings.strategies)]


def prompts_of(settings: Evolution) -> tuple[str, ...]:
    """The names of all prompts that they ask with."""
    lacking = {deficiency.OPERATION} if settings.deficiency_share > 0 else set()
    return tuple(sorted(lacking.union(*(strategy.prompts(settings) for strategy in chosen(settings)))))


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
    found = pl.coalesce(
        *(
            pl.when(pl.Series(point < upto)).then(pl.lit(name))
            for name, upto in zip(table.columns, reached, strict=True)
        )
    )
    return seeds.select(found.alias("strategy")).to_series()


def write(seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
    """`TOLD`, one line per seed, in their order: from its deficiency where it is drawn for that, else by the strategy that it goes to. A seed that
    none can use has the error `no_strategy`.
    """
    evolution = asking.settings.chat.evolution
    lacking = deficiency.goes_here(seeds, evolution, number)
    others = seeds.filter(~lacking)
    named = others.with_columns(assign(others, evolution, number))
    written = [_told(deficiency.write(seeds.filter(lacking), asking), "deficiency")] if lacking.any() else []
    for strategy in chosen(evolution):
        some = named.filter(pl.col("strategy") == strategy.name).drop("strategy")
        if some.height:
            written.append(_told(strategy.write(some, asking, number), strategy.name))
    found = pl.concat([pl.DataFrame(schema=TOLD), *written])
    if found["row_id"].is_duplicated().any():
        raise InfinityError("A strategy wrote two lines for one seed.")
    told = seeds.select("row_id").join(found, on="row_id", how="left", maintain_order="left")
    nobody = pl.when(pl.col("strategy").is_null()).then(pl.lit("no_strategy"))
    # A strategy that asked in vain before it had an operation is the operation.
    operation = pl.coalesce("operation", "strategy", pl.lit("none"))
    return told.with_columns(
        error=pl.coalesce("error", nobody), operation=operation, strategy=pl.col("strategy").fill_null("none")
    )


def _told(written: pl.DataFrame, strategy: str) -> pl.DataFrame:
    return written.with_columns(strategy=pl.lit(strategy)).select(
        pl.col(name).cast(dtype) for name, dtype in TOLD.items()
    )
