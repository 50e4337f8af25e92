"""Near copies: of a pair the later loses, whatever the order of the rows, and copies of one text share a fate."""

import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.ids import with_row_ids
from infinity_assets.settings.chat import Elimination
from infinity_assets.synthesis.elimination.copies import near_copies
from infinity_assets_tests.frames import asked
from infinity_assets_tests.properties import examples

ONE = "Suggest a name for a bakery that sells only bread without wheat."
NEAR = "Suggest a name for a bakery that sells only bread without any wheat."
OTHER = "Why do leaves turn red in autumn?"


def lost(*texts: str) -> dict[str, dict]:
    """By the number of the text: what is told of it."""
    made = pl.DataFrame({"row_id": [f"{number:02}" for number in range(len(texts))], "messages": asked(*texts)})
    found = near_copies(made, Elimination())
    assert found["reason"].unique().to_list() in ([], ["near_copy_of_another"])
    return {row_id: json.loads(detail) for row_id, detail in found.select("row_id", "detail").iter_rows()}


def test_the_later_of_a_pair_loses() -> None:
    found = lost(ONE, OTHER, NEAR)
    assert list(found) == ["02"]
    first = with_row_ids(pl.DataFrame({"messages": asked(ONE)}))["row_id"].item()
    assert found["02"]["duplicate_of"] == first
    assert 0.7 <= found["02"]["similarity"] < 1


def test_equal_texts_are_left_to_the_hash_and_share_a_fate() -> None:
    assert not lost(ONE, ONE)
    assert list(lost(ONE, NEAR, NEAR)) == ["01", "02"]


def test_no_rows_and_texts_too_short_for_a_shingle() -> None:
    assert not lost()
    assert not lost("Why?", "Why!")


WORDS = st.lists(st.sampled_from(list("abcdef")), min_size=1, max_size=8).map(" ".join)


@settings(deadline=None, max_examples=examples(30))
@given(st.lists(WORDS, max_size=8))
def test_who_wins_stays_and_is_earlier(texts: list[str]) -> None:
    found = lost(*texts)
    ids = with_row_ids(pl.DataFrame({"messages": asked(*texts)}))["row_id"].to_list() if texts else []
    for row_id, told in found.items():
        winner = ids.index(told["duplicate_of"])
        assert winner < int(row_id)
        assert f"{winner:02}" not in found
