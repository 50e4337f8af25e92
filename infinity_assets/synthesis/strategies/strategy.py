"""The interface of a strategy, with the schemas of its input and output."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import polars as pl

from infinity_assets.settings.chat import Evolution, StrategyName
from infinity_assets.settings.models import ModelSpec
from infinity_assets.synthesis.prompting import Asking

SEEDS = pl.Schema(
    {
        "row_id": pl.String,
        "kind": pl.String,
        "domain": pl.String,
        "language": pl.String,
        "cate_ability": pl.List(pl.String),
        "ability": pl.List(pl.String),
        "seed": pl.String,
        "seed_answer": pl.String,
        "deficiency": pl.String,
    }
)
"""Columns of a seed that strategies read. `seed`: its instruction or passage; `seed_answer`: its answer, or null;
`deficiency`: a description of what the students' answers lacked, or null."""

WRITTEN = pl.Schema(
    {
        "row_id": pl.String,
        "operation": pl.String,
        "text": pl.String,
        "tests": pl.String,
        "finish_reason": pl.String,
        "error": pl.String,
    }
)
"""The instruction written from a seed, keyed by the seed's row id. `text`: the instruction, null or empty after an
`error`; `operation`: its origin; `tests`: Python assertions that an answer has to pass, or null."""

IS_TEXT = pl.col("kind") == "text"


class Strategy(ABC):
    """A way to write instructions from seeds."""

    name: StrategyName
    """Name in the settings."""

    @abstractmethod
    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of the prompts that the result depends on under these settings."""

    @abstractmethod
    def takes(self) -> pl.Expr:
        """Return the condition on `SEEDS` that selects the usable seeds."""

    @abstractmethod
    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write an instruction from every seed.

        Args:
            seeds: `SEEDS`, one line per seed, selected by `takes`; may be empty.
            asking: The models and settings.
            number: Number of the round, from 1, which seeds all draws together with the row id.

        Returns:
            `WRITTEN`, one line per seed, in any order.
        """


def to_written(frame: pl.DataFrame, operation: str | None = None) -> pl.DataFrame:
    """Complete a frame to `WRITTEN`. Missing columns are null.

    Args:
        frame: row_id and some columns of `WRITTEN`.
        operation: Operation of all lines; `None` to keep the frame's column.
    """
    given = {"operation": pl.lit(operation)} if operation else {}
    columns = {name: given.get(name, pl.col(name) if name in frame.columns else pl.lit(None)) for name in WRITTEN}
    return frame.select(**{name: column.cast(WRITTEN[name]) for name, column in columns.items()})


def ask_json(
    asking: Asking,
    prompt: str,
    rows: pl.DataFrame,
    properties: Mapping[str, Any],
    shape: pl.Schema,
    *,
    by: ModelSpec | None = None,
) -> pl.DataFrame:
    """Ask a model for a JSON object.

    Args:
        asking: The models and settings.
        prompt: Name of the prompt.
        rows: row_id, language and the variables of the prompt.
        properties: JSON schemas of the object's properties, all required, in the order of writing.
        shape: Polars types of the properties.
        by: The model; `None` for the generator.

    Returns:
        One line per row: row_id, the columns of `shape` (null on an error), error.
    """
    schema = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    sampling = asking.settings.chat.evolution.json_sampling
    answers = asking.write(prompt, rows, sampling, schema=schema, by=by)
    parsed = pl.when(pl.col("error").is_null()).then("text").str.json_decode(pl.Struct(shape)).alias("parsed")
    return answers.select("row_id", parsed, "error").unnest("parsed")


def text_schema(length: int) -> dict[str, Any]:
    """Return the JSON schema of a text with a maximum length, because small models may not stop."""
    return {"type": "string", "minLength": 1, "maxLength": length}
