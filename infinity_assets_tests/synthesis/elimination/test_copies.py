"""Near copies: the later text of a pair is dropped, and equal texts are kept or dropped together."""

import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.ids import add_row_ids
from infinity_assets.settings.chat import Elimination
from infinity_assets.synthesis.elimination.copies import find_near_copies
from infinity_assets_tests.frames import asked
from infinity_assets_tests.properties import examples

ONE = "Suggest a name for a bakery that sells only bread without wheat."
NEAR = "Suggest a name for a bakery that sells only bread without any wheat."
OTHER = "Why do leaves turn red in autumn?"


def find_lost(*texts: str) -> dict[str, dict]:
    """Return the details of near copies by the number of their text."""
    made = pl.DataFrame({"row_id": [f"{number:02}" for number in range(len(texts))], "messages": asked(*texts)})
    found = find_near_copies(made, Elimination())
    assert found["reason"].unique().to_list() in ([], ["near_copy_of_another"])
    return {row_id: json.loads(detail) for row_id, detail in found.select("row_id", "detail").iter_rows()}


def test_the_later_of_a_pair_is_dropped() -> None:
    found = find_lost(ONE, OTHER, NEAR)
    assert list(found) == ["02"]
    first = add_row_ids(pl.DataFrame({"messages": asked(ONE)}))["row_id"].item()
    assert found["02"]["duplicate_of"] == first
    assert 0.7 <= found["02"]["similarity"] < 1


def test_equal_texts_are_kept_or_dropped_together() -> None:
    assert not find_lost(ONE, ONE)
    assert list(find_lost(ONE, NEAR, NEAR)) == ["01", "02"]


def test_no_rows_and_too_short_texts_have_no_copies() -> None:
    assert not find_lost()
    assert not find_lost("Why?", "Why!")


WORDS = st.lists(st.sampled_from(list("abcdef")), min_size=1, max_size=8).map(" ".join)


@settings(deadline=None, max_examples=examples(30))
@given(st.lists(WORDS, max_size=8))
def test_the_original_of_a_copy_is_earlier_and_kept(texts: list[str]) -> None:
    found = find_lost(*texts)
    ids = add_row_ids(pl.DataFrame({"messages": asked(*texts)}))["row_id"].to_list() if texts else []
    for row_id, detail in found.items():
        winner = ids.index(detail["duplicate_of"])
        assert winner < int(row_id)
        assert f"{winner:02}" not in found
