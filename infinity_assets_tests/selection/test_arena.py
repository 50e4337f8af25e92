import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.report import arena as report
from infinity_assets.rows.schema import GENERATIONS
from infinity_assets.selection import arena
from infinity_assets.selection.selectors import SELECTORS
from infinity_assets.settings import Foundation
from infinity_assets_tests.properties import examples
from infinity_assets_tests.selection.selectors.rows import LINES, WIDTH, frame

FEW = settings(max_examples=examples(25), deadline=None)
ALL = [*SELECTORS, arena.RECIPE]
ITEMS = pl.DataFrame(
    {
        "domain": ["math", "math", "code"],
        "vector": pl.Series([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], dtype=pl.Array(pl.Float16, WIDTH)),
    }
)
CALLS = GENERATIONS.to_frame().select("request_key", "row_id", "prompt", "prompt_tokens", "completion_tokens", "cost")


def rows_of(lines: list) -> pl.DataFrame:
    rows = frame(lines)
    return rows.with_columns(source=pl.lit("s") + (pl.int_range(pl.len()) % 3).cast(pl.String))


def line(row_id: str, chars: int, quality: float, domain: str = "math", near: float = 0.5, **of: Any) -> tuple:
    """Return a row for `frame`, with `labels`, and the vector (x, 1 - x, 0)."""
    x = of.get("x", 1.0)
    scores = (quality, 1.0, 0.5, 0.5, None, None, 0, 1.0)
    return row_id, domain, "en", chars, *scores, "t", 1.0, near, False, list(of.get("labels", "x")), [x, 1 - x, 0.0]


def run_arena(
    rows: pl.DataFrame, size: int, names: list[str], calls: pl.DataFrame = CALLS, proxy: arena.Proxy | None = None
) -> arena.Arena:
    def fetch(ids: pl.Series) -> pl.DataFrame:
        return rows.select("row_id", "vector").filter(pl.col("row_id").is_in(ids.implode()))

    return arena.compare(rows, names, size, Foundation(), fetch=fetch, items=ITEMS, calls=calls, proxy=proxy)


@FEW
@given(lines=LINES, size=st.integers(1, 10), data=st.data())
def test_the_tables_are_consistent(lines: list, size: int, data: st.DataObject) -> None:
    rows = rows_of(lines)
    result = run_arena(rows, size, ALL)
    again = run_arena(rows[data.draw(st.permutations(range(rows.height)))], size, ALL)
    assert again.chosen.equals(result.chosen)
    assert again.mix.equals(result.mix)
    taken = {name: result.chosen.filter(selector=name)["row_id"].to_list() for name in ALL}
    for line in result.summary.iter_rows(named=True):
        own = taken[line["selector"]]
        assert line["rows"] == len(own) == len(set(own)) <= size
        left = result.reasons.filter(selector=line["selector"])["rows"].sum()
        assert line["rows"] + left == rows.height
        assert line["near_duplicates"] is None or 0 <= line["near_duplicates"] < 1
    for one, other, both, jaccard in result.overlap.iter_rows():
        union = set(taken[one]) | set(taken[other])
        assert both == len(set(taken[one]) & set(taken[other]))
        assert jaccard is None if not union else jaccard == pytest.approx(both / len(union))
    for (name, column), part in result.mix.group_by("selector", "column"):
        assert part["rows"].sum() == (rows.height if name == "pool" else len(taken[str(name)])), column
        assert part["share"].sum() == pytest.approx(1)


def test_coverage_cost_and_proximity_of_small_selections() -> None:
    lines = [
        line("a", 10, 5.0, labels="xy"),
        line("b", 500, 1.0, near=0.7, labels="z", x=0.0),
        line("c", 5000, 2.0, "code", near=0.9, x=0.0),
    ]
    calls = pl.DataFrame(
        [
            ("1", "a", "judge_answer.en", 7, 1, 0.25),
            ("2", "c", "answer_alone", 10, 0, 0.0),
            ("3", "zz", "judge_answer.en", 9, 1, 1.0),
        ],
        schema=CALLS.schema,
        orient="row",
    )
    result = run_arena(rows_of(lines), 2, ["longest", "quality"], calls, proxy=lambda name, ids: {"gsm": len(ids) / 4})
    longest, quality = result.summary.to_dicts()
    assert result.chosen.rows() == [("longest", "c", 0), ("longest", "b", 1), ("quality", "a", 0), ("quality", "c", 1)]
    assert (longest["label_coverage"], longest["labels_per_row"]) == (pytest.approx(2 / 3), 1.0)
    assert (quality["label_coverage"], quality["labels_per_row"]) == (pytest.approx(2 / 3), 1.5)
    assert (longest["near_duplicates"], quality["near_duplicates"]) == (0.5, 0.0)
    assert longest["proximity"] == pytest.approx(0.8)
    assert (longest["calls"], longest["tokens"]) == (0, 0)
    assert (quality["calls"], quality["tokens"], quality["cost"]) == (2, 18, 0.25)
    assert quality["proxy gsm"] == 0.5
    reach = {(s, d): r for s, d, r in result.reach.select("selector", "domain", "reach").iter_rows()}
    assert reach["longest", "math"] == pytest.approx(0.5)
    assert reach["quality", "math"] == pytest.approx(1.0)
    lengths = result.mix.filter(selector="longest", column="length").select("value", "rows").rows()
    assert lengths == [("3,000 and more", 1), ("300 to 1,000", 1)]


def test_the_recipe_for_f_follows_its_domain_shares() -> None:
    n = 400
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, WIDTH))
    rows = pl.DataFrame(
        {
            "row_id": [f"{i:04}" for i in range(n)],
            "domain": ["math"] * 100 + ["chat"] * 300,
            "language": ["en"] * n,
            "vector": pl.Series(vectors.astype(np.float16), dtype=pl.Array(pl.Float16, WIDTH)),
        }
    )
    recipe = Foundation(
        recipe=dict.fromkeys(("math", "code", "knowledge", "chat"), ("random",)),
        keep_share={"math": 0.6, "code": 0.5, "knowledge": 0.5, "chat": 0.2},
        max_similarity=1.0,
    )
    verdicts = arena.infinity(rows, 50, recipe).join(rows, on="row_id")
    assert verdicts["taken"].sum() == 50
    assert sorted(verdicts["place"].drop_nulls()) == list(range(50))
    assert sorted(verdicts.filter("taken")["domain"].value_counts().rows()) == [("chat", 25), ("math", 25)]
    assert set(verdicts["reason"]) == {"infinity", "over_size"}


def test_has_all_and_scarcity_ignore_optional_columns() -> None:
    rows = pl.DataFrame(
        {
            "row_id": ["a", "b", "c"],
            "quality": [1.0, None, 2.0],
            "ifd": [0.5, 0.5, None],
            "ability": [["x"], ["x"], []],
            "log_weight": [None, 1.0, None],
        }
    )
    assert rows.filter(arena.has_all(rows, {"quality", "log_weight"}))["row_id"].to_list() == ["a", "c"]
    assert rows.filter(arena.has_all(rows, {"quality", "ability"}))["row_id"].to_list() == ["a"]
    table = arena.scarcity(rows, ["quality", "instag", "infinity"])
    assert table.rows() == [("ability", 2, "instag"), ("ifd", 2, "quality"), ("quality", 2, "quality")]


def test_an_unknown_selector_raises() -> None:
    assert arena.check_selectors(["random", "infinity", "random"]) == ["random", "infinity"]
    with pytest.raises(InfinityError, match="no selector best"):
        arena.check_selectors(["random", "best"])


def test_the_page_is_self_contained() -> None:
    """It loads nothing, shows every selector in every chart, and escapes text from the data."""
    lines = [line(f"{n:02}", 10 * n, 1.0 + n) for n in range(12)]
    rows = rows_of(lines).with_columns(source=pl.format("<b>{}</b>", pl.int_range(pl.len())))
    names = ["random", "longest", "infinity"]
    result = run_arena(rows, 5, names)
    page = report.page(result, names, arena.scarcity(rows, names), ["A note with <tags>."])
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page
    assert "<b>1</b>" not in page
    assert "&lt;tags&gt;" in page
    assert page.count("<svg") == 6  # overlap, four mixes, reach
    for name in names:
        assert page.count(name) > 6
    written = json.loads(report.as_json(result, arena.scarcity(rows, names)))
    assert [line["selector"] for line in written["summary"]] == names
    assert report.terminal_table(result).row_count == 3
