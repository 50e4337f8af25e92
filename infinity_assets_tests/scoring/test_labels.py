import json
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.labels import (
    ABILITIES,
    lift_schema,
    normalise,
    parse,
    parse_chinese_names,
    parse_lifted,
    schema,
)
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(100), deadline=None)


def answers(*lines: tuple[str, str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(lines, schema={"row_id": pl.String, "text": pl.String, "error": pl.String}, orient="row")


def test_abilities_have_unique_names_in_both_languages() -> None:
    assert len(ABILITIES) == len(set(ABILITIES.values())) == 26
    assert all(re.search(r"[\u4e00-\u9fff]", chinese) for chinese in ABILITIES.values())
    assert lift_schema()["properties"]["cate_ability"]["items"]["enum"] == list(ABILITIES)


def test_the_schema_allows_a_few_words_in_lower_case() -> None:
    pattern = schema(3)["properties"]["ability"]["items"]["pattern"]
    labels = ["c++ programming", "word problem", "Poetry", "two  spaces", "one two three four", "数学"]
    assert [label for label in labels if re.fullmatch(pattern, label)] == labels[:2]


@FEW
@given(label=st.text(max_size=12) | st.text("aB -_/+#é你\t!︴½ﬁ", max_size=12))
def test_normalising_is_idempotent(label: str) -> None:
    once, twice = pl.select(normalise(pl.lit(label)), normalise(normalise(pl.lit(label))).alias("twice")).row(0)
    assert once == twice
    assert once == " ".join(once.split())
    assert "_" not in once


def test_parsing_keeps_the_taggers_spelling() -> None:
    result = parse(
        answers(
            ("good", json.dumps({"ability": ["contract law", "C++"]}), None),
            ("twice", json.dumps({"ability": ["Contract-Law", "tort", "tort"]}), None),
            ("failed", None, "timeout"),
            ("half", '{"ability": ["la', "not the schema"),
        )
    )
    assert result.rows() == [
        ("good", ["contract law", "C++"], None),
        ("twice", ["Contract-Law", "tort"], None),
        ("failed", None, "timeout"),
        ("half", None, "not the schema"),
    ]


def test_a_lift_gives_distinct_abilities_or_an_error() -> None:
    lifted = ("tort", json.dumps({"cate_ability": ["law", "law"]}), None)
    result = parse_lifted(answers(lifted, ("x", "{", "invalid_json")))
    assert result.rows() == [("tort", ["law"], None), ("x", None, "invalid_json")]


@pytest.mark.parametrize(
    ("text", "name", "error"),
    [
        ("应用题", "应用题", None),
        ("“应用题”。\n这是", "应用题", None),
        ("C++ 编程", "C++ 编程", None),
        ("word problem", None, "not_chinese"),
        ("独家狼狼！", None, "not_chinese"),
        ("确认确认", None, "not_chinese"),
        ("编程(C)", None, "not_chinese"),
        ("这是一个很长很长很长很长很长很长很长很长的名字", None, "not_chinese"),
        ("", None, "not_chinese"),
        (None, None, "empty"),
    ],
)
def test_a_chinese_name_is_short_and_chinese(text: str | None, name: str | None, error: str | None) -> None:
    answer = ("label", text, "empty" if text is None else None)
    assert parse_chinese_names(answers(answer)).rows() == [("label", name, error)]


def test_a_chinese_name_of_two_labels_is_dropped() -> None:
    shared = [("music", "食物", None), ("food", "食物", None)]
    named = parse_chinese_names(answers(*shared, ("tea", "茶", None), ("one", None, "empty"), ("two", None, "empty")))
    assert named.rows() == [
        ("music", None, "shared"),
        ("food", None, "shared"),
        ("tea", "茶", None),
        ("one", None, "empty"),
        ("two", None, "empty"),
    ]
