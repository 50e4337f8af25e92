"""Magpie (arXiv 2406.08464): the model is given its own chat template up to where a user's words begin, and writes them itself."""

import polars as pl

from infinity_assets import prompts
from infinity_assets.errors import InfinityError
from infinity_assets.inference.batch import seed_of
from infinity_assets.inference.requests import CompleteRequest
from infinity_assets.inference.weights.tokens import user_turn
from infinity_assets.locations import models_dir
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.metadata import about
from infinity_assets.synthesis.strategies.strategy import Strategy, as_written

PROMPT = "magpie"
"""Its one turn is the system prompt."""


class Magpie(Strategy):
    """What the generator itself expects a user to ask, in the field of the seed."""

    name = "magpie"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """The system prompt."""
        return (PROMPT,)

    def takes(self) -> pl.Expr:
        """All seeds: of a seed only domain, labels and language are used."""
        return pl.lit(True)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """A user's turn for each seed.

        Raises:
            InfinityError: The generator runs on a server, or its chat template has no place for a system prompt.
        """
        spec, sampling = asking.settings.models.generator, asking.settings.chat.evolution.sampling
        if spec.backend == "openai":
            raise InfinityError(
                f"Strategy `magpie` needs the generator's chat template: {spec.model} runs on a server ({spec.base_url}), which does not tell it."
            )
        if seeds.is_empty():
            return as_written(seeds.select("row_id"), self.name)
        turn, wording = user_turn(spec, models_dir()), prompts.both(PROMPT, asking.settings.prompts_dir)
        requests = []
        for row_id, language, domain, labels in (
            about(seeds).select("row_id", "language", "domain", "skills").iter_rows()
        ):
            prompt = wording.of(language)
            system = prompt.turns[-1].filled({"domain": domain, "labels": labels})
            seed = seed_of(f"{asking.stage}:{self.name}", row_id) if sampling.temperature > 0 else None
            requests.append(
                CompleteRequest(row_id, prompt.label, prompt.hash, turn.before(system), sampling, turn.stops, seed)
            )
        said = asking.inference.complete(spec, requests, self.name).frame
        return as_written(said.with_columns(pl.col("text").str.strip_chars()), self.name)
