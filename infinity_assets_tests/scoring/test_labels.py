import json
import re
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.labels import ABILITIES, normalise, parse, schema, vocabulary

FEW = settings(max_examples=60, deadline=None)


def test_every_ability_has_a_name_of_its_own_in_both_languages() -> None:
    assert len(ABILITIES) == len(set(ABILITIES.values())) == 26
    assert all(re.search(r"[\u4e00-\u9fff]", chinese) for chinese in ABILITIES.values())
    assert schema(3)["properties"]["ability"]["enum"] == list(ABILITIES)


@FEW
@given(label=st.text("aB -_/+#é你\t!", max_size=12))
def test_normalising_twice_changes_nothing(label: str) -> None:
    once, twice = pl.select(normalise(pl.lit(label)), normalise(normalise(pl.lit(label))).alias("twice")).row(0)
    assert once == twice
    assert once == " ".join(re.sub(r"[^\w\s+#]", " ", label).lower().split())


def test_answers_become_columns() -> None:
    answers = pl.DataFrame(
        {
            "row_id": ["good", "twice", "failed", "half"],
            "text": [
                json.dumps({"ability": "law", "labels": ["contract law", "C++"]}),
                json.dumps({"ability": "law", "labels": ["Contract-Law", "contract law", "tort"]}),
                None,
                '{"ability": "la',
            ],
            "error": [None, None, "timeout", "not the schema"],
        }
    )
    assert parse(answers).rows() == [
        ("good", "law", ["contract law", "c++"], None),
        ("twice", "law", ["contract law", "tort"], None),
        ("failed", None, None, "timeout"),
        ("half", None, None, "not the schema"),
    ]


LABELLED = st.lists(
    st.tuples(st.sampled_from(["law", "research", "other"]), st.none() | st.lists(st.sampled_from("abcd"), unique=True, max_size=3)),
    max_size=12,
)


@FEW
@given(rows=LABELLED, data=st.data())
def test_the_vocabulary_counts_the_rows_of_every_label_in_any_order(rows: list, data: st.DataObject) -> None:
    dtypes = {"cate_ability": pl.String, "ability": pl.List(pl.String)}
    words = vocabulary(pl.LazyFrame(rows, schema=dtypes, orient="row"))
    counts = Counter(label for _, labels in rows for label in labels or [])
    labelled = sum(labels is not None for _, labels in rows)
    assert words.select("label", "rows", "share").rows() == [
        (label, count, pytest.approx(count / labelled)) for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    for label, ability in words.select("label", "cate_ability").iter_rows():
        with_it = Counter(ability for ability, labels in rows if label in (labels or []))
        assert ability == min(with_it, key=lambda name: (-with_it[name], name))
    assert vocabulary(pl.LazyFrame(data.draw(st.permutations(rows)), schema=dtypes, orient="row")).equals(words)
