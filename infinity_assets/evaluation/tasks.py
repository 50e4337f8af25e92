"""Tasks: benchmark items with the data that is needed to check a model's answer.

The kind of a task follows from the keys of its record and from its answer:

* `code_execution`: the record has tests like HumanEval (`prompt`, `test`, `entry_point`) or MBPP (`test_list`).
* `multiple_choice`: the answer is one of the options, which the record lists or its question contains as `(A) ...`.
* `exact_match`: the answer is a number, a formula in a box, or a few words.

The kind is null for other items, whose answers no rule can check.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import polars as pl

from infinity_assets.evaluation import answers
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.reader import records_of
from infinity_assets.reading.sources import load_source
from infinity_assets.rows.ids import draw
from infinity_assets.scoring import language

EXACT, CHOICE, CODE = "exact_match", "multiple_choice", "code_execution"

TASK = pl.Schema(
    {
        "item_id": pl.String, "benchmark": pl.String, "domain": pl.String, "language": pl.String, "kind": pl.String,
        "question": pl.String, "options": pl.Int64, "form": pl.String, "expected": pl.String,
        "setup": pl.String, "tests": pl.String, "entry_point": pl.String,
    }
)  # fmt: skip
"""Tasks, one line per benchmark item. Key: item_id. `kind`: null if no rule can check an answer; `question`: the text
to ask, with options or tests; `options`: their number; `form`: `answers.Form` of an exact match; `expected`: the right
answer, or the letter of the right option; `setup` and `tests`: code before and after the answer; `entry_point`: the
function to complete, whose beginning is the setup (HumanEval only)."""

_LISTED = re.compile(r"(?m)^\s*\(([A-Z])\)\s*\S")


def read_tasks(folder: Path, items: pl.DataFrame) -> pl.DataFrame:
    """Read a benchmark's tasks from its folder, as `TASK`: one line per item of `reading.benchmarks`, in that order."""
    source = load_source(folder)
    mapping = FieldMapping(source.fields)
    wanted = {(row["file"], row["position"]): row for row in items.iter_rows(named=True)}
    records = {}
    for file, record in records_of(source):
        if row := wanted.get((file, record.position)):
            value = mapping(record.value)
            records[row["item_id"]] = task_of(row, value if isinstance(value, dict) else {})
    tasks = pl.DataFrame(
        [records.get(item, {}) for item in items["item_id"]],
        schema={n: t for n, t in TASK.items() if n not in _OF_ITEM},
    )
    described = items.select("item_id", "benchmark", "domain", language.detect(pl.col("prompt")).alias("language"))
    return pl.concat([described, tasks], how="horizontal").select(list(TASK))


_OF_ITEM = ("item_id", "benchmark", "domain", "language")


def task_of(item: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of `TASK` that follow from an item and its record; empty if no rule can check an answer."""
    fields = {str(key).strip().lower(): value for key, value in record.items()}
    prompt, options, answer = item["prompt"], item["further"] or [], item["answer"]
    match fields:
        case {"test": str(tests), "entry_point": str(entry), "prompt": str(setup)}:
            # The setup is not stripped, because white space is part of the code.
            return _code(setup, setup, f"{tests}\n\ncheck({entry})", entry)
        case {"test_list": [*asserts]} if asserts and all(isinstance(line, str) for line in asserts):
            lines = "\n".join(asserts)
            imports = fields.get("test_imports")
            imports = [line for line in imports if isinstance(line, str)] if isinstance(imports, list) else []
            setup = "\n".join([*imports, str(fields.get("test_setup_code") or "")])
            return _code(f"{prompt}\n\n{lines}", setup, lines, None)
    if len(options) > 1 and answer in options and len(options) <= len(ascii_uppercase):
        if any(re.fullmatch(r"incorrect answer \d+", key) for key in fields):  # GPQA: the right one is first
            place = pl.Series([f"{item['item_id']}:{number}" for number in range(len(options))])
            options = [options[at] for at in draw("options", place).arg_sort()]
        listed = "\n".join(f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False))
        return _choice(f"{prompt}\n\n{listed}", len(options), ascii_uppercase[options.index(answer)])
    if answer is None:
        return {}
    letters, letter = _LISTED.findall(prompt), answer.strip().strip("().")
    if len(letters) > 1 and letters == list(ascii_uppercase[: len(letters)]) and letter in letters:
        return _choice(prompt, len(letters), letter)
    right = answers.parse_expected(answer)
    if right is None:
        return {}
    return {"kind": EXACT, "question": prompt, "form": right.form, "expected": right.value}


def _code(question: str, setup: str, tests: str, entry: str | None) -> dict[str, Any]:
    return {"kind": CODE, "question": question, "setup": setup, "tests": tests, "entry_point": entry}


def _choice(question: str, options: int, letter: str) -> dict[str, Any]:
    return {"kind": CHOICE, "question": question, "options": options, "expected": letter}


def explain_unusable(tasks: pl.DataFrame) -> str | None:
    """Explain why a benchmark cannot be evaluated; `None` if at least half of its tasks can be checked."""
    checked = tasks["kind"].count()
    if 2 * checked >= tasks.height > 0:
        return None
    if not checked:
        return "no item has an answer that a rule can check"
    return f"only {checked:,} of {tasks.height:,} items have an answer that a rule can check"


def sample_tasks(tasks: pl.DataFrame, items: int) -> pl.DataFrame:
    """Draw `items` checkable tasks of each benchmark, by a hash of their item ids."""
    checked = tasks.filter(pl.col("kind").is_not_null())
    drawn = checked.with_columns(draw("domain_scores", checked["item_id"])).sort("benchmark", "draw", "item_id")
    return (
        drawn.filter(pl.int_range(pl.len()).over("benchmark") < items).select(list(TASK)).sort("benchmark", "item_id")
    )


_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_BEGINS = re.compile(r"(?m)^(?:def|class|import|from|@)\b")


def extract_code(text: str) -> str:
    """Extract a program: the first fenced block with a function, the first block, or all from the first code line."""
    blocks = _FENCE.findall(text)
    if blocks:
        return next((block for block in blocks if "def " in block), blocks[0])
    begin = _BEGINS.search(text)
    return text[begin.start() :] if begin else text


def build_program(task: Mapping[str, Any], answer: str) -> str:
    """Build the program that checks an answer: setup, answer, tests.

    An answer to a HumanEval task either repeats the function of the prompt or continues it.
    """
    code, entry, setup = extract_code(answer), task["entry_point"], task["setup"]
    if entry and (begin := re.search(rf"(?m)^def {re.escape(entry)}\b", setup)):
        if re.search(rf"(?m)^\s*def {re.escape(entry)}\b", code):
            setup = setup[: begin.start()]
        else:
            indented = re.search(r"(?m)^[ \t]+\S", code.partition("\n")[0])
            code = code if indented else "\n".join(f"    {line}" for line in code.splitlines())
            return f"{setup.rstrip()}\n{code}\n\n{task['tests']}\n"
    return f"{setup}\n{code}\n\n{task['tests']}\n"
