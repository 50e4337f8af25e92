"""The ledger tables of synthesis account for every parent and every child exactly once."""

import json
from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows import schema
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.selection.rules import Rule
from infinity_assets.synthesis.lineage import Generation, settle
from infinity_assets_tests.frames import asked
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(80), deadline=None)
COLUMNS = pl.Schema({**schema.SYNTHETIC_ROW, "grade": pl.Int64})
VERDICT = pl.Schema({"row_id": pl.String, "reason": pl.String, "detail": pl.String})
RULES = [
    Rule("no_text", pl.col("text").fill_null("") == "", pl.lit(None, pl.String)),
    Rule("low", pl.col("grade") < 2, pl.col("grade"), 2),
    Rule("odd", pl.col("grade") % 2 == 1, pl.col("grade")),
]
MADE = st.lists(
    st.tuples(st.sampled_from([None, "", "one", "two", "three"]), st.integers(0, 5), st.booleans()), max_size=10
)
"""Per parent: the model's text, a grade for the rules, and whether the text contains a benchmark item."""


def settle_lines(made: list, order: list[int] | None = None) -> Generation:
    lines = list(enumerate(made))
    lines = [lines[n] for n in order] if order is not None else lines
    texts = [text for _, (text, _, _) in lines]
    frame = pl.DataFrame(
        {
            "row_id": pl.Series([f"{n:032x}" for n, _ in lines], dtype=pl.String),
            "text": pl.Series(texts, dtype=pl.String),
            "messages": asked(*(text or "" for text in texts)),
            "position": pl.Series([n for n, _ in lines], dtype=pl.Int64),
            "grade": pl.Series([grade for _, (_, grade, _) in lines], dtype=pl.Int64),
        }
    ).with_columns(
        pl.lit(value).alias(name)
        for name, value in {
            "source": "alpha", "file": "a.json", "kind": "instruction", "licence": "MIT", "domain": "chat", "language": "en",
            "operation": "evolve", "round": 1,
        }.items()
    )  # fmt: skip
    holding = [
        (f"{n:032x}", "contaminated_ngram", "{}") for n, (text, _, contaminated) in lines if text and contaminated
    ]
    return settle(frame, COLUMNS, RULES, pl.DataFrame(holding, schema=VERDICT, orient="row"), by="model")


def child_id(text: str) -> str:
    return add_row_ids(asked(text).to_frame())["row_id"].item()


@FEW
@given(made=MADE)
def test_every_parent_and_every_child_is_kept_or_decided_once(made: list) -> None:
    result = settle_lines(made)
    parents = result.decisions.filter(pl.col("source") == "alpha")
    lost = result.decisions.filter(pl.col("source") == "synthetic:model")
    assert parents["row_id"].to_list() == [f"{n:032x}" for n in range(len(made))]
    assert parents["position"].to_list() == list(range(len(made)))
    written = Counter(child_id(text) for text, *_ in made if text)
    assert Counter(result.created["row_id"]) == written
    assert Counter(result.kept["row_id"]) + Counter(lost["row_id"]) == written
    assert set(result.decisions["verdict"]) <= {"dropped"}
    # Invariant 1: rows_in + rows_created = rows_out + rows_dropped
    assert len(made) + result.created.height == result.kept.height + result.decisions.height


@FEW
@given(made=MADE)
def test_a_parent_is_superseded_or_returned_with_its_reason(made: list) -> None:
    result = settle_lines(made)
    seen: set[str] = set()
    expected = []
    for text, grade, contaminated in made:
        faults = {"no_text": not text, "low": grade < 2, "odd": grade % 2, "contaminated_ngram": contaminated}
        why = next((name for name, holds in faults.items() if holds), None)
        if why is None:
            why = "copy_of_another" if text in seen else None
            seen.add(text)
        expected.append(("returned_to_pool" if why else "superseded", child_id(text) if text else None, why))
    parents = result.decisions.filter(pl.col("source") == "alpha").select("reason", "detail")
    details = [(reason, json.loads(detail)) for reason, detail in parents.iter_rows()]
    assert [(reason, detail["child"], detail["why"]) for reason, detail in details] == expected
    lost = result.decisions.filter(pl.col("source") == "synthetic:model")
    assert Counter(lost.select("row_id", "reason").iter_rows()) == Counter(
        (child, why) for _, child, why in expected if child and why
    )
    assert set(result.kept["row_id"]) == {child_id(text) for text in seen}


@FEW
@given(made=MADE)
def test_a_kept_child_has_an_edge_to_the_parent_that_it_names(made: list) -> None:
    """It has this parent's license; an edge to the parent of a dropped copy might require another one (invariant 6)."""
    result = settle_lines(made)
    assert result.kept.schema == COLUMNS
    assert result.kept["row_id"].is_sorted()
    assert result.edges.schema == schema.EDGES
    edges = result.edges.select("child_id", "parent_id")
    assert edges.is_unique().all()
    for child, parents in result.kept.select("row_id", "parents").iter_rows():
        assert edges.filter(pl.col("child_id") == child)["parent_id"].to_list() == parents
    wrote = {(child_id(text), f"{n:032x}") for n, (text, *_) in enumerate(made) if text}
    assert set(edges.iter_rows()) <= wrote
    assert set(edges["child_id"]) == {child for child, _ in wrote}


@FEW
@given(made=MADE, data=st.data())
def test_the_order_of_the_parents_does_not_matter(made: list, data: st.DataObject) -> None:
    one, other = settle_lines(made), settle_lines(made, data.draw(st.permutations(range(len(made)))))
    for name in ("kept", "created", "decisions", "edges"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.equals(right.select(left.columns)), name
