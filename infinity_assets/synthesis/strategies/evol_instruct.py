"""Evol-Instruct (arXiv 2304.12244): one rewriting operator per seed and round, drawn by row id."""

from typing import get_args

import polars as pl

from infinity_assets.settings.chat import Evolution, Operator
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import IS_TEXT, Strategy, draw_place, to_written

FROM_TEXT = "request_from_text"
"""Name of the prompt that asks for an instruction about the subject of a text."""


class EvolInstruct(Strategy):
    """A request rewritten by one of the configured operators, or a new request about the subject of a text."""

    operations = {
        **{f"evolve_{operator}": "in_depth" for operator in get_args(Operator)},
        "evolve_breadth": "in_breadth",
        FROM_TEXT: "new",
    }
    takes = pl.lit(True)

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of the operators' prompts and of the prompt for texts."""
        return (*operators(settings), FROM_TEXT)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Apply one operator, or the prompt for texts, to each seed."""
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
    """Return the prompt names of the configured operators. An operator that is listed twice is drawn twice as often."""
    return tuple(f"evolve_{operator}" for operator in settings.operators)


def assign(seeds: pl.DataFrame, operators: tuple[str, ...], number: int) -> pl.Series:
    """Draw an operator's prompt name for each seed (row_id, kind) in round `number`. A text always gets `FROM_TEXT`."""
    drawn = pl.lit(pl.Series(operators, dtype=pl.String)).gather(draw_place(seeds, f"evolve:{number}", len(operators)))
    return seeds.select(operator=pl.when(IS_TEXT).then(pl.lit(FROM_TEXT)).otherwise(drawn)).to_series()
