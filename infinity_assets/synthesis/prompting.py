"""How the recipe asks its models: frames in, frames out, joined by row id."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from infinity_assets import prompts
from infinity_assets.inference import batch
from infinity_assets.inference.client import Inference
from infinity_assets.scoring import judge
from infinity_assets.settings import Settings
from infinity_assets.settings.models import ModelSpec, Sampling

_ONE_TOKEN = Sampling(temperature=0.0, top_p=1.0, max_tokens=1)
_YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Asking:
    """The models of the settings, as an asset or a strategy asks them.

    Every method takes one line per row with `row_id`, and `language` (BCP 47, or null) where a prompt is filled in; none of the variables may be
    null. A row that is given twice is asked twice.
    """

    inference: Inference
    settings: Settings
    stage: str
    """Seeds the sampling with the row id; the asset's name."""

    def write(
        self,
        prompt: str,
        rows: pl.DataFrame,
        sampling: Sampling,
        *,
        schema: Mapping[str, Any] | None = None,
        by: ModelSpec | None = None,
        told: str = "",
    ) -> pl.DataFrame:
        """What the generator (or `by`) writes to a prompt: row_id, text (stripped), finish_reason, error.

        Args:
            prompt: Its name; its variables are columns of `rows`.
            rows: Who is asked about.
            sampling: How the texts are drawn.
            schema: A JSON schema that they must fit.
            by: The model; null for the generator.
            told: What the progress calls it; null for the prompt's name.
        """
        return self.write_each({prompt: rows}, sampling, schema=schema, by=by, told=told or prompt).drop("prompt")

    def write_each(
        self,
        rows: Mapping[str, pl.DataFrame],
        sampling: Sampling,
        *,
        schema: Mapping[str, Any] | None = None,
        by: ModelSpec | None = None,
        told: str,
    ) -> pl.DataFrame:
        """What is written to several prompts, each with rows of its own, in one batch: as `write` gives it, and the `prompt`."""
        folder = self.settings.prompts_dir
        requests = {
            name: batch.from_prompt(prompts.both(name, folder), some, sampling, self.stage, schema=schema)
            for name, some in rows.items()
        }
        asked = [request for some in requests.values() for request in some]
        found = self._texts(self.inference.generate(by or self.settings.models.generator, asked, told).frame)
        return found.with_columns(
            pl.Series("prompt", [name for name, some in requests.items() for _ in some], dtype=pl.String)
        )

    def chat(
        self,
        name: str,
        rows: pl.DataFrame,
        sampling: Sampling,
        *,
        samples: int = 1,
        by: ModelSpec | None = None,
        told: str = "",
    ) -> pl.DataFrame:
        """What the generator (or `by`) says next in a conversation, with nothing around it: row_id, index, text (stripped), finish_reason, error.

        Args:
            name: Stands in the place of a prompt's name in the books.
            rows: row_id and messages, each ending with the user.
            sampling: How the answers are drawn.
            samples: Answers per row, numbered by `index`.
            by: The model; null for the generator.
            told: What the progress calls it; null for the name.
        """
        requests = batch.as_they_are(name, rows, sampling, self.stage, samples)
        found = self.inference.generate(by or self.settings.models.generator, requests, told or name).frame
        return self._texts(found, "index")

    def probability(self, prompt: str, rows: pl.DataFrame, told: str = "") -> pl.DataFrame:
        """The judge's probability of `yes`, over `yes` and `no`: row_id, probability (null where there is none), error. Texts are cut to
        `scoring.max_chars`.
        """
        given = self._judged(prompt, rows, _YES_NO, told)
        probability = pl.when(pl.col("error").is_null()).then(pl.col("choice_logprobs").list.first().exp())
        why = pl.when(probability.is_null()).then(pl.coalesce("error", pl.lit(judge.NO_LOGPROBS)))
        return given.select("row_id", probability.alias("probability"), why.alias("error"))

    def grade(self, prompt: str, rows: pl.DataFrame, told: str = "") -> pl.DataFrame:
        """The judge's grade, an expectation over the digits 1 to 5, as `scoring.judge.graded` gives it, and the number of the question: row_id,
        index (that of `rows`, or 0), score, text, error. Texts are cut to `scoring.max_chars`.
        """
        given = self._judged(prompt, rows, judge.DIGITS, told)
        return judge.graded(given).insert_column(1, given["index"])

    def embed(self, texts: pl.Series) -> np.ndarray:
        """Vectors of unit length by `models.embedder`, of shape (texts, width), in the order of the texts; null counts as empty."""
        return self.inference.embed(self.settings.models.embedder, texts.fill_null("").to_list(), "embed")

    def _judged(self, prompt: str, rows: pl.DataFrame, choices: tuple[str, ...], told: str) -> pl.DataFrame:
        wording = prompts.both(prompt, self.settings.prompts_dir)
        cut = [pl.col(name).str.slice(0, self.settings.scoring.max_chars) for name in wording.en.variables]
        # No stage: the judge is asked greedily, and an equal question by another asset has the same answer.
        asked = rows.select("row_id", "language", cs.by_name("index", require_all=False), *cut)
        requests = batch.from_prompt(wording, asked, _ONE_TOKEN, "judge", choices=choices)
        return self.inference.generate(self.settings.models.judge, requests, told or prompt).frame

    @staticmethod
    def _texts(frame: pl.DataFrame, *further: str) -> pl.DataFrame:
        return frame.select("row_id", *further, pl.col("text").str.strip_chars(), "finish_reason", "error")
