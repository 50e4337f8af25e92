"""Labelled answers per class, and which of several is kept.

`python -m infinity_assets_tests.synthesis.test_answers` writes the table of docs/answers.md again.
"""

import json
import re
from functools import cache
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.evaluation import sandbox
from infinity_assets.foundation_settings import Limits
from infinity_assets.synthesis.answers import REASONS, choose, failures
from infinity_assets.synthesis.execution import execute

CASES = Path(__file__).parent / "cases" / "answers"
PAGE = Path(__file__).parents[2] / "docs" / "answers.md"
SCHEMA = dict.fromkeys(("row_id", "text", "request", "tests", "finish_reason", "error"), pl.String)
FLOOR, LEAST, CHINESE = 0.9, 15, 1 / 3


def lines(*answers: dict) -> pl.DataFrame:
    """Answers that ended by themselves, unless told otherwise."""
    filled = [{"row_id": str(number), "finish_reason": "stop", **answer} for number, answer in enumerate(answers)]
    return pl.DataFrame(filled, schema=SCHEMA)


@cache
def cases() -> pl.DataFrame:
    """All cases: the class whose file they are in, whether they are of it, and the class that they were told to be of."""
    listed = [
        (reason, wanted, {"text": None if case["answer"] is None else str(case["answer"]), **case})
        for reason in REASONS
        for wanted, name in ((True, "out"), (False, "pass"))
        for case in yaml.safe_load((CASES / f"{reason}.yaml").read_text("utf-8"))[name]
    ]
    frame = lines(*({name: value for name, value in case.items() if name in SCHEMA} for *_, case in listed)).with_columns(
        pl.Series("file", [reason for reason, *_ in listed]), pl.Series("wanted", [wanted for _, wanted, _ in listed])
    )
    told = failures(frame)
    run = execute(frame.join(told, on="row_id", how="anti"), Limits(seconds=1))
    wrong = failures(frame.join(run.filter(pl.col("said").is_not_null()), on="row_id"))
    frame = frame.join(pl.concat([told, wrong]).unique("row_id", keep="first"), on="row_id", how="left", maintain_order="left")
    return frame.with_columns(label=pl.when("wanted").then("file"))


def table() -> str:
    """Cases, precision and recall per class. A case of any file counts against a class that it is wrongly told to be of."""
    head = ["| class | degenerate | near misses | precision | recall |", "|---|---|---|---|---|"]
    for reason in REASONS:
        own, found = cases().filter(pl.col("label") == reason), cases().filter(pl.col("reason") == reason)
        right = own.filter(pl.col("reason") == reason).height
        near = cases().filter(pl.col("file") == reason, ~pl.col("wanted")).height
        head.append(f"| `{reason}` | {own.height} | {near} | {right / max(found.height, 1):.2f} | {right / own.height:.2f} |")
    return "\n".join(head)


def told() -> dict[str, tuple[float, float]]:
    """Precision and recall by class, as the page has them."""
    found = re.findall(r"\| `(\w+)` \| \d+ \| \d+ \| ([\d.]+) \| ([\d.]+) \|", PAGE.read_text("utf-8"))
    return {reason: (float(precision), float(recall)) for reason, precision, recall in found}


@pytest.mark.parametrize("reason", REASONS)
def test_the_cases_are_enough(reason: str) -> None:
    own = cases().filter(pl.col("file") == reason)
    assert own.filter("wanted").height >= LEAST
    assert own.filter(~pl.col("wanted")).height >= LEAST
    assert own["request"].str.contains(r"\p{Han}").mean() >= CHINESE - 0.05


def test_the_page_says_what_the_rules_do() -> None:
    assert table() in PAGE.read_text("utf-8"), "write it again: python -m infinity_assets_tests.synthesis.test_answers"


@pytest.mark.parametrize("reason", REASONS)
def test_precision_and_recall(reason: str) -> None:
    assert min(told()[reason]) >= FLOOR


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    PAGE.write_text(re.sub(r"\| class \| degenerate .*?\|\n(?=\n|\Z)", table() + "\n", page, flags=re.DOTALL), "utf-8")
