import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.schema import DOMAINS
from infinity_assets.selection.foundation import budget, describe, form_rules, score_rules
from infinity_assets.selection.rules import first_failure
from infinity_assets.settings import Foundation
from infinity_assets_tests.frames import pool

FEW = settings(max_examples=40, deadline=None)

FORM = [
    # turns, reason
    ([("user", "What is the capital of France?"), ("assistant", "It is Paris.")], None),
    ([("user", "2+2?"), ("assistant", "42")], None),
    ([("user", "2+2?"), ("assistant", "4")], "answer_too_short"),
    ([("user", "What is this?")], "no_answer"),
    ([("user", "What is this?"), ("assistant", "x " * 20_000)], "answer_too_long"),
    ([("user", "Hello"), ("assistant", "Hi <|im_end|>")], "template_debris"),
    ([("user", "Hello"), ("assistant", "Hi\n### Response: Hi")], "template_debris"),
    ([("user", "Hello"), ("assistant", "I am ChatGPT, at your service.")], "identity_leak"),
    ([("user", "Hello"), ("assistant", "As an AI language model I have no name.")], "identity_leak"),
    ([("user", "Hello"), ("assistant", "I'm sorry, but I cannot help with that.")], "refusal"),
    ([("user", "你好"), ("assistant", "抱歉，我无法回答。")], "refusal"),
    ([("user", "What is the capital of France?"), ("assistant", "法国的首都是巴黎。")], "wrong_language"),
    ([("user", "Translate the word paper into Chinese."), ("assistant", "这个词是纸。")], None),
    ([("user", "What is the name of the man?"), ("assistant", "Der Mann ist nicht der, den sie und ich sind.")], None),  # both Latin
]


@pytest.mark.parametrize(("turns", "reason"), FORM)
def test_rules_of_form(turns: list, reason: str | None) -> None:
    failed = first_failure(describe(pool(("s", "f", 0, turns))), form_rules(Foundation()))
    assert failed["reason"].to_list() == ([reason] if reason else [])


def test_code_may_answer_in_another_language() -> None:
    row = pool(("s", "f", 0, [("user", "What is the capital of France?"), ("assistant", "法国的首都是巴黎。")]))
    assert first_failure(describe(row.with_columns(domain=pl.lit("code"))), form_rules(Foundation())).is_empty()


@pytest.mark.parametrize(
    ("ifd", "quality", "reason"),
    [(0.5, 3.0, None), (None, None, None), (1.0, 5.0, "instruction_does_not_help"), (None, 1.49, "low_quality"), (0.99, 1.5, None)],
)
def test_rules_on_scores_pass_what_was_not_scored(ifd: float | None, quality: float | None, reason: str | None) -> None:
    frame = pl.DataFrame({"row_id": ["r"], "ifd": [ifd], "quality": [quality]}, schema_overrides={"ifd": pl.Float64, "quality": pl.Float64})
    assert first_failure(frame, score_rules(Foundation()))["reason"].to_list() == ([reason] if reason else [])


@FEW
@given(
    rows=st.dictionaries(st.sampled_from(DOMAINS), st.integers(0, 10_000)),
    shares=st.fixed_dictionaries({domain: st.floats(0, 1) for domain in DOMAINS}),
    max_rows=st.integers(1, 20_000),
)
def test_the_budget(rows: dict, shares: dict, max_rows: int) -> None:
    available = pl.DataFrame(list(rows.items()), schema={"domain": pl.String, "rows": pl.UInt32}, orient="row")
    lines = budget(available, Foundation(keep_share=shares, max_rows=max_rows))
    assert lines["domain"].to_list() == sorted(rows)
    assert lines["quota"].sum() <= max_rows
    wanted = {domain: math.ceil(count * shares.get(domain, 0.0)) for domain, count in rows.items()}
    for line in lines.iter_rows(named=True):
        assert line["available"] == rows[line["domain"]]
        assert 0 <= line["quota"] <= wanted[line["domain"]] <= line["available"]
        if sum(wanted.values()) <= max_rows:
            assert line["quota"] == wanted[line["domain"]]
        else:
            assert abs(line["quota"] - wanted[line["domain"]] * max_rows / sum(wanted.values())) <= 1
            assert str(max_rows) in line["reason"]
