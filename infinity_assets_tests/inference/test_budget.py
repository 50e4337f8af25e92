"""Answers of any length never exceed a cap, and earlier answers stay stored."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.inference.budget import Budget, BudgetSpent, parse
from infinity_assets.inference.client import Inference
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.requests import Response
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings.models import Calls, ModelSpec, Price, Sampling
from infinity_assets_tests.inference.doubles import SPEC, ScriptedEngine, ask

tokens = st.integers(0, 500)


@given(
    cap=st.integers(1, 3000),
    calls=st.lists(st.tuples(tokens, tokens, st.floats(0, 1)), max_size=40),
    in_flight=st.integers(1, 8),
)
def test_no_order_of_answers_exceeds_the_cap(cap, calls, in_flight):
    budget, price = Budget(Calls(budget_tokens=cap, budget_cost=cap / 1e6)), Price(prompt=1.0, completion=1.0)
    flying = []
    admit = budget.admission(price)
    for prompt, most, share in calls:
        if len(flying) == in_flight:
            budget.settle(price, *flying.pop(0))
        if not admit(prompt, most):
            break
        flying.append((prompt, int(most * share), most))
    for answer in flying:
        budget.settle(price, *answer)
    assert budget.tokens <= cap
    assert budget.cost <= cap / 1e6 + 1e-12


def test_the_tokens_of_requests_in_flight_are_reserved() -> None:
    admit = Budget(Calls(budget_tokens=100)).admission(Price())
    assert [admit(40, 20), admit(40, 20)] == [True, False]


@pytest.mark.parametrize(
    ("text", "tokens", "cost"),
    [
        ("2M", 2_000_000, None),
        ("500k tokens", 500_000, None),
        ("1,000", 1000, None),
        ("$5", None, 5.0),
        ("2.50 eur", None, 2.5),
        ("7 USD", None, 7.0),
        ("€5", None, 5.0),
    ],
)
def test_a_budget_is_tokens_or_money(text, tokens, cost):
    assert parse(text) == Calls(budget_tokens=tokens, budget_cost=cost)


@pytest.mark.parametrize("text", ["", "much", "-5", "0", "5 apples", "1.2.3", "0.5", "1.5 tokens"])
def test_an_invalid_budget_is_an_error(text):
    with pytest.raises(InfinityError, match=r"budget|is not a whole number of tokens"):
        parse(text)


def test_a_spent_budget_keeps_the_answers_and_the_next_run_continues(tmp_path):
    store = ResponseStore(tmp_path)
    requests = [ask(f"r{number}", sampling=Sampling(temperature=0.0, max_tokens=10)) for number in range(20)]
    answer = Response(text="fine", finish_reason="stop", prompt_tokens=3, completion_tokens=2)
    budget, ledger = Budget(Calls(budget_tokens=60)), Ledger()
    first = ScriptedEngine(lambda _: answer, prompt_tokens=3)
    reason = r"stage: the next call, of up to 13 tokens, might exceed the budget \(\d+ of 60 tokens are used\)"
    with pytest.raises(BudgetSpent, match=reason):
        Inference(store, first.pool(), ledger=ledger, budget=budget).generate(SPEC, requests, "stage")
    assert ledger.generations.height == len(first.asked)
    calls = ledger.generations
    assert calls.select(pl.col("prompt_tokens").sum() + pl.col("completion_tokens").sum()).item() == budget.tokens
    assert 0 < len(first.asked) < 20
    assert budget.tokens == 5 * len(first.asked) <= 60
    second = ScriptedEngine(lambda _: answer, prompt_tokens=3)
    frame = Inference(store, second.pool(), budget=Budget()).generate(SPEC, requests, "stage").frame
    assert frame["error"].null_count() == 20
    assert len(second.asked) == 20 - len(first.asked)


def test_stored_answers_cost_nothing(tmp_path):
    store, requests = ResponseStore(tmp_path), [ask(f"r{number}") for number in range(5)]
    Inference(store, ScriptedEngine().pool()).generate(SPEC, requests, "stage")
    budget = Budget(Calls(budget_tokens=1))
    again = Inference(store, ScriptedEngine().pool(), budget=budget).generate(SPEC, requests, "stage")
    assert again.frame["cached"].all()
    assert (budget.tokens, budget.spent) == (0, False)


def test_the_ledger_records_the_cost_of_a_call(tmp_path):
    spec = ModelSpec(model="scripted", price=Price(prompt=2.0, completion=10.0))
    answer = Response(text="fine", finish_reason="stop", prompt_tokens=1000, completion_tokens=100)
    store, pool = ResponseStore(tmp_path), ScriptedEngine(lambda _: answer).pool()
    calls = Inference(store, pool).generate(spec, [ask("a"), ask("b"), ask("a")], "stage").generations
    assert calls["cost"].to_list() == pytest.approx([0.003, 0.003, 0.0])
    rented = ModelSpec(model="rented", price=Price(hour=3600.0))
    calls = Inference(store, pool).generate(rented, [ask("a"), ask("b"), ask("a")], "stage").generations
    paid = calls.filter(~pl.col("cached"))["cost"]
    assert paid[0] == pytest.approx(paid[1])
    assert paid[0] > 0
