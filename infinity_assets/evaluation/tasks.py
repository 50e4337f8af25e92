"""Tasks that can be checked, out of benchmark folders as they lie on the disk.

A task is an item of a benchmark with what an evaluator needs beside its question, keyed by the same `item_id`. What kind it is follows from the keys
of its record and from its answer:

* `code_execution`: it has tests, as HumanEval (`prompt`, `test`, `entry_point`) or as MBPP (`test_list`);
* `multiple_choice`: its answer is one of the options that the record lists, or that its text lists as `(A) ...`;
* `exact_match`: its answer is a number, a formula in a box, or a few words.

All others have no answer that a rule can check.
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
        "item_id": pl.String,
        "benchmark": pl.String,
        "domain": pl.String,
        "language": pl.String,
        "kind": pl.String,
        "question": pl.String,
        "options": pl.Int64,
        "form": pl.String,
        "expected": pl.String,
        "setup": pl.String,
        "tests": pl.String,
        "entry_point": pl.String,
    }
)
"""A task. `question` is what is asked, options and tests included; `options` their number, of which the letter `expected` is right; `form` is
`answers.Form` of an exact match. Of code: `setup` stands before the answer, `tests` behind it; `entry_point` is the function that HumanEval's prompt,
the setup, begins. `kind` is null where there is nothing to check."""

_LISTED = re.compile(r"(?m)^\s*\(([A-Z])\)\s*\S")


def read_tasks(folder: Path, items: pl.DataFrame) -> pl.DataFrame:
    """The tasks of a benchmark.

    Args:
        folder: Its folder.
        items: Its items, as `rows.readers.benchmarks` gives them.

    Returns:
        `TASK`, a line per item, in their order.
    """
    source = load_source(folder)
    mapping, wanted = (
        FieldMapping(source.fields),
        {(row["file"], row["position"]): row for row in items.iter_rows(named=True)},
    )
    found = {}
    for file, record in records_of(source):
        if row := wanted.get((file, record.position)):
            value = mapping(record.value)
            found[row["item_id"]] = task_of(row, value if isinstance(value, dict) else {})
    tasks = pl.DataFrame(
        [found.get(item, {}) for item in items["item_id"]], schema={n: t for n, t in TASK.items() if n not in _OF_ITEM}
    )
    told = items.select("item_id", "benchmark", "domain", language.detect(pl.col("prompt")).alias("language"))
    return pl.concat([told, tasks], how="horizontal").select(list(TASK))


_OF_ITEM = ("item_id", "benchmark", "domain", "language")


def task_of(item: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """What of `TASK` belongs to the task alone.

    Args:
        item: A line of `benchmarks`: item_id, prompt, further, answer.
        record: The record that it was read from.
    """
    fields = {str(key).strip().lower(): value for key, value in record.items()}
    prompt, options, answer = item["prompt"], item["further"] or [], item["answer"]
    match fields:
        case {
            "test": str(tests),
            "entry_point": str(entry),
            "prompt": str(setup),
        }:  # as it stands: its white space is code
            return _code(setup, setup, f"{tests}\n\ncheck({entry})", entry)
        case {"test_list": [*asserts]} if asserts and all(isinstance(line, str) for line in asserts):
            lines = "\n".join(asserts)
            imports = [line for line in _list(fields.get("test_imports")) if isinstance(line, str)]
            setup = "\n".join([*imports, str(fields.get("test_setup_code") or "")])
            return _code(f"{prompt}\n\n{lines}", setup, lines, None)
    if len(options) > 1 and answer in options and len(options) <= len(ascii_uppercase):
        if any(re.fullmatch(r"incorrect answer \d+", key) for key in fields):  # GPQA's right one stands first
            place = pl.Series([f"{item['item_id']}:{number}" for number in range(len(options))])
            options = [options[at] for at in draw("options", place).arg_sort()]
        listed = "\n".join(f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False))
        return _choice(f"{prompt}\n\n{listed}", len(options), ascii_uppercase[options.index(answer)])
    if answer is None:
        return {}
    letters, letter = _LISTED.findall(prompt), answer.strip().strip("().")
    if len(letters) > 1 and letters == list(ascii_uppercase[: len(letters)]) and letter in letters:
        return _choice(prompt, len(letters), letter)
    right = answers.expected(answer)
    if right is None:
        return {}
    return {"kind": EXACT, "question": prompt, "form": right.form, "expected": right.value}


def _code(question: str, setup: str, tests: str, entry: str | None) -> dict[str, Any]:
    return {"kind": CODE, "question": question, "setup": setup, "tests": tests, "entry_point": entry}


def _choice(question: str, options: int, letter: str) -> dict[str, Any]:
    return {"kind": CHOICE, "question": question, "options": options, "expected": letter}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def why_not(tasks: pl.DataFrame) -> str | None:
    """Why a benchmark cannot be evaluated, in words; null if it can: at least half of its tasks have something to check."""
    checked = tasks["kind"].count()
    if 2 * checked >= tasks.height > 0:
        return None
    if not checked:
        return "no item has an answer that a rule can check"
    return f"only {checked:,} of {tasks.height:,} items have an answer that a rule can check"


def chosen(tasks: pl.DataFrame, items: int) -> pl.DataFrame:
    """A sample of the tasks that can be checked, by item id: of each benchmark so many."""
    checked = tasks.filter(pl.col("kind").is_not_null())
    drawn = checked.with_columns(draw("domain_scores", checked["item_id"])).sort("benchmark", "draw", "item_id")
    return (
        drawn.filter(pl.int_range(pl.len()).over("benchmark") < items).select(list(TASK)).sort("benchmark", "item_id")
    )


_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_BEGINS = re.compile(r"(?m)^(?:def|class|import|from|@)\b")


def code_of(text: str) -> str:
    """The program in an answer: the first fenced block that holds a function, else the first block, else the text from its first line of code on."""
    blocks = _FENCE.findall(text)
    if blocks:
        return next((block for block in blocks if "def " in block), blocks[0])
    begin = _BEGINS.search(text)
    return text[begin.start() :] if begin else text


def program(task: Mapping[str, Any], answer: str) -> str:
    """The program that passes if an answer does: setup, answer, tests. An answer to HumanEval's prompt repeats its function or goes on with it."""
    code, entry, setup = code_of(answer), task["entry_point"], task["setup"]
    if entry and (begin := re.search(rf"(?m)^def {re.escape(entry)}\b", setup)):
        if re.search(rf"(?m)^\s*def {re.escape(entry)}\b", code):
            setup = setup[: begin.start()]
        else:
            indented = re.search(r"(?m)^[ \t]+\S", code.partition("\n")[0])
            code = code if indented else "\n".join(f"    {line}" for line in code.splitlines())
            return f"{setup.rstrip()}\n{code}\n\n{task['tests']}\n"
    return f"{setup}\n{code}\n\n{task['tests']}\n"
