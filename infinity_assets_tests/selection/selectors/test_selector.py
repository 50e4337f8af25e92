"""Properties of every selector."""

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.selection.selector import OVER_SIZE, VERDICTS
from infinity_assets.selection.selectors import SELECTORS, select
from infinity_assets.settings import Foundation
from infinity_assets_tests.properties import examples
from infinity_assets_tests.selection.selectors.rows import LINES, frame

FEW = settings(max_examples=examples(60), deadline=None)
SIZES = st.integers(0, 18)

LACKS = {
    "random": pl.lit(False),
    "longest": pl.col("answer_chars").is_null(),
    "ifd": pl.col("ifd").is_null() | (pl.col("ifd") >= 1),
    "deita": pl.any_horizontal(pl.col("complexity", "quality", "vector").is_null()),
    "instag": pl.col("ability").list.len().fill_null(0) == 0,
    "dsir": pl.col("log_weight").is_null(),
    "kcenter": pl.col("vector").is_null(),
    "facility": pl.col("vector").is_null() | pl.col("ifd").is_null() | (pl.col("ifd") >= 1),
    "reward": pl.col("reward").is_null(),
    "retrieval": ~((pl.col("proximity") >= 0.3) & (pl.col("topic_share") > 0)).fill_null(False),
    "quality": pl.col("quality").is_null(),
    "seed_replay": ~pl.col("is_seed"),
}
"""Rows that a selector cannot rank."""


def test_every_selector_is_described_and_tested() -> None:
    assert set(SELECTORS) == set(LACKS)
    for selector in SELECTORS.values():
        assert selector.about.endswith(".")
        assert selector.source
        for path in selector.settings:
            value: object = Foundation()
            for name in path.split("."):
                value = getattr(value, name)


@pytest.mark.parametrize("name", SELECTORS)
@FEW
@given(lines=LINES, size=SIZES, data=st.data())
def test_verdicts_are_complete_and_stable(name: str, lines: list, size: int, data: st.DataObject) -> None:
    """Every row has a verdict; a selector takes as many rows as requested and possible, and none that lacks data.

    The order of rows does not matter, and a smaller size takes the first rows of a larger one.
    """
    rows = frame(lines)
    recipe = Foundation()
    verdicts = select(name, rows, size, recipe)
    assert verdicts.schema == VERDICTS
    assert verdicts["row_id"].to_list() == sorted(rows["row_id"])
    shuffled = frame(data.draw(st.permutations(lines)))
    assert select(name, shuffled, size, recipe).equals(verdicts)
    lacking = set(rows.filter(LACKS[name])["row_id"])
    able = rows.height - len(lacking)
    taken = verdicts.filter("taken").sort("place")
    assert taken["place"].to_list() == list(range(taken.height))
    assert not lacking & set(taken["row_id"])
    assert taken.height == min(size, able) if name != "deita" else taken.height <= min(size, able)
    assert set(taken["reason"]) <= {name}
    assert verdicts["reason"].null_count() == 0
    late = verdicts.filter(reason=OVER_SIZE)
    assert not late.height or taken.height == size
    assert not lacking & set(late["row_id"])
    assert all(isinstance(json.loads(text), dict) for text in verdicts["detail"])
    fewer = select(name, rows, size // 2, recipe).filter("taken").sort("place")
    if name != "facility":  # its candidates depend on the size
        assert fewer["row_id"].to_list() == taken["row_id"].to_list()[: fewer.height]


def test_an_unknown_selector_or_a_missing_column_raises() -> None:
    rows = pl.DataFrame({"row_id": ["a"]})
    with pytest.raises(InfinityError, match="no selector best"):
        select("best", rows, 1, Foundation())
    with pytest.raises(InfinityError, match="quality needs the columns quality, ifd"):
        select("quality", rows, 1, Foundation())
