"""Requests for what the students lack, which carry one round's diagnosis into the next."""

import polars as pl

from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import IS_TEXT, Strategy, to_written

PROMPT = "request_from_deficiency"


class Deficiency(Strategy):
    """A request in each seed's field that requires what the students' answers to the seed lacked.

    The settings cannot choose it like a strategy. It gets the share `deficiency_share` of the seeds with a deficiency;
    the strategies get the rest.
    """

    operations = {PROMPT: "new"}
    takes = ~IS_TEXT & (pl.col("deficiency").fill_null("").str.strip_chars() != "")

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the name of the prompt, or nothing if no seed can be drawn."""
        return (PROMPT,) if settings.deficiency_share > 0 else ()

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write a request for each seed."""
        rows = seeds.rename({"seed": "request"})
        sampling = asking.settings.chat.evolution.sampling
        return to_written(asking.write(PROMPT, rows, sampling, progress_label="evolve"), PROMPT)
