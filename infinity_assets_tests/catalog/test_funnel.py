from pathlib import Path

import polars as pl

from infinity_assets.catalog.funnel import funnel
from infinity_assets.catalog.lake import Outcome
from infinity_assets_tests.catalog import lakes


def test_the_funnel_counts_rows_reasons_and_calls(tmp_path: Path) -> None:
    lakes.make(tmp_path)
    lines = {line["asset"]: line for line in funnel(tmp_path).iter_rows(named=True)}

    def counts(asset: str) -> tuple:
        return tuple(
            lines[asset][c]
            for c in ("partitions", "rows_in", "rows_created", "rows_out", "rows_dropped", "reasons", "calls")
        )

    assert counts("raw_pool") == (1, 0, 5, 4, 1, "malformed_json 1", None)
    assert counts("deduped") == (1, 4, 0, 3, 1, "exact_duplicate 1", None)
    assert counts("scored") == (1, None, None, 2, None, None, None)
    assert counts("evolved") == (1, 2, 1, 1, 2, "returned_to_pool 1, superseded 1", 1)


def test_answers_from_the_store_do_not_count_as_calls(tmp_path: Path) -> None:
    lake = lakes.make(tmp_path)
    asked = pl.concat([lakes.call(lakes.BAKERY, "answer"), lakes.call(lakes.TEA, "answer").with_columns(cached=True)])
    lake.commit(lakes.key("answered_2"), Outcome(lake.scan("answered").collect(), generations=asked), "run-1", 0.0)
    line = next(line for line in funnel(tmp_path).iter_rows(named=True) if line["asset"] == "answered_2")
    assert line["calls"] == 1


def test_partitions_are_summed_and_past_materializations_ignored(tmp_path: Path) -> None:
    lake = lakes.make(tmp_path)
    rows = lake.scan("deduped").collect()
    for run in ("run-1", "run-2"):
        for partition, height in (("shard-00", 1), ("shard-01", 2)):
            lake.commit(
                lakes.key("decontaminated_by_hand", partition), Outcome(rows.head(height), rows_in=height), run, 0.0
            )
    line = next(line for line in funnel(tmp_path).iter_rows(named=True) if line["asset"] == "decontaminated_by_hand")
    assert (line["partitions"], line["rows_in"], line["rows_out"], line["rows_dropped"]) == (2, 3, 3, 0)
