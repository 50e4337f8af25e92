"""The rows nearest to a benchmark's items, and the empty list."""

import numpy as np
import polars as pl

from infinity_assets.decontamination.paraphrases import PARAPHRASES, find_paraphrases

ITEMS = pl.DataFrame({"item_id": ["exam/0", "exam/1"], "benchmark": ["exam", "exam"]})
VECTORS = np.array([(1, 0, 0), (0, 1, 0)], np.float16)
PROMPTS = pl.DataFrame(
    {
        "prompt_hash": ["b", "a", "c"],
        "vector": pl.Series([(0.0, 1.0, 0.1), (1.0, 0.2, 0.0), (0.0, 0.0, 1.0)], dtype=pl.Array(pl.Float16, 3)),
    }
)
ROWS = pl.DataFrame({"row_id": ["r3", "r1", "r2", "r2", "r9"], "prompt_hash": ["a", "a", "b", "b", "c"]})


def test_all_rows_with_a_near_prompt_are_listed() -> None:
    found = find_paraphrases(ITEMS, VECTORS, PROMPTS, ROWS, 0.8, 1)
    assert found.schema == PARAPHRASES
    assert found.select("row_id", "item_id").rows() == [("r1", "exam/0"), ("r3", "exam/0"), ("r2", "exam/1")]
    assert (found["similarity"] > 0.97).all()


def test_every_row_above_the_threshold_is_listed() -> None:
    assert find_paraphrases(ITEMS, VECTORS, PROMPTS, ROWS, 0.1, 1, 0.15).select("row_id", "item_id").rows() == [
        ("r1", "exam/0"), ("r3", "exam/0"), ("r2", "exam/1"), ("r1", "exam/1"), ("r3", "exam/1"),
    ]  # fmt: skip


def test_the_order_of_the_prompts_does_not_change_the_list() -> None:
    assert find_paraphrases(ITEMS, VECTORS, PROMPTS.reverse(), ROWS.reverse(), 0.0, 2).equals(
        find_paraphrases(ITEMS, VECTORS, PROMPTS, ROWS, 0.0, 2)
    )


def test_no_items_or_no_prompts_give_an_empty_list() -> None:
    for items, prompts in ((ITEMS.clear(), PROMPTS), (ITEMS, PROMPTS.clear())):
        found = find_paraphrases(items, VECTORS[: items.height], prompts, ROWS, 0.8, 5)
        assert (found.height, found.schema) == (0, PARAPHRASES)
