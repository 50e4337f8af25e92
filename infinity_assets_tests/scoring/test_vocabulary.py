"""The label of a form does not depend on the order of the rows or, with a frozen vocabulary, on the other forms."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.vocabulary import (
    EMPTY,
    FORMS,
    NOT_IN_VOCABULARY,
    RARE,
    Vocabulary,
    build,
    count_labels,
    list_pairs,
    place,
)
from infinity_assets.settings.foundation import Labels
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(80), deadline=None)
RECIPE = Labels(min_rows=2, min_support=3, min_confidence=0.9)
AXES = {"maths": 0, "mathematics": 0, "cooking": 1, "poetry": 2}
WORDS = "maths Maths mathematics cooking cook cooks poetry poetry! ! law tort c++ c"
FORM = st.sampled_from(["", *WORDS.split()])
ROWS = st.lists(st.none() | st.lists(FORM, max_size=4), max_size=20)


def embed(names: Sequence[str]) -> np.ndarray:
    """Give names of one axis equal vectors, and every other name a vector of its own."""
    width = len(AXES) + 64
    vectors = np.zeros((len(names), width), np.float32)
    for row, name in enumerate(names):
        vectors[row, AXES.get(name, len(AXES) + sum(map(ord, name)) % 64)] = 1
    return vectors


def pairs(rows: list[list[str] | None]) -> pl.DataFrame:
    return list_pairs(pl.LazyFrame({"raw_labels": rows}, schema={"raw_labels": pl.List(pl.String)}))


def built(rows: list, recipe: Labels = RECIPE, hand: dict[str, str] | None = None) -> Vocabulary:
    return build(pairs(rows), embed, recipe, hand or {})


def label_of(forms: pl.DataFrame) -> dict[str, str | None]:
    return dict(forms.select("form", "label").iter_rows())


@FEW
@given(rows=ROWS, data=st.data())
def test_a_form_has_a_label_or_a_reason_in_any_order_of_rows(rows: list, data: st.DataObject) -> None:
    vocabulary = built(rows)
    assert vocabulary.forms.schema == FORMS
    written = {form for row in rows for form in row or []}
    assert vocabulary.forms["form"].to_list() == sorted(written)
    for line in vocabulary.forms.iter_rows(named=True):
        assert (line["label"] is None) == (line["step"] is None) == (line["reason"] is not None)
        assert line["rows"] == sum(line["form"] in (row or []) for row in rows)
        assert (line["step"] == "name") == (line["form"] == line["label"])
    again = built([row and data.draw(st.permutations(row)) for row in data.draw(st.permutations(rows))])
    assert again.forms.equals(vocabulary.forms)
    assert again.steps.equals(vocabulary.steps)
    counts = vocabulary.steps["labels"].to_list()
    assert counts == sorted(counts, reverse=True)


@FEW
@given(rows=ROWS)
def test_a_label_counts_the_rows_with_one_of_its_forms(rows: list) -> None:
    vocabulary = built(rows)
    into = label_of(vocabulary.forms)
    words = count_labels(vocabulary.forms, pairs(rows))
    labelled = sum(bool(row) for row in rows)
    for line in words.iter_rows(named=True):
        carried = sum(line["label"] in {into[form] for form in row or []} for row in rows)
        assert (line["rows"], line["share"]) == (carried, pytest.approx(carried / labelled))
        assert {into[form] for form in line["forms"]} == {line["label"]}
        assert carried >= RECIPE.min_rows
    assert sorted(words["forms"].explode()) == sorted(form for form, label in into.items() if label)
    assert words["label"].is_unique().all()


def test_each_step_merges_or_drops_forms() -> None:
    counts = {"word problem": 2, "Word-problems": 1, "maths": 3, "mathematics": 2, "lonely": 1, "?": 1}
    vocabulary = built([[form] for form, rows in counts.items() for _ in range(rows)])
    assert {form: (label, step, reason) for form, _, label, step, reason, _ in vocabulary.forms.iter_rows()} == {
        "word problem": ("word problem", "name", None),
        "Word-problems": ("word problem", "stem", None),
        "maths": ("maths", "name", None),
        "mathematics": ("maths", "cluster", None),
        "lonely": (None, None, RARE),
        "?": (None, None, EMPTY),
    }
    assert dict(vocabulary.steps.iter_rows()) == {
        "raw forms": 6, "spelling": 5, "stem": 4, "at least 2 rows": 3, "cluster": 2, "rule": 2, "hand": 2,
    }  # fmt: skip


def test_a_label_that_implies_another_is_merged_into_it() -> None:
    rows = [["tort", "law"]] * 3 + [["law"]] * 4
    assert label_of(built(rows).forms) == {"tort": "law", "law": "law"}
    assert label_of(built([*rows, ["tort"]]).forms)["tort"] == "tort", "the confidence is 0.75"
    assert label_of(built(rows[1:]).forms)["tort"] == "tort", "the support is 2"
    equals = [["tort", "law"]] * 3
    assert label_of(built(equals).forms) == {"tort": "law", "law": "law"}
    chain = [["delict", "tort", "law"]] * 3 + [["tort", "law"]] * 3 + [["law"]]
    assert label_of(built(chain).forms) == {"delict": "law", "tort": "law", "law": "law"}


def test_a_manual_merge_takes_precedence() -> None:
    rows = [["cooking"]] * 3 + [["cooks"]]
    assert label_of(built(rows, hand={"cooking": "kitchen"}).forms) == {"cooking": "kitchen", "cooks": "kitchen"}


@FEW
@given(old=ROWS, new=ROWS)
def test_new_rows_do_not_change_a_frozen_vocabulary(old: list, new: list) -> None:
    vocabulary = built(old)
    frozen = count_labels(vocabulary.forms, pairs(old))
    known = label_of(vocabulary.forms)
    placed = place(pairs(new), frozen, embed, RECIPE).forms
    assert placed.schema == FORMS
    for line in placed.iter_rows(named=True):
        if known.get(line["form"]):
            assert line["label"] == known[line["form"]], "a known form keeps its label"
        assert line["label"] is None or line["label"] in set(frozen["label"])
        assert (line["label"] is None) == (line["reason"] in (EMPTY, NOT_IN_VOCABULARY)) == (line["step"] is None)
    alone = {form: place(pairs([[form]]), frozen, embed, RECIPE).forms["label"][0] for form in placed["form"]}
    assert label_of(placed) == alone, "a label does not depend on other forms"


def test_a_frozen_vocabulary_matches_forms_by_stem_and_by_meaning() -> None:
    frozen = pl.DataFrame({"label": ["maths", "cooking"], "forms": [["maths"], ["cooking", "kitchen"]]})
    rows: list = [["mathematics"], ["cooks"], ["kitchens"], ["tort"], ["KITCHEN"]]
    placed = place(pairs(rows), frozen, embed, RECIPE).forms
    assert {form: (label, step) for form, _, label, step, _, _ in placed.iter_rows()} == {
        "mathematics": ("maths", "cluster"),
        "cooks": ("cooking", "stem"),
        "kitchens": ("cooking", "stem"),
        "KITCHEN": ("cooking", "spelling"),
        "tort": (None, None),
    }
    assert placed.filter(pl.col("form") == "tort")["nearest"][0] in ("maths", "cooking")
