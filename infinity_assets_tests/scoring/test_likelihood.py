import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.likelihood import losses
from infinity_assets_tests.properties import examples

SCHEMA = {"row_id": pl.String, "sum_logprob": pl.Float64, "answer_tokens": pl.Int64, "error": pl.String}
FINE = (-3.0, 2, None)


def scored(*lines: tuple) -> pl.DataFrame:
    return pl.DataFrame([(f"r{number}", *line) for number, line in enumerate(lines)], schema=SCHEMA, orient="row")


def only(context: tuple, alone: tuple, instruction: tuple = FINE) -> dict:
    return losses(scored(context), scored(alone), scored(instruction)).row(0, named=True)


@settings(max_examples=examples(50), deadline=None)
@given(context=st.floats(-500, 0), alone=st.floats(-500, -0.1), asked=st.floats(-500, -0.1), tokens=st.integers(1, 400))
def test_ratios_follow_from_the_three_mean_losses(context: float, alone: float, asked: float, tokens: int) -> None:
    line = only((context, tokens, None), (alone, tokens, None), (asked, 7, None))
    assert line["loss"] == pytest.approx(-context / tokens)
    assert line["loss_alone"] == pytest.approx(-alone / tokens)
    assert line["loss_instruction"] == pytest.approx(-asked / 7)
    assert line["ifd"] == pytest.approx(context / alone)
    assert math.log(line["ifd_perplexity"]) == pytest.approx(line["loss"] - line["loss_alone"])
    assert line["ic_ifd"] == pytest.approx(line["ifd"] / line["loss_instruction"])
    assert line["likelihood_error"] is None
    assert line["ic_ifd_error"] is None


FAILURES = [
    # with context, alone, reason
    ((None, None, "timeout"), (-1.0, 2, None), "timeout"),
    ((-1.0, 2, None), (None, None, "too long"), "too long"),
    ((None, None, "one"), (None, None, "other"), "one"),
    ((0.0, 0, None), (0.0, 0, None), "no_answer_tokens"),
    ((-1.0, 2, None), (0.0, 2, None), "no_answer_tokens"),
    ((-math.inf, 2, None), (-1.0, 2, None), "no_answer_tokens"),
    ((math.nan, 2, None), (-1.0, 2, None), "no_answer_tokens"),
]


@pytest.mark.parametrize(("with_context", "alone", "reason"), FAILURES)
def test_a_row_without_a_score_is_null_with_a_reason(with_context: tuple, alone: tuple, reason: str) -> None:
    line = only(with_context, alone)
    assert (line["ifd"], line["ifd_perplexity"], line["likelihood_error"]) == (None, None, reason)
    assert (line["ic_ifd"], line["ic_ifd_error"]) == (None, reason)


@pytest.mark.parametrize(
    ("asked", "reason"), [((None, None, "timeout"), "timeout"), ((0.0, 3, None), "no_answer_tokens")]
)
def test_an_instruction_without_a_loss_does_not_affect_ifd(asked: tuple, reason: str) -> None:
    line = only((-1.0, 2, None), (-2.0, 2, None), asked)
    assert (line["ifd"], line["likelihood_error"]) == (0.5, None)
    assert (line["ic_ifd"], line["ic_ifd_error"]) == (None, reason)


def test_losses_are_joined_by_row_id() -> None:
    context, alone = scored((-1.0, 1, None), (-8.0, 2, None), (-3.0, 1, None)), scored((-2.0, 1, None), (-4.0, 2, None))
    lines = losses(context, alone.reverse(), scored(FINE, FINE))
    assert dict(lines.select("row_id", "ifd").iter_rows()) == {"r0": 0.5, "r1": 2.0, "r2": None}
