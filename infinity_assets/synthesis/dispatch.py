"""The registry of strategies, and the assignment of seeds to strategies."""

from importlib import import_module

import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.rows.ids import draw
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import STRATEGY_NAMES, Evolution
from infinity_assets.settings.models import Sampling
from infinity_assets.synthesis import strategies
from infinity_assets.synthesis.deficiency import Deficiency
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import WRITTEN, Relation, Strategy

WRITTEN_BY_STRATEGY = pl.Schema({**WRITTEN, "strategy": pl.String})
"""`WRITTEN` with the name of the strategy that the seed was assigned to, or `none`."""


def _load(name: str) -> Strategy:
    """Import a module of `strategies` and return an instance of its only strategy."""
    module = import_module(f"{strategies.__name__}.{name}").__name__
    (strategy,) = (kind() for kind in Strategy.__subclasses__() if kind.__module__ == module)
    return strategy


DEFICIENCY = Deficiency()
STRATEGIES = {name: _load(name) for name in STRATEGY_NAMES}
"""All strategies that the settings can choose, by name."""


def has_relation(*relations: Relation) -> pl.Expr:
    """Return a condition on `operation`: the rewrite has one of these relations to its seed."""
    declared = (pair for strategy in (DEFICIENCY, *STRATEGIES.values()) for pair in strategy.operations.items())
    return pl.col("operation").is_in([operation for operation, relation in declared if relation in relations])


def list_strategies(settings: Evolution) -> list[Strategy]:
    """List the configured strategies, sorted by name."""
    return [STRATEGIES[name] for name in sorted(settings.strategies)]


def list_prompts(settings: Evolution) -> tuple[str, ...]:
    """List the prompt names of `DEFICIENCY` and of the configured strategies, sorted."""
    used = (DEFICIENCY, *list_strategies(settings))
    return tuple(sorted({prompt for strategy in used for prompt in strategy.prompts(settings)}))


def list_settings(settings: Settings) -> tuple[str | Sampling, ...]:
    """List the settings that the configured strategies depend on, except those of evolution, generator and judge."""
    used = list_strategies(settings.chat.evolution)
    return tuple(part for strategy in used for part in strategy.further_settings(settings))


def assign(seeds: pl.DataFrame, settings: Evolution, number: int) -> pl.Series:
    """Assign each seed to a strategy that can use it, in a weighted draw seeded by row id and round (`number`).

    Returns:
        The name of a configured strategy, or `deficiency`, for each seed; null if no strategy can use it.
    """
    lacking = DEFICIENCY.takes & (draw(f"deficiency:{number}", seeds["row_id"]) < settings.deficiency_share)
    weights = [
        pl.when(strategy.takes).then(settings.strategies[strategy.name]).otherwise(0.0).alias(strategy.name)
        for strategy in list_strategies(settings)
    ]
    limits = seeds.select(pl.cum_sum_horizontal(*weights).alias("limits")).unnest("limits")
    point = draw(f"strategy:{number}", seeds["row_id"]) * limits.to_series(-1)
    reached = (pl.when(pl.Series(point < limits[name])).then(pl.lit(name)) for name in limits.columns)
    chosen = pl.when(lacking).then(pl.lit(DEFICIENCY.name)).otherwise(pl.coalesce(*reached))
    return seeds.select(strategy=chosen).to_series()


def write(seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
    """Write an instruction from every seed with the strategy that it is assigned to.

    Returns:
        `WRITTEN_BY_STRATEGY`, in the order of the seeds. A seed that no strategy can use has the error `no_strategy`.

    Raises:
        InfinityError: A strategy wrote two lines for one seed, or an operation that it does not declare.
    """
    evolution = asking.settings.chat.evolution
    assigned = seeds.with_columns(assign(seeds, evolution, number))
    lines = [pl.DataFrame(schema=WRITTEN_BY_STRATEGY)]
    for strategy in (DEFICIENCY, *list_strategies(evolution)):
        own = assigned.filter(pl.col("strategy") == strategy.name).drop("strategy")
        if own.height:
            written = strategy.write(own, asking, number)
            if undeclared := set(written["operation"].drop_nulls()) - {strategy.name, *strategy.operations}:
                raise InfinityError(f"Strategy `{strategy.name}` does not declare its operation `{undeclared.pop()}`.")
            lines.append(written.with_columns(strategy=pl.lit(strategy.name)))
    made = pl.concat(lines)
    if made["row_id"].is_duplicated().any():
        raise InfinityError("A strategy wrote two lines for one seed.")
    result = seeds.select("row_id").join(made, on="row_id", how="left", maintain_order="left")
    no_strategy = pl.when(pl.col("strategy").is_null()).then(pl.lit("no_strategy"))
    # If a strategy failed before its first operation, its name stands for the operation.
    operation = pl.coalesce("operation", "strategy", pl.lit("none"))
    return result.with_columns(
        error=pl.coalesce("error", no_strategy), operation=operation, strategy=pl.col("strategy").fill_null("none")
    )
