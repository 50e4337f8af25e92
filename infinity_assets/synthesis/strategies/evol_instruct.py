"""Evol-Instruct (arXiv 2304.12244): one rewriting operator per seed and round, drawn by row id."""

import polars as pl

from infinity_assets.chat_settings import Evolution
from infinity_assets.rows.ids import draw
from infinity_assets.synthesis.asking import Asking
from infinity_assets.synthesis.strategies.strategy import WRITTEN, Strategy

FROM_TEXT = "request_from_text"
"""The prompt that writes an instruction about a passage."""


class EvolInstruct(Strategy):
    """The operators of the settings; a request about its subject where the seed is a text."""

    name = "evol_instruct"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """One for each operator, and the one for texts."""
        return (*(f"evolve_{operator}" for operator in settings.operators), FROM_TEXT)

    def takes(self) -> pl.Expr:
        """All seeds."""
        return pl.lit(True)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """One operator per seed."""
        evolution = asking.settings.chat.evolution
        drawn = seeds.with_columns(assign(seeds, self.prompts(evolution)[:-1], number))
        written = [
            asking.write(
                operator,
                some.rename({"seed": "text" if operator == FROM_TEXT else "request"}),
                evolution.sampling,
                told="evolve",
            ).with_columns(operation=pl.lit(operator))
            for operator in self.prompts(evolution)
            if (some := drawn.filter(pl.col("operator") == operator)).height
        ]
        empty = pl.DataFrame(schema=WRITTEN)
        return pl.concat([empty, *(part.with_columns(tests=pl.lit(None, pl.String)).select(list(WRITTEN)) for part in written)])


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
    drawn = pl.Series(operators).gather(place).alias("operator")
    return seeds.select(pl.when(pl.col("kind") == "text").then(pl.lit(FROM_TEXT)).otherwise(drawn).alias("operator")).to_series()
