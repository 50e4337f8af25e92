"""Rows, vectors and settings to pick seeds from."""

import numpy as np
import polars as pl
from hypothesis import strategies as st

from infinity_assets.selection.seeds.criteria import CRITERIA, KNOWN
from infinity_assets.selection.seeds.picking import Picked, pick
from infinity_assets.settings.chat import Seeds
from infinity_assets.settings.foundation import Proxy

VOCABULARY = pl.DataFrame({"label": list("abcdef"), "rows": [1, 2, 3, 4, 5, 6]})
WIDTH = 4

_CONVERSATION = st.fixed_dictionaries(
    {
        "kind": st.just("conversation"),
        "language": st.sampled_from(["en", "zh", None]),
        "cate_ability": st.sampled_from([None, [], ["law"], ["law", "other"], ["research"]]),
        "ability": st.none() | st.lists(st.sampled_from("abcdef"), unique=True, max_size=4),
        "label_source": st.sampled_from(["model", "neighbours", None]),
        "loss": st.none() | st.integers(0, 9).map(float),
        "loss_after": st.none() | st.integers(0, 9).map(float),
        "ifd": st.none() | st.floats(0, 2),
        "depth": st.none() | st.integers(0, 5).map(float),
        "marked_wrong": st.sampled_from([None, False, False, True]),
    }
)
_RAW = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["instruction", "text"]),
        "prompt_chars": st.sampled_from([0, 40, 400]),
        "language": st.sampled_from(["en", "zh"]),
        "cate_ability": st.sampled_from([None, ["law"]]),
        "ability": st.sampled_from([None, ["a", "b", "c"]]),
        "label_source": st.sampled_from(["model", None]),
    }
)
ROWS = st.lists(_CONVERSATION | _RAW, max_size=18).map(
    lambda rows: [{"row_id": f"{n:032x}", **row} for n, row in enumerate(rows)]
)
RECIPES = st.builds(
    Seeds,
    max_seeds=st.integers(0, 12),
    raw_share=st.floats(0, 1),
    # Settings reject the drop of the loss as the only criterion without a tuned scorer.
    criteria=st.lists(st.sampled_from(CRITERIA), min_size=1, unique=True)
    .filter(lambda names: names != ["small_loss_drop"])
    .map(tuple),
    combine=st.sampled_from(["any", "all", 1, 2, 9]),
    long_tail=st.sampled_from([(1, 1), (2, 3)]),
    long_tail_sampled=st.just((4, 5)),
    long_tail_share=st.sampled_from([0.0, 0.5, 1.0]),
    min_labels=st.integers(0, 4),
    min_text_chars=st.sampled_from([0, 100]),
    small_drop_share=st.sampled_from([0.0, 0.3, 1.0]),
    veto_sigma=st.sampled_from([None, 0.0, 0.5]),
    tuned=st.builds(Proxy, enabled=st.booleans()),
    grid=st.integers(1, 4),
)


def frame(rows: list[dict]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=KNOWN)


def vectors_of(rows: list[dict]) -> pl.LazyFrame:
    """Return a vector derived from the row id for each English row, null for the others."""
    lists = [
        np.random.default_rng(int(row["row_id"], 16)).normal(size=WIDTH).tolist() if row["language"] == "en" else None
        for row in rows
    ]
    vectors = pl.Series("vector", lists, dtype=pl.Array(pl.Float16, WIDTH))
    ids = pl.Series("row_id", [row["row_id"] for row in rows], dtype=pl.String)
    return pl.DataFrame([ids, vectors]).sort("row_id").lazy()


def picked(rows: list[dict], recipe: Seeds) -> Picked:
    return pick(frame(rows), vectors_of(rows), VOCABULARY, recipe)
