"""Model calls that take frames of requests and return frames of answers, keyed by row id."""

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
from infinity_assets.settings.models import ModelSpec, Sampling, Student

_ONE_TOKEN = Sampling(temperature=0.0, top_p=1.0, max_tokens=1)
_YES_NO = ("yes", "no")


def choose_language(english: pl.Expr, chinese: pl.Expr) -> pl.Expr:
    """Return the value in the language of the prompts for a row's `language`."""
    is_chinese = pl.col("language").str.contains(prompts.CHINESE).fill_null(False)
    return pl.when(is_chinese).then(chinese).otherwise(english)


@dataclass(frozen=True)
class Asking:
    """A client of the configured models, for an asset or a strategy.

    Methods take a frame with one line per request and the column `row_id`, except `embed`. A row may have several
    requests. A prompt also needs the columns `language` (BCP 47, or null) and its variables, which must not be null.
    """

    inference: Inference
    settings: Settings
    stage: str
    """Name of the asset. With the row id, it determines the sampling seed."""

    def write(
        self,
        prompt: str,
        rows: pl.DataFrame,
        sampling: Sampling,
        *,
        schema: Mapping[str, Any] | None = None,
        by: ModelSpec | None = None,
        progress_label: str = "",
    ) -> pl.DataFrame:
        """Let the generator, or the model `by`, write one text per request with a prompt.

        Args:
            prompt: Name of the prompt.
            rows: One line per request: row_id, language and the variables of the prompt.
            sampling: Sampling of the texts.
            schema: JSON schema of the texts.
            by: The model that replaces the generator.
            progress_label: Label in the progress display; empty for the prompt's name.

        Returns:
            One line per request: row_id, text (stripped), finish_reason, error.
        """
        label = progress_label or prompt
        return self.write_each({prompt: rows}, sampling, schema=schema, by=by, progress_label=label).drop("prompt")

    def write_each(
        self,
        rows: Mapping[str, pl.DataFrame],
        sampling: Sampling,
        *,
        schema: Mapping[str, Any] | None = None,
        by: ModelSpec | None = None,
        progress_label: str,
    ) -> pl.DataFrame:
        """Write with several prompts, each with its own rows, in one batch. Return the columns of `write`, and `prompt`."""
        requests, names = [], []
        for name, frame in rows.items():
            wording = prompts.load_bilingual(name, self.settings.prompts_dir)
            requests += batch.build_prompt_requests(wording, frame, sampling, self.stage, schema=schema)
            names += [name] * frame.height
        answers = self.inference.generate(by or self.settings.models.generator, requests, progress_label).frame
        return self._strip_texts(answers).with_columns(pl.Series("prompt", names, dtype=pl.String))

    def chat(
        self,
        name: str,
        rows: pl.DataFrame,
        sampling: Sampling,
        *,
        samples: int = 1,
        by: ModelSpec | None = None,
        progress_label: str = "",
    ) -> pl.DataFrame:
        """Let the generator, or the model `by`, write the next message of each conversation, without a prompt.

        Args:
            name: Name for the ledger tables, where a prompt's name would stand.
            rows: One line per conversation: row_id, messages (ending with the user).
            sampling: Sampling of the answers.
            samples: Number of answers to each conversation.
            by: The model that replaces the generator.
            progress_label: Label in the progress display; empty for `name`.

        Returns:
            One line per answer: row_id, index (of the answer), text (stripped), finish_reason, error.
        """
        requests = batch.build_chat_requests(name, rows, sampling, self.stage, samples)
        answers = self.inference.generate(by or self.settings.models.generator, requests, progress_label or name).frame
        return self._strip_texts(answers, "index")

    def ask_student(self, student: Student, rows: pl.DataFrame) -> pl.DataFrame:
        """Let a student write the next message of each conversation. Return the columns of `chat`."""
        name, label = f"student:{student.name}", f"student {student.name}"
        return self.chat(name, rows, student.sampling, by=student.model, progress_label=label)

    def probability(self, prompt: str, rows: pl.DataFrame, progress_label: str = "") -> pl.DataFrame:
        """Ask the judge for the probability of `yes` as opposed to `no`. Variables are cut to `scoring.max_chars`.

        Returns:
            One line per request: row_id, probability (null on an error; 0 or 1 by the judge's word if the server gives
            no log-probabilities), error.
        """
        answers = self._ask_judge(prompt, rows, _YES_NO, progress_label)
        logprobs = pl.col("choice_logprobs")
        written = (pl.col("text") == _YES_NO[0]).cast(pl.Float64)  # for a server without log-probabilities
        known = pl.when(logprobs.is_null()).then(written).otherwise(logprobs.list.first().exp())
        probability = pl.when(pl.col("error").is_null()).then(known)
        why = pl.when(probability.is_null()).then(pl.coalesce("error", pl.lit(judge.NO_LOGPROBS)))
        return answers.select("row_id", probability.alias("probability"), why.alias("error"))

    def grade(self, prompt: str, rows: pl.DataFrame, progress_label: str = "") -> pl.DataFrame:
        """Ask the judge for a grade, the expected value of a digit from 1 to 5. Variables are cut to `scoring.max_chars`.

        Returns:
            One line per request: row_id, index (from `rows`, else 0), score, text, error.
        """
        answers = self._ask_judge(prompt, rows, judge.DIGITS, progress_label)
        return judge.grade_answers(answers).insert_column(1, answers["index"])

    def embed(self, texts: pl.Series) -> np.ndarray:
        """Embed texts with `models.embedder`. Return unit vectors, shape (texts, width). Null counts as an empty text."""
        return self.inference.embed(self.settings.models.embedder, texts.fill_null("").to_list(), "embed")

    def _ask_judge(
        self, prompt: str, rows: pl.DataFrame, choices: tuple[str, ...], progress_label: str
    ) -> pl.DataFrame:
        wording = prompts.load_bilingual(prompt, self.settings.prompts_dir)
        cut = [pl.col(name).str.slice(0, self.settings.scoring.max_chars) for name in wording.en.variables]
        # The stage is the same for all assets: the judge is greedy, so equal questions of two assets share an answer.
        asked = rows.select("row_id", "language", cs.by_name("index", require_all=False), *cut)
        requests = batch.build_prompt_requests(wording, asked, _ONE_TOKEN, "judge", choices=choices)
        return self.inference.generate(self.settings.models.judge, requests, progress_label or prompt).frame

    @staticmethod
    def _strip_texts(frame: pl.DataFrame, *further: str) -> pl.DataFrame:
        return frame.select("row_id", *further, pl.col("text").str.strip_chars(), "finish_reason", "error")
