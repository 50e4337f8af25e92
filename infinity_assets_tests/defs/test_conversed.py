"""`conversed` with a scripted engine: the asset reads its round, and its ledger tables add up."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake
from infinity_assets.defs.chat import conversed
from infinity_assets.defs.chat.rounds import CONVERSED, DIAGNOSED
from infinity_assets.defs.registry import find
from infinity_assets.invariants import INVARIANTS
from infinity_assets.rows.frames import conform
from infinity_assets_tests.defs.steps import commit, outcome_of
from infinity_assets_tests.inference.doubles import ScriptedEngine
from infinity_assets_tests.synthesis.test_conversations import rows, scripted


def diagnosed(count: int) -> pl.DataFrame:
    """Rows of `diagnosed`."""
    made = rows(count).with_columns(answer_score=pl.int_range(pl.len()).cast(pl.Float64))
    return conform(made, DIAGNOSED, fill=True)


@pytest.mark.parametrize("share", ["0", "0.5", "1"])
def test_the_ledger_adds_up_and_all_columns_but_messages_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str
) -> None:
    monkeypatch.setenv("INFINITY_CHAT__CONVERSATIONS__SHARE", share)
    engine = ScriptedEngine(scripted({}))
    lake, given = Lake(tmp_path), diagnosed(12)
    commit(lake, "diagnosed", given, "shard-00")
    assert conversed.rounds
    outcome = outcome_of("conversed", lake, partition="shard-00", engines=engine.pool())
    commit(lake, "conversed", outcome, "shard-00")
    made = lake.scan("conversed").collect()
    assert made.schema == CONVERSED
    assert made.height == given.height
    assert {"0": made["turns"].max() == 1, "0.5": 0 < outcome.edges.height < 12, "1": made["turns"].min() == 2}[share]
    for name in find("conversed").invariants:
        assert INVARIANTS[name](lake, "conversed").is_empty()
    parent = dict(outcome.edges.select("child_id", "parent_id").iter_rows())
    whose = made.with_columns(pl.col("row_id").replace(parent)).sort("row_id")
    same = [name for name in DIAGNOSED if name not in ("messages", "parents", "operation")]
    assert whose.select(same).equals(given.sort("row_id").select(same))
    assert bool(engine.asked) == (share != "0")
