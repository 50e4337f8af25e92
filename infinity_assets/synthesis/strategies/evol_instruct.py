"""Evol-Instruct (arXiv 2304.12244): one rewriting operator per seed and round, drawn by row id."""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, to_written

FROM_TEXT = "request_from_text"
"""Prompt that writes an instruction about a passage."""


class EvolInstruct(Strategy):
    """One operator of the settings per request, or a request about the subject of a text."""

    name = "evol_instruct"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the prompts of the operators and the prompt for texts."""
        return (*operators(settings), FROM_TEXT)

    def takes(self) -> pl.Expr:
        """Select all seeds."""
        return pl.lit(True)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Apply one operator to each seed."""
        evolution = asking.settings.chat.evolution
        drawn = seeds.with_columns(assign(seeds, operators(evolution), number))
        rows = {
            operator: frame.rename({"seed": "text" if operator == FROM_TEXT else "request"})
            for operator in dict.fromkeys(self.prompts(evolution))
            if (frame := drawn.filter(pl.col("operator") == operator)).height
        }
        return to_written(
            asking.write_each(rows, evolution.sampling, progress_label="evolve").rename({"prompt": "operation"})
        )


def operators(settings: Evolution) -> tuple[str, ...]:
    """Return the prompts of the settings' operators. A repeated operator is drawn twice as often."""
    return tuple(f"evolve_{operator}" for operator in settings.operators)


def assign(seeds: pl.DataFrame, operators: tuple[str, ...], number: int) -> pl.Series:
    """Draw an operator for each seed.

    Args:
        seeds: row_id and kind.
        operators: Names of the operators' prompts.
        number: Number of the round, from 1.

    Returns:
        One prompt name per seed, in their order.
    """
    place = (draw(f"evolve:{number}", seeds["row_id"]) * len(operators)).floor().cast(pl.Int64)
    drawn = pl.Series(operators, dtype=pl.String).gather(place).alias("operator")
    return seeds.select(pl.when(IS_TEXT).then(pl.lit(FROM_TEXT)).otherwise(drawn).alias("operator")).to_series()
