"""SelfCodeAlign (arXiv 2410.24198): from a seed about code to concepts, a Python task and its tests.

The tests become assertions, and the answers are run against them in the sandbox.
"""

import ast
import builtins

import polars as pl

from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, ask_json, text_schema, to_written

CONCEPTS, TASK, TESTS = "code_concepts", "task_from_concepts", "tests_for_task"
_FAULTS = (SyntaxError, ValueError, RecursionError, MemoryError)
"""Errors that Python raises on a line that is not code."""


class SelfCodeAlign(Strategy):
    """A Python task in words, with tests."""

    name = "self_code_align"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return all three prompts."""
        return CONCEPTS, TASK, TESTS

    def takes(self) -> pl.Expr:
        """Select requests about code."""
        return (~IS_TEXT & (pl.col("domain") == "code")).fill_null(False)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write a new task for each seed, with tests if the model writes any that can be used."""
        settings = asking.settings.chat.evolution
        rows = seeds.select(
            "row_id", "language", code=pl.concat_str("seed", "seed_answer", separator="\n\n", ignore_nulls=True)
        )
        listed = {"concepts": {"type": "array", "items": text_schema(60), "minItems": 2, "maxItems": 4}}
        concepts = ask_json(asking, CONCEPTS, rows, listed, pl.Schema({"concepts": pl.List(pl.String)}))
        answered = rows.join(concepts, on="row_id").with_columns(pl.col("concepts").list.join(", "))
        known = answered.filter(pl.col("error").is_null())
        tasks = asking.write(TASK, known, settings.sampling, progress_label="tasks")
        usable = (
            pl.col("error").is_null()
            & (pl.col("text").fill_null("") != "")
            & (pl.col("finish_reason") != "length").fill_null(True)
        )
        tested = known.drop("error").join(tasks.filter(usable), on="row_id").rename({"text": "task"})
        test_texts = asking.write(TESTS, tested, settings.json_sampling, progress_label="tests").select(
            "row_id", written=pl.col("text").fill_null("")
        )
        pairs = tested.select("row_id", "task").join(test_texts, on="row_id")
        tests = pairs.with_columns(
            tests=pl.Series(
                [extract_assertions(*pair) for pair in pairs.select("written", "task").iter_rows()], dtype=pl.String
            )
        )
        made = tasks.join(tests.select("row_id", "tests"), on="row_id", how="left")
        return pl.concat(
            [to_written(made, self.name), to_written(answered.filter(pl.col("error").is_not_null()), self.name)]
        )


def extract_assertions(written: str, task: str) -> str | None:
    """Extract the distinct lines that are tests, in their order.

    Args:
        written: The model's text.
        task: The task. Only functions that it names are tested.

    Returns:
        One assertion per line, or `None` if there are no tests.
    """
    lines = dict.fromkeys(line.strip() for line in written.splitlines())
    return "\n".join(line for line in lines if _is_test(line, task)) or None


def _is_test(line: str, task: str) -> bool:
    """Return whether a line is a single assertion that calls a function of the task."""
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
