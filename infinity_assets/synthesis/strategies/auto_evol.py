"""Auto-Evol (arXiv 2406.00770): the model finds the way to evolve a seed itself, is told what failed, and tries again.

The paper optimises one method over a development set; here every seed has its own steps, so that none waits for others.
"""

import polars as pl

from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.steps import advance, begin, finish
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, ask_json, words

EVOLVE, ANALYSE, OPTIMISE = "auto_evolve", "auto_analyse", "auto_optimise"
NO_FAILURE = "none"
FAILURES = (NO_FAILURE, "stagnant_complexity", "insufficient_qualification", "loss_of_key_information")
"""Classes of what goes wrong in a trajectory. (The paper's, of its section on trajectory analysis.)"""

_METHODS = {"type": "array", "items": words(80), "minItems": 2, "maxItems": 3}


class AutoEvol(Strategy):
    """Step 1: list methods and rewrite by the best. Each later step: the judge says what failed, and the generator rewrites again."""

    name = "auto_evol"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """All three, or the first alone where there is one step."""
        return (EVOLVE, ANALYSE, OPTIMISE)[: 3 if settings.steps > 1 else 1]

    def takes(self) -> pl.Expr:
        """Requests."""
        return ~IS_TEXT

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """At most `steps` rewrites of each seed; a step that fails leaves what was written before it."""
        settings = asking.settings.chat.evolution
        asked = seeds.rename({"seed": "request"})
        shape = pl.Schema({"methods": pl.List(pl.String), "request": pl.String})
        first = ask_json(
            asking, EVOLVE, asked, {"methods": _METHODS, "request": {"type": "string", "minLength": 1}}, shape
        ).rename({"request": "text"})
        state = advance(begin(asked), first.with_columns(finish_reason=pl.lit(None, pl.String)), EVOLVE)
        for _ in range(settings.steps - 1):
            failing = self._analysed(state.filter("wrote").with_columns(rewrite="current"), asking)
            state = advance(state, asking.write(OPTIMISE, failing, settings.sampling, told="optimise"), OPTIMISE)
        return finish(state)

    @staticmethod
    def _analysed(tried: pl.DataFrame, asking: Asking) -> pl.DataFrame:
        """Those of which the judge says that something failed, with its `feedback`."""
        shape = pl.Schema({"failure": pl.String, "feedback": pl.String})
        properties = {"failure": {"type": "string", "enum": list(FAILURES)}, "feedback": words(300)}
        said = ask_json(asking, ANALYSE, tried, properties, shape, by=asking.settings.models.judge)
        return tried.join(
            said.filter(pl.col("failure") != NO_FAILURE).select("row_id", "feedback"),
            on="row_id",
            maintain_order="left",
        )
