"""The judge, as every asset calls it."""

import polars as pl

from infinity_assets import prompts
from infinity_assets.defs.step import Step
from infinity_assets.inference import batch
from infinity_assets.inference.client import Inference
from infinity_assets.model_settings import Sampling
from infinity_assets.scoring import judge

_ONE_TOKEN = Sampling(temperature=0.0, top_p=1.0, max_tokens=1)


def grade(step: Step, inference: Inference, asked: pl.DataFrame, prompt: str = "judge_answer") -> pl.DataFrame:
    """Have the judge of the settings grade answers, or requests.

    Args:
        step: The asset that asks.
        inference: The models.
        asked: Columns row_id, language, request, and answer where the prompt has one; the texts are cut to `scoring.max_chars`.
        prompt: Name of the prompt.

    Returns:
        One line per row, as `scoring.judge.graded` gives it: row_id, score, text, error.
    """
    cut = step.settings.scoring.max_chars
    wording = prompts.both(prompt, step.settings.prompts_dir)
    variables = [pl.col(name).str.slice(0, cut) for name in wording.en.variables]
    requests = batch.from_prompt(wording, asked.select("row_id", "language", *variables), _ONE_TOKEN, "judge", choices=judge.DIGITS)
    given = inference.generate(step.settings.models.judge, requests, "judge" if prompt == "judge_answer" else "judge complexity")
    return judge.graded(given.frame)
