"""What a strategy is, and what goes into it and comes out."""

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
"""A seed, among other columns: `seed` is its instruction or passage; `seed_answer` its answer, null where it has none; `deficiency` what the
students' answers to it lacked, in words, null where that was not told."""

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
"""What came of a seed, named by its row id: the instruction in `text` (null or empty if there is none, then `error` says why), the operation that
made it, and in `tests` Python assertions that an answer has to pass, where the strategy brings some."""

IS_TEXT = pl.col("kind") == "text"


class Strategy(ABC):
    """A way to make instructions of seeds."""

    name: StrategyName
    """As the settings call it."""

    @abstractmethod
    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """The names of the prompts that it asks with, under these settings: what of the prompts its result depends on."""

    @abstractmethod
    def takes(self) -> pl.Expr:
        """Which seeds it can be used on, from the columns of `SEEDS`."""

    @abstractmethod
    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Make an instruction of every seed.

        Args:
            seeds: `SEEDS`, one line per seed, all of them such as it takes; maybe none.
            asking: The models and settings.
            number: The round, from 1: with the row id it seeds what is drawn.

        Returns:
            `WRITTEN`, one line per seed, in any order.
        """


def as_written(frame: pl.DataFrame, operation: str | None = None) -> pl.DataFrame:
    """`WRITTEN`, from a frame that has some of its columns; the others are null.

    Args:
        frame: row_id and more.
        operation: What made all of it, where the frame does not say.
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
    """What a model says as JSON: row_id, the properties as columns of `shape` (null where there was an error), error.

    Args:
        asking: The models and settings.
        prompt: Its name; its variables are columns of `rows`.
        rows: row_id, language and the variables.
        properties: JSON schemas of the properties of the object, all of them required, in the order in which they are to be written.
        shape: Their Polars types.
        by: The model; null for the generator.
    """
    schema = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    sampling = asking.settings.chat.evolution.json_sampling
    said = asking.write(prompt, rows, sampling, schema=schema, by=by)
    read = pl.when(pl.col("error").is_null()).then("text").str.json_decode(pl.Struct(shape)).alias("read")
    return said.select("row_id", read, "error").unnest("read")


def words(length: int) -> dict[str, Any]:
    """The JSON schema of a short text: bounded, because small models do not come to an end."""
    return {"type": "string", "minLength": 1, "maxLength": length}
