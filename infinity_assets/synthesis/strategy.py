"""The interface of strategies, the schemas of their input and output, and helpers that strategies share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.scoring.labels import ABILITIES
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import Evolution
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets.synthesis.prompting import Asking, choose_language

SEEDS = pl.Schema(
    {
        **dict.fromkeys(("row_id", "kind", "domain", "language"), pl.String),
        **dict.fromkeys(("cate_ability", "ability"), pl.List(pl.String)),
        **dict.fromkeys(("seed", "seed_answer", "deficiency"), pl.String),
    }
)
"""Columns of a seed that strategies read. `seed`: its instruction or passage. `seed_answer`: its answer, or null.
`deficiency`: a description of what the students' answers to the seed lacked, or null."""

WRITTEN = pl.Schema(dict.fromkeys(("row_id", "operation", "text", "tests", "finish_reason", "error"), pl.String))
"""Instructions written from seeds, keyed by the seed's row id. `text`: the instruction, null or empty after an error.
`operation`: the operation that made it. `tests`: Python assertions that an answer has to pass, or null."""

IS_TEXT = pl.col("kind") == "text"

Relation = Literal["in_depth", "in_breadth", "on_text", "new"]
"""Relations of a new instruction to its seed. `in_depth`: a harder request with the seed's material. `in_breadth`: a
different request of equal difficulty. `on_text`: a request that contains the seed's passage. `new`: a request that
shares only the subject and labels with the seed."""

DOMAINS = {
    "math": ("mathematics", "数学"),
    "code": ("programming", "编程"),
    "knowledge": ("general knowledge", "百科知识"),
    "chat": ("everyday life", "日常生活"),
}
"""Names of the domains in prompts, in English and Chinese."""


class Strategy(ABC):
    """A method to write instructions from seeds. The name of its module is its name in the settings."""

    operations: ClassVar[Mapping[str, Relation]]
    """Operations of the strategy, with the relation to the seed that decides which elimination rules apply."""
    takes: ClassVar[pl.Expr]
    """Condition on the columns of `SEEDS` for the seeds that the strategy can use. Null counts as false."""

    @property
    def name(self) -> str:
        """Return the strategy's name in the settings."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of the prompts that the strategy uses under these settings."""

    def further_settings(self, settings: Settings) -> tuple[str | Sampling, ...]:
        """Return the settings that the strategy depends on, except those of evolution, generator and judge."""
        return ()

    @abstractmethod
    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write an instruction from every seed.

        Args:
            seeds: `SEEDS`, filtered by `takes`; may be empty.
            asking: The client of the models, with the settings.
            number: Number of the round, from 1. With the row id, it seeds all draws.

        Returns:
            `WRITTEN`, one line per seed, in any order.
        """


def to_written(frame: pl.DataFrame, operation: str | None = None) -> pl.DataFrame:
    """Convert a frame to `WRITTEN`. Missing columns become null, and `operation`, if given, replaces its column."""
    columns = {name: pl.col(name) if name in frame.columns else pl.lit(None) for name in WRITTEN}
    if operation:
        columns["operation"] = pl.lit(operation)
    return frame.select(**columns).cast(WRITTEN)


def draw_place(rows: pl.DataFrame, name: str, count: pl.Expr | int) -> pl.Expr:
    """Draw a whole number from 0 to `count` - 1 for each row, seeded by `name` and the row id."""
    return (pl.lit(draw(name, rows["row_id"])) * count).floor().cast(pl.Int64)


def add_metadata(seeds: pl.DataFrame) -> pl.DataFrame:
    """Add the domain and labels of seeds as text in the language of the seed, for prompts that mention them.

    Returns:
        The seeds with `domain` (its name), `use_case` (the coarse labels, or else the domain) and `skills` (the fine
        labels, or else the use case), none of them null. Fine labels are English even for a Chinese seed.
    """

    def describe_domain(side: int) -> pl.Expr:
        names = {domain: words[side] for domain, words in DOMAINS.items()}
        other = pl.col("domain").fill_null(names["chat"])
        return pl.col("domain").replace_strict(names, default=other, return_dtype=pl.String)

    def join_labels(labels: pl.Expr, separator: str) -> pl.Expr:
        joined = labels.list.drop_nulls().list.join(separator)
        return pl.when(joined != "").then(joined)

    abilities = pl.col("cate_ability")
    translated = join_labels(abilities.list.eval(pl.element().replace(ABILITIES)), "、")
    domain = choose_language(describe_domain(0), describe_domain(1))
    use_case = pl.coalesce(choose_language(join_labels(abilities, ", "), translated), domain)
    skills = pl.coalesce(join_labels(pl.col("ability"), ", "), use_case)
    return seeds.with_columns(domain=domain, use_case=use_case, skills=skills)


def ask_json(
    asking: Asking,
    prompt: str,
    rows: pl.DataFrame,
    properties: Mapping[str, Any],
    shape: Mapping[str, Any],
    *,
    by: ModelSpec | None = None,
) -> pl.DataFrame:
    """Let the generator, or the model `by`, write one JSON object per row.

    Args:
        asking: The client of the models, with the settings.
        prompt: Name of the prompt.
        rows: row_id, language and the variables of the prompt.
        properties: JSON schemas of the object's properties, in the order of writing. All are required.
        shape: Polars types of the properties.
        by: The model that replaces the generator.

    Returns:
        One line per row: row_id, the columns of `shape` (null on an error), error.
    """
    sampling = asking.settings.chat.evolution.json_sampling
    answers = asking.write(prompt, rows, sampling, schema=object_schema(properties), by=by)
    parsed = pl.when(pl.col("error").is_null()).then("text").str.json_decode(pl.Struct(shape)).alias("parsed")
    return answers.select("row_id", parsed, "error").unnest("parsed")


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an object with exactly these properties, all required."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def list_schema(items: Mapping[str, Any], least: int, most: int) -> dict[str, Any]:
    """Return the JSON schema of a list of `least` to `most` items."""
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def text_schema(length: int) -> dict[str, Any]:
    """Return the JSON schema of a non-empty text of at most `length` characters, because small models may not stop."""
    return {"type": "string", "minLength": 1, "maxLength": length}


def begin_steps(seeds: pl.DataFrame) -> pl.DataFrame:
    """Begin to rewrite seeds in several steps. `seeds` has at least the columns row_id, language and request.

    Returns:
        The state: `seeds` with `current` (the current text), `operation` (of the last successful step, or null),
        `error` (of the last step, null once a step has succeeded) and `wrote` (whether the last step succeeded).
    """
    nothing = pl.lit(None, pl.String)
    return seeds.with_columns(current="request", operation=nothing, error=nothing, wrote=pl.lit(False))


def add_step(state: pl.DataFrame, answers: pl.DataFrame, operation: str) -> pl.DataFrame:
    """Return the state after a step, given its answers for some of the rows: row_id, text, finish_reason, error.

    A row whose step failed keeps its current text.
    """
    cut = pl.when(pl.col("finish_reason") == "length").then(pl.lit("truncated"))
    empty = pl.when(pl.col("text").fill_null("").str.strip_chars() == "").then(pl.lit("empty"))
    step = answers.select(
        "row_id", written=pl.col("text").str.strip_chars(), fault=pl.coalesce("error", cut, empty), asked=pl.lit(True)
    )
    joined = state.join(step, on="row_id", how="left", maintain_order="left")
    wrote = pl.col("asked").fill_null(False) & pl.col("fault").is_null()
    return joined.with_columns(
        current=pl.when(wrote).then("written").otherwise("current"),
        operation=pl.when(wrote).then(pl.lit(operation)).otherwise("operation"),
        error=pl.when(~wrote & pl.col("operation").is_null()).then(pl.coalesce("fault", "error")),
        wrote=wrote,
    ).drop("written", "fault", "asked")


def end_steps(state: pl.DataFrame) -> pl.DataFrame:
    """Return `WRITTEN` after the last step: the current text of a row, or the error if every step failed."""
    return to_written(state.with_columns(text=pl.when(pl.col("operation").is_not_null()).then("current")))
