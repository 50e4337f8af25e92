"""Magpie (arXiv 2406.08464): the model continues its chat template at the position where the user's message begins."""

import polars as pl

from infinity_assets import prompts
from infinity_assets.errors import InfinityError
from infinity_assets.inference.batch import seed_of
from infinity_assets.inference.requests import CompleteRequest
from infinity_assets.inference.weights.tokens import read_user_turn
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import Strategy, add_metadata, to_written

PROMPT = "magpie"
"""Name of the prompt whose only turn serves as the system prompt."""


class Magpie(Strategy):
    """A request that the generator expects from a user, in the domain and with the labels of the seed."""

    operations = {"magpie": "new"}
    takes = pl.lit(True)  # the strategy reads only domain, labels and language of a seed

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the name of the prompt."""
        return (PROMPT,)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write a user's message for each seed.

        Raises:
            InfinityError: The generator runs on a server, or its chat template has no place for a system prompt.
        """
        spec, sampling = asking.settings.models.generator, asking.settings.chat.evolution.sampling
        if spec.backend == "openai":
            raise InfinityError(
                f"Strategy `magpie` needs the generator's chat template, but {spec.model} runs on a server"
                f" ({spec.base_url}), which does not provide it."
            )
        if seeds.is_empty():
            return to_written(seeds.select("row_id"), self.name)
        turn = read_user_turn(spec, asking.inference.weights_folder)
        wording = prompts.load_bilingual(PROMPT, asking.settings.prompts_dir)
        requests = []
        described = add_metadata(seeds).select("row_id", "language", "domain", "skills")
        for row_id, language, domain, labels in described.iter_rows():
            prompt = wording.choose(language)
            system = prompt.turns[-1].fill({"domain": domain, "labels": labels})
            seed = seed_of(f"{asking.stage}:{self.name}", row_id) if sampling.temperature > 0 else None
            requests.append(
                CompleteRequest(row_id, prompt.label, prompt.hash, turn.before(system), sampling, turn.stops, seed)
            )
        answers = asking.inference.complete(spec, requests, self.name).frame
        return to_written(answers.with_columns(pl.col("text").str.strip_chars()), self.name)
