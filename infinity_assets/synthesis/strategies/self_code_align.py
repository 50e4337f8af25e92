"""SelfCodeAlign (arXiv 2410.24198): concepts out of a seed about code, a Python task out of the concepts, and tests for it.

The tests go along as assertions: the answers are run against them in the sandbox.
"""

import ast
import builtins

import polars as pl

from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, as_written, ask_json, words

CONCEPTS, TASK, TESTS = "code_concepts", "task_from_concepts", "tests_for_task"
_FAULTS = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python raises on a line that is none."""


class SelfCodeAlign(Strategy):
    """A task in words, with tests."""

    name = "self_code_align"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """All three."""
        return CONCEPTS, TASK, TESTS

    def takes(self) -> pl.Expr:
        """Requests about code."""
        return (~IS_TEXT & (pl.col("domain") == "code")).fill_null(False)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """A new task for each seed; one whose tests are none is left without."""
        settings = asking.settings.chat.evolution
        rows = seeds.select(
            "row_id", "language", code=pl.concat_str("seed", "seed_answer", separator="\n\n", ignore_nulls=True)
        )
        listed = {"concepts": {"type": "array", "items": words(60), "minItems": 2, "maxItems": 4}}
        found = ask_json(asking, CONCEPTS, rows, listed, pl.Schema({"concepts": pl.List(pl.String)}))
        told = rows.join(found, on="row_id").with_columns(pl.col("concepts").list.join(", "))
        known = told.filter(pl.col("error").is_null())
        tasks = asking.write(TASK, known, settings.sampling, told="tasks")
        usable = (
            pl.col("error").is_null()
            & (pl.col("text").fill_null("") != "")
            & (pl.col("finish_reason") != "length").fill_null(True)
        )
        tested = known.drop("error").join(tasks.filter(usable), on="row_id").rename({"text": "task"})
        said = asking.write(TESTS, tested, settings.json_sampling, told="tests").select(
            "row_id", said=pl.col("text").fill_null("")
        )
        pairs = tested.select("row_id", "task").join(said, on="row_id")
        tests = pairs.with_columns(
            tests=pl.Series([assertions(*pair) for pair in pairs.select("said", "task").iter_rows()], dtype=pl.String)
        )
        made = tasks.join(tests.select("row_id", "tests"), on="row_id", how="left")
        return pl.concat(
            [as_written(made, self.name), as_written(told.filter(pl.col("error").is_not_null()), self.name)]
        )


def assertions(said: str, task: str) -> str | None:
    """The lines that are tests, each once and in their order; null if there are none.

    Args:
        said: What a model wrote.
        task: What it wrote them for. Only functions that it names are tested.
    """
    lines = dict.fromkeys(line.strip() for line in said.splitlines())
    return "\n".join(line for line in lines if _tests(line, task)) or None


def _tests(line: str, task: str) -> bool:
    """Whether a line is one assertion that calls a function of the task."""
    try:
        match ast.parse(line).body:
            case [ast.Assert(test=test)]:
                calls = (
                    node.func.id
                    for node in ast.walk(test)
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                )
                return any(name in task and not hasattr(builtins, name) for name in calls)
    except _FAULTS:
        pass
    return False
