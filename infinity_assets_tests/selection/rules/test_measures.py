"""Every rule on labelled passing and failing texts. The texts are ours, modeled on rows of the sample sources."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.rules import first_failure, measures, rulebook
from infinity_assets.settings.foundation import Rules
from infinity_assets_tests.frames import pool
from infinity_assets_tests.properties import examples

NO_SCORES = pl.DataFrame(schema={"row_id": pl.String, "ifd": pl.Float64, "quality": pl.Float64})


def failures(
    *turns: str, domain: str = "chat", source: str = "s", file: str = "f", rules: Rules | None = None
) -> list[str]:
    """Return the names of all rules that a conversation fails."""
    rules = rules or Rules()
    named = [("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(turns)]
    row = pool((source, file, 0, named)).with_columns(domain=pl.lit(domain))
    facts = rulebook.facts(row, measures.measure(row), NO_SCORES, rules)
    return [bound.name for bound in rulebook.BOUNDS if facts.select(bound.rule(rules).fails.fill_null(False)).item()]


LONG = (
    "The market opens at eight, and the bakers are there before it. Their ovens were lit at three in the morning, when the rest of the town slept. "
    "By noon the stalls are empty, the square is swept, and only the smell of yeast is left between the old houses. "
)

MADE_UP = [
    # answer to "Tell me about it.", rules that it fails
    ("x " * 11_000, ["answer_too_long", "repeated_runs"]),
    (LONG + "They sell bread, rolls and", ["unfinished"]),
    (LONG + "They sell bread, rolls,", ["unfinished"]),
    (LONG + "\n\nSincerely,", []),
    (LONG + "Bread and rolls", []),
    (LONG + "\n```\n1 | 2\n3 | 4", ["unfinished"]),
    ("I cannot help with the flight itself. " + "But the trains go every hour, and the bus takes you there, too. " * 10, ["repeated_runs"]),
    ("I am happy to be here. " * 40, ["repeated_runs"]),
]  # fmt: skip
LABELLED: list[dict[str, Any]] = [
    *yaml.safe_load(Path(__file__).with_name("labelled_texts.yaml").read_text(encoding="utf-8")),
    {"prompt": "Tell me about it.", "domain": "chat", "answers": MADE_UP},
]


def test_labelled_texts_fail_the_expected_rules() -> None:
    cases = [(part["prompt"], part["domain"], *case) for part in LABELLED for case in part["answers"]]
    turns = [(("user", prompt), ("assistant", answer)) for prompt, _, answer, _ in cases]
    rows = pool(*(("s", "f", n, both) for n, both in enumerate(turns)))
    rows = rows.with_columns(pl.Series("domain", [domain for _, domain, _, _ in cases]))
    facts = rulebook.facts(rows, measures.measure(rows), NO_SCORES, Rules())
    fails = facts.select(bound.rule(Rules()).fails.fill_null(False).alias(bound.name) for bound in rulebook.BOUNDS)
    failing = [[name for name in fails.columns if line[name]] for line in fails.iter_rows(named=True)]
    wrong = [(*case, found) for case, found in zip(cases, failing, strict=True) if found != case[-1]]
    assert len(cases) > 80
    assert wrong == []


def test_code_is_judged_in_the_code_domain_only() -> None:
    assert failures("How do I read a file?", "with open('a.txt') as f:\n    print(f.read())", domain="knowledge") == []


@pytest.mark.parametrize(
    ("answer", "language"),
    [
        ("CREATE TABLE pets (\n  name TEXT\n);", "sql"),
        ("create index by_name on pets (name);", "sql"),
        ("Use this:\n```\nALTER TABLE pets ADD age INT;\n```", "sql"),
        ("You create a table of pets first.", None),
    ],
)
def test_statements_that_define_tables_are_sql(answer: str, language: str | None) -> None:
    row = pool(("s", "f", 0, [("user", "How do I keep my pets?"), ("assistant", answer)]))
    assert measures.measure(row.with_columns(domain=pl.lit("code")))["code_language"].to_list() == [language]


def test_a_missing_answer_is_the_first_reason() -> None:
    row = pool(("s", "imdb.json", 0, [("user", "What is this?")]))
    facts = rulebook.facts(row, measures.measure(row), NO_SCORES, Rules())
    assert first_failure(facts, rulebook.rules(Rules()))["reason"].to_list() == ["no_answer"]


@pytest.mark.parametrize(
    ("file", "denied"),
    [
        ("p3/imdb_Reviewer_Enjoyment.jsonl", True), ("all.tar!data/amazon_polarity_would_you_buy.jsonl", True), ("glue_SST2.json", True),
        ("yelp_review_full.jsonl", True), ("squad.json", False), ("assist.json", False),
    ],
)  # fmt: skip
def test_sentiment_sets_are_denied_by_the_name_of_their_file(file: str, denied: bool) -> None:
    assert failures("Is it good?", "Yes, it is.", file=file) == (["denied_source"] if denied else [])


def test_an_answer_that_a_dataset_calls_wrong_fails() -> None:
    rows = pool(*(("s", "f", n, [("user", f"Is {n} even?"), ("assistant", "Yes, it is.")]) for n in range(2)))
    rows = rows.with_columns(domain=pl.lit("chat"))
    measured = measures.measure(rows, rows["row_id"][1:])
    failed = first_failure(rulebook.facts(rows, measured, NO_SCORES, Rules()), rulebook.rules(Rules()))
    assert failed.select("row_id", "reason").rows() == [(rows["row_id"][1], "marked_wrong")]


def test_the_list_of_denied_parts_applies_by_source() -> None:
    rules = Rules(denied={"flan_*": ("*.csv", "part?.json")})
    denied = {
        (source, file): failures("Is it good?", "Yes, it is.", source=source, file=file, rules=rules)
        for source in ("flan_2022", "other")
        for file in ("a.csv", "part1.json", "part10.json")
    }
    assert [place for place in denied if denied[place]] == [("flan_2022", "a.csv"), ("flan_2022", "part1.json")]


def test_a_sources_threshold_takes_precedence_over_the_domains() -> None:
    rules = Rules(
        domains={"math": {"answer_too_short": 10, "no_code": 1}},
        sources={"gsm": {"answer_too_short": None, "calculator_marks": None}},
    )
    turns = "How many?", "6*7=<<6*7=42>>"
    assert failures(*turns) == ["calculator_marks"]
    assert failures("How many?", "42", domain="math", rules=rules) == ["answer_too_short", "no_code"]
    assert failures("How many?", "4", domain="math", source="gsm", rules=rules) == ["no_code"]
    assert failures(*turns, source="gsm", rules=rules) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    [answer for part in LABELLED for answer, _ in part["answers"]]
)


@settings(max_examples=examples(60), deadline=None)
@given(rows=st.lists(st.lists(TEXT, min_size=1, max_size=4), max_size=5), cut=st.integers(1, 5))
def test_measures_do_not_depend_on_the_other_rows(rows: list[list[str]], cut: int) -> None:
    records = [
        ("s", "f", n, [("user" if k % 2 == 0 else "assistant", text) for k, text in enumerate(turns)])
        for n, turns in enumerate(rows)
    ]
    frame = pool(*records)
    together = measures.measure(frame)
    assert together.schema == measures.MEASURES
    assert together["row_id"].equals(frame["row_id"])
    parts = [measures.measure(part) for part in frame.iter_slices(cut)]
    assert pl.concat([together.clear(), *parts]).equals(together)
    for row, turns in zip(together.iter_rows(named=True), rows, strict=True):
        assert row["answers"] == len(turns) // 2
        assert (row["answer_chars"] is None) == (len(turns) < 2)
        if len(turns) > 1:
            assert row["answer_chars"] == len(turns[-1] if len(turns) % 2 == 0 else turns[-2])
        for share in ("repeated_lines", "repeated_runs"):
            assert row[share] is None or 0 <= row[share] < 1


WORDS = st.lists(st.sampled_from("abcdef"), min_size=0, max_size=60)


@settings(max_examples=examples(80), deadline=None)
@given(words=WORDS)
def test_repeated_runs_equal_a_plain_count(words: list[str]) -> None:
    runs = [tuple(words[n : n + 10]) for n in range(len(words) - 9)]
    measured = measures.measure(pool(("s", "f", 0, [("user", "q"), ("assistant", " ".join(words) or "-")])))
    share = measured["repeated_runs"].item()
    if not runs:
        assert share is None
    else:
        assert share == pytest.approx(1 - len(set(runs)) / len(runs), abs=1e-6)
