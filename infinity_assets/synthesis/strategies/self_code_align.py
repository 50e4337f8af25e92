"""SelfCodeAlign (arXiv 2410.24198): concepts of a seed about code, then a Python task on them, then its tests.

The tests are assertions, which the sandbox later runs on the answers.
"""

import ast
import builtins

import polars as pl

from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.execution import parse_code
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import IS_TEXT, Strategy, ask_json, list_schema, text_schema, to_written

CONCEPTS, TASK, TESTS = "code_concepts", "task_from_concepts", "tests_for_task"


class SelfCodeAlign(Strategy):
    """A Python task, stated in words, with tests."""

    operations = {"self_code_align": "new"}
    takes = ~IS_TEXT & (pl.col("domain") == "code")

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of all three prompts."""
        return CONCEPTS, TASK, TESTS

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write a new task for each seed, with the usable tests that the model writes for it."""
        settings = asking.settings.chat.evolution
        rows = seeds.select(
            "row_id", "language", code=pl.concat_str("seed", "seed_answer", separator="\n\n", ignore_nulls=True)
        )
        listed = {"concepts": list_schema(text_schema(60), 2, 4)}
        concepts = ask_json(asking, CONCEPTS, rows, listed, {"concepts": pl.List(pl.String)})
        answered = rows.join(concepts, on="row_id").with_columns(pl.col("concepts").list.join(", "))
        failed = pl.col("error").is_not_null()
        known = answered.filter(~failed)
        tasks = asking.write(TASK, known, settings.sampling, progress_label="tasks")
        cut = (pl.col("finish_reason") == "length").fill_null(False)
        usable = tasks.filter(~failed, ~cut, pl.col("text").fill_null("") != "").rename({"text": "task"})
        tested = known.drop("error").join(usable, on="row_id")
        answers = asking.write(TESTS, tested, settings.json_sampling, progress_label="tests")
        pairs = tested.select("row_id", "task").join(answers, on="row_id").select("row_id", "task", "text")
        tests = [extract_assertions(text or "", task) for _, task, text in pairs.iter_rows()]
        tested = pairs.select("row_id", tests=pl.Series(tests, dtype=pl.String))
        made = tasks.join(tested, on="row_id", how="left")
        return pl.concat([to_written(part, self.name) for part in (made, answered.filter(failed))])


def extract_assertions(written: str, task: str) -> str | None:
    """Extract the distinct assertions in a text that call a function named in the task; `None` if there are none."""
    lines = dict.fromkeys(line.strip() for line in written.splitlines())
    return "\n".join(line for line in lines if _is_test(line, task)) or None


def _is_test(line: str, task: str) -> bool:
    """Return whether a line is a single assertion that calls a function named in the task."""
    tree = parse_code(line)
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Assert):
        return False
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = (function.id for function in calls if isinstance(function, ast.Name))
    return any(name in task and not hasattr(builtins, name) for name in names)
