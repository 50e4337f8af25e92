"""The interface of a strategy, the schemas of its input and output, and what several strategies use."""

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
"""Columns of a seed that strategies read. `seed`: its instruction or passage; `seed_answer`: its answer, or null;
`deficiency`: a description of what the students' answers lacked, or null."""

WRITTEN = pl.Schema(dict.fromkeys(("row_id", "operation", "text", "tests", "finish_reason", "error"), pl.String))
"""The instruction written from a seed, keyed by the seed's row id. `text`: the instruction, null or empty after an
`error`; `operation`: its origin; `tests`: Python assertions that an answer has to pass, or null."""

IS_TEXT = pl.col("kind") == "text"

Relation = Literal["in_depth", "in_breadth", "on_text", "new"]
"""Relations of an instruction to its seed, by operation: a request that keeps its material and is harder to answer;
another request, of equal difficulty; a request that contains the passage; a request that shares no more with it than
subject and labels."""

DOMAINS = {
    "math": ("mathematics", "数学"),
    "code": ("programming", "编程"),
    "knowledge": ("general knowledge", "百科知识"),
    "chat": ("everyday life", "日常生活"),
}
"""Domains in words, English and Chinese."""


class Strategy(ABC):
    """A way to write instructions from seeds. Its module's name is its name in the settings."""

    operations: ClassVar[Mapping[str, Relation]]
    """The operations of its instructions, which decide by their relation to the seed which rules of elimination apply."""
    takes: ClassVar[pl.Expr]
    """Condition on `SEEDS` that selects the usable seeds; null counts as false."""

    @property
    def name(self) -> str:
        """Return the name in the settings."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of the prompts that the result depends on under these settings."""

    def further_settings(self, settings: Settings) -> tuple[str | Sampling, ...]:
        """Return the settings that the result depends on, besides those of evolution, generator and judge."""
        return ()

    @abstractmethod
    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write an instruction from every seed.

        Args:
            seeds: `SEEDS`, one line per seed, selected by `takes`; may be empty.
            asking: The client of the models, with the settings.
            number: Number of the round, from 1, which seeds all draws together with the row id.

        Returns:
            `WRITTEN`, one line per seed, in any order.
        """


def to_written(frame: pl.DataFrame, operation: str | None = None) -> pl.DataFrame:
    """Complete a frame to `WRITTEN`: missing columns are null, and `operation` replaces the frame's column."""
    columns = {name: pl.col(name) if name in frame.columns else pl.lit(None) for name in WRITTEN}
    if operation:
        columns["operation"] = pl.lit(operation)
    return frame.select(**columns).cast(WRITTEN)


def draw_place(rows: pl.DataFrame, name: str, count: pl.Expr | int) -> pl.Expr:
    """Draw a place below `count` for each row, by its id."""
    return (pl.lit(draw(name, rows["row_id"])) * count).floor().cast(pl.Int64)


def add_metadata(seeds: pl.DataFrame) -> pl.DataFrame:
    """Add the domain and labels of `SEEDS` in the words of their language, for prompts that name them.

    Returns:
        The lines with `domain` in words, `use_case` (the coarse abilities, or the domain) and `skills` (the fine
        labels, or the use case), never null. Fine labels are English even for a Chinese row.
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
    """Ask the generator, or the model `by`, for a JSON object.

    Args:
        asking: The client of the models, with the settings.
        prompt: Name of the prompt.
        rows: row_id, language and the variables of the prompt.
        properties: JSON schemas of the object's properties, all required, in the order of writing.
        shape: Polars types of the properties.
        by: The model.

    Returns:
        One line per row: row_id, the columns of `shape` (null on an error), error.
    """
    sampling = asking.settings.chat.evolution.json_sampling
    answers = asking.write(prompt, rows, sampling, schema=object_schema(properties), by=by)
    parsed = pl.when(pl.col("error").is_null()).then("text").str.json_decode(pl.Struct(shape)).alias("parsed")
    return answers.select("row_id", parsed, "error").unnest("parsed")


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an object with exactly these properties."""
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
    """Return the JSON schema of a text with a maximum length, because small models may not stop."""
    return {"type": "string", "minLength": 1, "maxLength": length}


def begin_steps(seeds: pl.DataFrame) -> pl.DataFrame:
    """Return the state before the first of several rewriting steps of seeds: row_id, language, `request` (the seed).

    Returns:
        The lines with `current` (the current text), `operation` (of the last successful step, or null), `error` (of the
        last step, if no step has succeeded) and `wrote` (whether the last step succeeded).
    """
    nothing = pl.lit(None, pl.String)
    return seeds.with_columns(current="request", operation=nothing, error=nothing, wrote=pl.lit(False))


def add_step(state: pl.DataFrame, answers: pl.DataFrame, operation: str) -> pl.DataFrame:
    """Return the state after a step, given answers for some of its rows: row_id, text, finish_reason, error.

    A failed step keeps the last good text.
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
    """Return `WRITTEN` after the last step: the last good text, or the error if there is none."""
    return to_written(state.with_columns(text=pl.when(pl.col("operation").is_not_null()).then("current")))
