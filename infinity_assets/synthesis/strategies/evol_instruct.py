"""Evol-Instruct (arXiv 2304.12244): one rewriting operator per seed and round, drawn by row id."""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, as_written

FROM_TEXT = "request_from_text"
"""The prompt that writes an instruction about a passage."""


class EvolInstruct(Strategy):
    """The operators of the settings; a request about its subject where the seed is a text."""

    name = "evol_instruct"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """One for each operator, and the one for texts."""
        return (*operators(settings), FROM_TEXT)

    def takes(self) -> pl.Expr:
        """All seeds."""
        return pl.lit(True)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """One operator per seed."""
        evolution = asking.settings.chat.evolution
        drawn = seeds.with_columns(assign(seeds, operators(evolution), number))
        rows = {
            operator: some.rename({"seed": "text" if operator == FROM_TEXT else "request"})
            for operator in dict.fromkeys(self.prompts(evolution))
            if (some := drawn.filter(pl.col("operator") == operator)).height
        }
        return as_written(asking.write_each(rows, evolution.sampling, told="evolve").rename({"prompt": "operation"}))


def operators(settings: Evolution) -> tuple[str, ...]:
    """The prompts of the operators in force. One that is named twice is drawn twice as often."""
    return tuple(f"evolve_{operator}" for operator in settings.operators)


def assign(seeds: pl.DataFrame, operators: tuple[str, ...], number: int) -> pl.Series:
    """The operator of every seed.

    Args:
        seeds: Columns row_id and kind.
        operators: Names of prompts.
        number: The round, from 1.

    Returns:
        Prompt names, in the order of the seeds.
    """
    place = (draw(f"evolve:{number}", seeds["row_id"]) * len(operators)).floor().cast(pl.Int64)
    drawn = pl.Series(operators, dtype=pl.String).gather(place).alias("operator")
    return seeds.select(pl.when(IS_TEXT).then(pl.lit(FROM_TEXT)).otherwise(drawn).alias("operator")).to_series()
