"""A turn of the loop: how scores change the factors, and when they do not."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infinity_assets.evaluation.loop import STATE, advance, bound, fingerprint
from infinity_assets.evaluation.scores import SCORE
from infinity_assets.settings.foundation import Loop
from infinity_assets_tests.properties import examples

SHARES = {"math": 0.2, "code": 0.6, "chat": 0.5}


def table(model: str = "proxy 1", items: int = 100, **scores: float) -> pl.DataFrame:
    """Return scores of a model, and a reference of 0.5 in math and code."""
    domains = {"gsm8k": "math", "humaneval": "code", "chatter": "chat"}
    lines = [
        {"model": model, "role": "tested", "benchmark": name, "domain": domains[name], "items": items,
         "answered": items, "score": score, "stderr": (score * (1 - score) / items) ** 0.5,
         "origin": "evaluator"}
        for name, score in scores.items()
    ]  # fmt: skip
    lines += [
        {"model": "R", "role": "reference", "benchmark": name, "domain": domains[name], "score": 0.5}
        for name in ("gsm8k", "humaneval")
    ]
    return pl.DataFrame(lines, schema=SCORE)


def factors(state: pl.DataFrame) -> dict[str, float]:
    return dict(state.select("domain", "factor").rows())


def test_without_scores_nothing_is_relaxed() -> None:
    state = advance(None, pl.DataFrame(schema=SCORE), SHARES, Loop())
    assert state.schema == STATE
    assert factors(state) == {"chat": 1.0, "code": 1.0, "math": 1.0}
    assert set(state["turn"]) == {0}
    assert state["turns"].list.len().sum() == 0


def test_a_domain_is_relaxed_in_proportion_to_its_gap() -> None:
    state = advance(None, table(gsm8k=0.0, humaneval=0.25, chatter=0.1), SHARES, Loop(step=0.5))
    assert factors(state) == pytest.approx({"chat": 1.0, "code": 1.25, "math": 1.5})
    why = {row["domain"]: row["why"] for row in state.iter_rows(named=True)}
    assert why["chat"] == "no benchmark of it has both a score and a reference"
    assert why["math"] == "scored 0.000 ± 0.010, the reference 0.500: relaxed"


def test_known_scores_do_not_advance_the_loop() -> None:
    first = advance(None, table(gsm8k=0.1), SHARES, Loop())
    assert advance(first, table(gsm8k=0.1), SHARES, Loop()).equals(first)
    assert advance(first, table("proxy 2", gsm8k=0.1), SHARES, Loop()).equals(first), "the model's name does not count"
    assert advance(first, pl.DataFrame(schema=SCORE), SHARES, Loop()).equals(first), "no scores: the budget is kept"


def test_the_loop_relaxes_while_it_gains_and_ends_at_the_reference() -> None:
    state, turns = None, []
    for score in (0.0, 0.2, 0.35, 0.47):
        state = advance(state, table(gsm8k=score), SHARES, Loop(step=0.5))
        turns.append(factors(state)["math"])
    assert turns[0] < turns[1] < turns[2] == turns[3]
    assert state is not None
    last = state.filter(pl.col("domain") == "math").row(0, named=True)
    assert (last["turn"], len(last["turns"])) == (4, 4)
    assert "the gap is closed" in last["why"]


def test_a_domain_without_a_gain_is_not_relaxed_until_it_gains() -> None:
    state, relaxed = None, []
    for score in (0.1, 0.12, 0.11, 0.3):
        state = advance(state, table(gsm8k=score), SHARES, Loop())
        relaxed.append(state.filter(pl.col("domain") == "math")["turns"].item()[-1]["relaxed"])
    assert relaxed == [True, False, False, True]


def test_gains_are_counted_between_models_of_one_subject() -> None:
    """A proxy may score less than its base model."""
    first = advance(None, table("base", gsm8k=0.2), SHARES, Loop())
    second = advance(first, table("proxy 1", gsm8k=0.1), SHARES, Loop())
    assert second.filter(pl.col("domain") == "math")["turns"].item()[-1]["relaxed"]
    third = advance(second, table("proxy 2", gsm8k=0.12), SHARES, Loop())
    assert "no gain since turn 2" in third.filter(pl.col("domain") == "math")["why"].item()


def test_few_items_leave_a_standard_error() -> None:
    """One more item of twenty is not a gain, although the computed standard error of a score of 0 is 0."""
    first = advance(None, table(items=20, gsm8k=0.0), SHARES, Loop())
    second = advance(first, table(items=20, gsm8k=0.05), SHARES, Loop())
    assert "no gain" in second.filter(domain="math")["why"].item()


@hypothesis_settings(max_examples=examples(50), deadline=None)
@given(
    turns=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=8),
    step=st.floats(0, 3),
    most=st.floats(1, 10),
    share=st.floats(0, 1),
)
def test_factors_only_grow_and_stay_within_their_bound(turns: list, step: float, most: float, share: float) -> None:
    loop, shares = Loop(step=step, bound=most), {"math": share, "code": 0.6, "chat": 0.0}
    state, before = None, 1.0
    for number, (math_score, code_score) in enumerate(turns):
        scores = table(f"proxy {number}", gsm8k=math_score, humaneval=code_score)
        state = advance(state, scores, shares, loop)
        factor = factors(state)["math"]
        assert before <= factor <= bound(share, loop) <= most
        assert share * factor <= 1.0 + 1e-9
        assert advance(state, scores, shares, loop).equals(state), "a turn is taken once"
        assert state["scores"].to_list() == [fingerprint(scores)] * 3
        before = factor
