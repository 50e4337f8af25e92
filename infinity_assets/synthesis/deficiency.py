"""New requests that address the deficiencies found by the diagnosis of the previous round."""

import polars as pl

from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import IS_TEXT, Strategy, to_written

PROMPT = "request_from_deficiency"


class Deficiency(Strategy):
    """A new request in the seed's field whose answer needs the ability that the students' answers to the seed lacked.

    This strategy is not chosen by its name in the settings. It gets the share `deficiency_share` of the seeds with a
    deficiency, and the configured strategies get all other seeds.
    """

    operations = {PROMPT: "new"}
    takes = ~IS_TEXT & (pl.col("deficiency").fill_null("").str.strip_chars() != "")

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the name of the prompt, or an empty tuple if `deficiency_share` is 0."""
        return (PROMPT,) if settings.deficiency_share > 0 else ()

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write a request for each seed."""
        rows = seeds.rename({"seed": "request"})
        sampling = asking.settings.chat.evolution.sampling
        return to_written(asking.write(PROMPT, rows, sampling, progress_label="evolve"), PROMPT)
