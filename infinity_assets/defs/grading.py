"""The judge, as every asset calls it."""

import polars as pl

from infinity_assets import prompts
from infinity_assets.defs.step import Step
from infinity_assets.inference import batch
from infinity_assets.inference.client import Inference
from infinity_assets.model_settings import Sampling
from infinity_assets.scoring import judge

_ONE_TOKEN = Sampling(temperature=0.0, top_p=1.0, max_tokens=1)


def grade(step: Step, inference: Inference, answers: pl.DataFrame) -> pl.DataFrame:
    """Score answers with the judge of the settings.

    Args:
        step: The asset that asks.
        inference: The models.
        answers: Columns row_id, language, request, answer; both texts are cut to `scoring.max_chars`.

    Returns:
        One line per answer, as `scoring.judge.graded` gives it: row_id, score, text, error.
    """
    cut = step.settings.scoring.max_chars
    asked = answers.select("row_id", "language", pl.col("request").str.slice(0, cut), pl.col("answer").str.slice(0, cut))
    prompt = prompts.both("judge_answer", step.settings.prompts_dir)
    requests = batch.from_prompt(prompt, asked, _ONE_TOKEN, "judge", choices=judge.DIGITS)
    given = inference.generate(step.settings.models.judge, requests, "judge")
    return judge.graded(given.frame)
