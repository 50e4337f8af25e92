"""Auto-Evol (arXiv 2406.00770): the model finds a method to rewrite a seed, and revises the rewrite after feedback.

The paper optimizes a single method on a development set. Here, the model finds a method for each seed.
"""

import polars as pl

from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import (
    IS_TEXT,
    Strategy,
    add_step,
    ask_json,
    begin_steps,
    end_steps,
    list_schema,
    text_schema,
)

EVOLVE, ANALYSE, OPTIMISE = "auto_evolve", "auto_analyse", "auto_optimise"
NO_FAILURE = "none"
FAILURES = (NO_FAILURE, "stagnant_complexity", "insufficient_qualification", "loss_of_key_information")
"""Classes of failures of a rewrite, from the paper's section on trajectory analysis."""

_PROPERTIES = {"methods": list_schema(text_schema(80), 2, 3), "request": {"type": "string", "minLength": 1}}


class AutoEvol(Strategy):
    """Rewriting in steps: first by one of the model's own methods, then by the judge's feedback on the last rewrite."""

    operations = {EVOLVE: "in_depth", OPTIMISE: "in_depth"}
    takes = ~IS_TEXT

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of all three prompts, or only of the first if `steps` is 1."""
        return (EVOLVE, ANALYSE, OPTIMISE)[: 3 if settings.steps > 1 else 1]

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Rewrite each seed at most `steps` times. After a failed step, the previous rewrite is kept."""
        settings = asking.settings.chat.evolution
        asked = seeds.rename({"seed": "request"})
        shape = {"methods": pl.List(pl.String), "request": pl.String}
        first = ask_json(asking, EVOLVE, asked, _PROPERTIES, shape).rename({"request": "text"})
        state = add_step(begin_steps(asked), first.with_columns(finish_reason=pl.lit(None, pl.String)), EVOLVE)
        for _ in range(settings.steps - 1):
            failing = self._analyze(state.filter("wrote").with_columns(rewrite="current"), asking)
            answers = asking.write(OPTIMISE, failing, settings.sampling, progress_label="optimise")
            state = add_step(state, answers, OPTIMISE)
        return end_steps(state)

    @staticmethod
    def _analyze(tried: pl.DataFrame, asking: Asking) -> pl.DataFrame:
        """Return the rewrites in which the judge finds a failure, with the column `feedback`."""
        shape = {"failure": pl.String, "feedback": pl.String}
        properties = {"failure": {"type": "string", "enum": list(FAILURES)}, "feedback": text_schema(300)}
        analyses = ask_json(asking, ANALYSE, tried, properties, shape, by=asking.settings.models.judge)
        failing = analyses.filter(pl.col("failure") != NO_FAILURE).select("row_id", "feedback")
        return tried.join(failing, on="row_id", maintain_order="left")
