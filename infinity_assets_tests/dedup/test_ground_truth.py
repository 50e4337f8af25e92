"""De-duplication of real sources with known duplicates."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.dedup.duplicates import find_duplicates
from infinity_assets.dedup.fingerprints import fingerprint
from infinity_assets.reading.sources import load_source
from infinity_assets.rows import schema
from infinity_assets.settings import Dedup, Near
from infinity_assets_tests.dedup.brute_force import jaccard, shingles
from infinity_assets_tests.reading.in_memory import read

SHARED = Path(__file__).parents[3] / "shared/data/sources"
SOURCES = ("cherry_alpaca_5pct", "codealpaca", "easyinstruct_alpaca_5k", "fastchat_dummy", "self_instruct")
SHARED_CONTENTS = {("cherry_alpaca_5pct", "easyinstruct_alpaca_5k"): 321, ("codealpaca", "self_instruct"): 9}
"""Number of equal conversations (prompt and response) by pair of sources, from the manifest."""


@pytest.fixture(scope="module")
def rows() -> dict[str, pl.DataFrame]:
    if not SHARED.is_dir():
        pytest.skip("the shared data is not beside this clone")
    return {name: read(load_source(SHARED / name), workers=2).rows.select(list(schema.ROW)) for name in SOURCES}


def test_conversations_that_two_sources_share_are_found(rows: dict[str, pl.DataFrame]) -> None:
    contents = {name: set(fingerprint(frame, Near())["content_hash"]) for name, frame in rows.items()}
    assert {(a, b): len(contents[a] & contents[b]) for a, b in SHARED_CONTENTS} == SHARED_CONTENTS


def test_every_near_duplicate_has_the_reported_similarity(rows: dict[str, pl.DataFrame]) -> None:
    rule = Dedup()
    prints = {name: fingerprint(frame, rule.near).lazy() for name, frame in rows.items()}
    losers = find_duplicates(prints, rule, workers=2)
    near = losers.filter(pl.col("method") == "near")
    assert near.height > 100
    spoken = pl.element().filter(pl.element().struct.field("role") != "system").struct.field("content")
    texts = pl.concat(rows.values()).unique("row_id").select("row_id", pl.col("messages").list.eval(spoken))
    turns_by_row = dict(texts.iter_rows())
    for row, other, similarity in near.select("row_id", "matched", "similarity").iter_rows():
        one, two = (frozenset().union(*shingles(turns_by_row[row_id])) for row_id in (row, other))
        assert jaccard(one, two) == pytest.approx(similarity, abs=1e-3)
        assert similarity >= rule.near.threshold
