"""The classes of degenerate answers on labelled cases, and the choice of the best answer.

`python -m infinity_assets_tests.synthesis.test_answers` updates the table of docs/answers.md.
"""

import re
from functools import cache
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.settings.foundation import Limits
from infinity_assets.synthesis.answers import REASONS, choose, find_degenerate
from infinity_assets.synthesis.execution import execute
from infinity_assets_tests.properties import examples

CASES = Path(__file__).parent / "cases" / "answers"
PAGE = Path(__file__).parents[2] / "docs" / "answers.md"
SCHEMA = pl.Schema(dict.fromkeys(["row_id", "text", "request", "tests", "finish_reason", "error"], pl.String()))
FLOOR, LEAST, CHINESE = 0.9, 15, 1 / 3


def lines(*answers: dict) -> pl.DataFrame:
    """Return answers, by default with the finish reason `stop`."""
    complete = [{"row_id": str(number), "finish_reason": "stop", **answer} for number, answer in enumerate(answers)]
    return pl.DataFrame(complete, schema=SCHEMA)


@cache
def cases() -> pl.DataFrame:
    """Return all cases: class of their file, whether they are `wanted` in it, and the `reason` found."""
    listed = [
        (reason, wanted, {"text": None if case["answer"] is None else str(case["answer"]), **case})
        for reason in REASONS
        for wanted, name in ((True, "out"), (False, "pass"))
        for case in yaml.safe_load((CASES / f"{reason}.yaml").read_text("utf-8"))[name]
    ]
    files, wanted, given_cases = zip(*listed, strict=True)
    frame = lines(*({name: value for name, value in case.items() if name in SCHEMA} for case in given_cases))
    frame = frame.with_columns(pl.Series("file", files), pl.Series("wanted", wanted))
    degenerate = find_degenerate(frame)
    run = execute(frame.join(degenerate, on="row_id", how="anti"), Limits(seconds=1))
    wrong = find_degenerate(frame.join(run.filter(pl.col("said").is_not_null()), on="row_id"))
    found = pl.concat([degenerate, wrong]).unique("row_id", keep="first")
    frame = frame.join(found, on="row_id", how="left", maintain_order="left")
    return frame.with_columns(label=pl.when("wanted").then("file"))


def table() -> str:
    """Return cases, precision and recall per class. A case of any file can be a false positive of a class."""
    head = ["| class | degenerate | near misses | precision | recall |", "|---|---|---|---|---|"]
    for reason in REASONS:
        own, found = cases().filter(pl.col("label") == reason), cases().filter(pl.col("reason") == reason)
        right = own.filter(pl.col("reason") == reason).height
        near = cases().filter(pl.col("file") == reason, ~pl.col("wanted")).height
        head.append(
            f"| `{reason}` | {own.height} | {near} | {right / max(found.height, 1):.2f} | {right / own.height:.2f} |"
        )
    return "\n".join(head)


def page_figures() -> dict[str, tuple[float, float]]:
    """Return precision and recall by class from the page."""
    found = re.findall(r"\| `(\w+)` \| \d+ \| \d+ \| ([\d.]+) \| ([\d.]+) \|", PAGE.read_text("utf-8"))
    return {reason: (float(precision), float(recall)) for reason, precision, recall in found}


@pytest.mark.parametrize("reason", REASONS)
def test_each_class_has_enough_cases(reason: str) -> None:
    own = cases().filter(pl.col("file") == reason)
    assert own.filter("wanted").height >= LEAST
    assert own.filter(~pl.col("wanted")).height >= LEAST
    assert own["request"].str.contains(r"\p{Han}").sum() >= (CHINESE - 0.05) * own.height


def test_the_page_has_the_current_table() -> None:
    assert table() in PAGE.read_text("utf-8"), "update it: python -m infinity_assets_tests.synthesis.test_answers"


@pytest.mark.parametrize("reason", REASONS)
def test_precision_and_recall_reach_the_floor(reason: str) -> None:
    assert min(page_figures()[reason]) >= FLOOR


TEXTS, CLASSES = st.sampled_from([None, "", "one", "two", "three"]), st.sampled_from([None, *REASONS])
ANSWER = st.tuples(TEXTS, CLASSES, st.sampled_from([None, 1.0, 2.0]))
DRAWN = st.lists(st.lists(ANSWER, min_size=1, max_size=5), min_size=1, max_size=4)
"""Answers per instruction: text, class, score."""


def frame_of(instructions: list) -> pl.DataFrame:
    """Return a frame for `choose`, in which equal texts have one class and one score."""
    rows, seen = [], {}
    for number, given_answers in enumerate(instructions):
        for index, (text, reason, score) in enumerate(given_answers):
            reason, score = seen.setdefault((number, text), (reason if text else "no_answer", score))
            line = (f"{number:03d}", index, text, f"{number}/{text}", reason, "{}" if reason else None)
            rows.append((*line, None if reason else score, "judge"))
    names = ("row_id", "index", "text", "answer_id", "reason", "detail", "score", "by")
    types = [pl.String, pl.Int64, pl.String, pl.String, pl.String, pl.String, pl.Float64, pl.String]
    return pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")


@settings(max_examples=examples(60), deadline=None)
@given(instructions=DRAWN, data=st.data())
def test_the_best_is_kept_and_no_answer_is_lost(instructions: list, data: st.DataObject) -> None:
    made = frame_of(instructions)
    best, others = choose(made.sample(fraction=1, shuffle=True, seed=data.draw(st.integers(0, 99))))
    place = ["row_id", "index"]
    assert best["row_id"].to_list() == made["row_id"].unique().sort().to_list()
    written = made.filter(pl.col("text").fill_null("") != "").select(place)
    blank_best = best.filter(pl.col("text").fill_null("") == "").height
    assert others.height + best.height - blank_best == written.height
    assert pl.concat([others.select(place), best.select(place)]).is_unique().all()
    assert others["reason"].null_count() == others["detail"].null_count() == 0
    for row_id, index, reason, score, rejected in best.select(*place, "reason", "score", "rejected").iter_rows():
        own = made.filter(pl.col("row_id") == row_id)
        usable = own.filter(pl.col("reason").is_null())
        assert (reason is None) == (usable.height > 0)
        if reason is not None:
            reached = own["reason"].replace_strict({name: n for n, name in enumerate(REASONS)}, return_dtype=pl.Int64)
            assert REASONS.index(reason) == reached.max()
            assert index == own.filter(reached == reached.max())["index"].min()
            assert rejected is None
            continue
        assert score == usable["score"].max()
        assert index == usable.filter(pl.col("score").eq_missing(pl.lit(score, pl.Float64)))["index"].min()
        if usable["score"].n_unique() - (usable["score"].null_count() > 0) > 1:
            assert rejected["score"] == usable["score"].min() < score
            assert rejected["answer"] in usable.filter(pl.col("score") == rejected["score"])["text"].to_list()
        else:
            assert rejected is None


@settings(max_examples=examples(15), deadline=None)
@given(
    words=st.lists(st.text("abcdefgh", min_size=4, max_size=6), min_size=2, max_size=8, unique=True),
    times=st.integers(1, 12),
)
def test_a_text_repeated_more_than_four_times_is_a_loop(words: list[str], times: int) -> None:
    found = find_degenerate(lines({"request": "Say something about the shop.", "text": ". ".join(words * times)}))
    if times == 1 or times > 4:
        assert ("loop" in found["reason"]) == (times > 4)


def test_a_failed_program_is_the_last_reason() -> None:
    answers = lines(*({"request": "Add.", "text": text} for text in ("It is done.", "", "It is done.")))
    degenerate = find_degenerate(answers.with_columns(said=pl.Series(["AssertionError", "AssertionError", None])))
    assert degenerate.select("row_id", "reason").rows() == [("0", "fails_its_tests"), ("1", "no_answer")]


def test_an_answer_with_a_score_is_better_than_one_without() -> None:
    best, _ = choose(frame_of([[("Not scored.", None, None), ("Scored.", None, 1.0)]]))
    assert best["text"].to_list() == ["Scored."]


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    PAGE.write_text(re.sub(r"\| class \| degenerate .*?\|\n(?=\n|\Z)", table() + "\n", page, flags=re.DOTALL), "utf-8")
