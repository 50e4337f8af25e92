"""Counts, rows on both sides of a threshold, and other thresholds, against a plain count over facts."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.rows.domains import DOMAINS
from infinity_assets.selection.rules import counts, measures, rulebook
from infinity_assets.selection.rules.rule import first_failure
from infinity_assets.settings.foundation import Rules, Thresholds
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(40), deadline=None)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "domain": st.sampled_from(DOMAINS),
            "source": st.sampled_from(["a", "b"]),
            "answer_chars": st.none() | st.integers(0, 5),
            "tool_marks": st.integers(0, 2),
            "ifd": st.none() | st.sampled_from([0.5, 1.0, 1.5]),
        }
    ),
    max_size=12,
)
THRESHOLD = st.none() | st.integers(0, 4)


def facts_of(rows: list[dict]) -> pl.DataFrame:
    places = pl.DataFrame(
        [(f"{n:032x}", row["source"], "f", row["domain"]) for n, row in enumerate(rows)],
        schema=dict.fromkeys(rulebook.PLACE, pl.String),
        orient="row",
    )
    given = pl.DataFrame(rows, schema={"answer_chars": pl.UInt32, "tool_marks": pl.UInt32, "ifd": pl.Float64})
    measured = pl.DataFrame(schema=measures.MEASURES).clear(places.height)
    measured = measured.with_columns(places["row_id"], given["answer_chars"], given["tool_marks"])
    scored = places.select("row_id", given["ifd"], quality=pl.lit(None, pl.Float64))
    return rulebook.facts(places, measured, scored, Rules())


def fails_plainly(row: dict, name: str, rules: Rules) -> bool | None:
    """Return whether a row fails one of three rules by the settings, or `None` if the rule does not apply."""
    value, sign = {
        "answer_too_short": (row["answer_chars"], lambda a, b: a < b),
        "tool_marks": (row["tool_marks"], lambda a, b: a > b),
        "instruction_does_not_help": (row["ifd"], lambda a, b: a >= b),
    }[name]
    threshold = getattr(rules.thresholds, name)
    threshold = rules.domains.get(row["domain"], {}).get(name, threshold)
    threshold = rules.sources.get(row["source"], {}).get(name, threshold)
    return None if value is None or threshold is None else sign(value, threshold)


THREE = ("answer_too_short", "tool_marks", "instruction_does_not_help")


@FEW
@given(
    rows=ROWS, general=THRESHOLD, of_math=THRESHOLD, of_a=THRESHOLD, shown=st.integers(1, 3), other=st.integers(0, 4)
)
def test_counts_sides_and_what_if_equal_a_plain_count(
    rows: list[dict], general: int | None, of_math: int | None, of_a: int | None, shown: int, other: int
) -> None:
    rules = Rules(
        thresholds=Thresholds.model_validate({"answer_too_short": general}),
        domains={"math": {"tool_marks": of_math}},
        sources={"a": {"answer_too_short": of_a}},
    )
    facts = facts_of(rows)
    verdicts = {name: [fails_plainly(row, name, rules) for row in rows] for name in THREE}
    table = counts.counts(facts, rules)
    assert table.schema == counts.COUNTS
    assert sorted(set(table["domain"])) == sorted({row["domain"] for row in rows})
    for line in table.iter_rows(named=True):
        if line["rule"] not in THREE:
            assert line["failing"] == 0
            continue
        members = [n for n, row in enumerate(rows) if row["domain"] == line["domain"]]
        failing = [n for n in members if verdicts[line["rule"]][n]]
        assert line["judged"] == sum(verdicts[line["rule"]][n] is not None for n in members)
        assert line["failing"] == len(failing)
        assert line["failing_alone"] == sum(sum(bool(verdicts[name][n]) for name in THREE) == 1 for n in failing)
    for name in THREE:
        bound = rulebook.BY_NAME[name]
        sides = counts.sides(facts, bound, rules, shown)
        assert sides.schema == counts.SIDES
        for fails in (True, False):
            side = sides.filter(pl.col("fails") == fails)
            everything = counts.sides(facts, bound, rules, len(rows) + 1).filter(pl.col("fails") == fails)
            away = [abs(float(m) - float(t)) for m, t in everything.select("measure", "threshold").iter_rows()]
            assert len(away) == sum(verdict is fails for verdict in verdicts[name])
            assert [abs(float(m) - float(t)) for m, t in side.select("measure", "threshold").iter_rows()] == sorted(
                away
            )[:shown]
        then = rulebook.replace_threshold(rules, name, other)
        changed = counts.what_if(facts, bound, rules, other)
        expected = [fails_plainly(row, name, then) for row in rows]
        assert changed["failing"].sum() == sum(map(bool, verdicts[name]))
        assert changed["failing_then"].sum() == sum(map(bool, expected))
        assert changed["more"].sum() == sum(map(bool, expected)) - sum(map(bool, verdicts[name]))
    failed = dict(first_failure(facts, rulebook.rules(rules)).select("row_id", "reason").iter_rows())
    for n, row_id in enumerate(facts["row_id"]):
        assert failed.get(row_id) == next((name for name in THREE if verdicts[name][n]), None)


def test_equally_near_rows_show_every_source() -> None:
    rows = [
        {"domain": "chat", "source": source, "answer_chars": 9, "tool_marks": 0, "ifd": None} for source in "aaaaaaaab"
    ]
    sides = counts.sides(facts_of(rows), rulebook.BY_NAME["tool_marks"], Rules(), 2)
    assert sorted(sides["source"]) == ["a", "b"]


def test_every_rule_has_a_finite_threshold() -> None:
    assert all(math.isfinite(threshold) for threshold in Thresholds().model_dump().values())


def test_an_unknown_rule_raises_an_error_with_the_known_ones() -> None:
    with pytest.raises(InfinityError, match=r"There is no rule `refusals`; there are no_answer, .*refusal"):
        counts.find_bound("refusals")
    with pytest.raises(ValueError, match=r"Input should be .*'low_quality'"):
        Rules(domains={"code": {"too_short": 3}})
