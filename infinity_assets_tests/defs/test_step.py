"""Materialization of partitions: reuse, forced runs, and removal of undefined partitions."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from infinity_assets.catalog.lake import ALL, Lake, Outcome, StepKey
from infinity_assets.defs.curate.allowed import allowed
from infinity_assets.defs.resources import LakeResource, ModelsResource


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return Lake(tmp_path)


def run(lake: Lake, force: bool = False) -> bool:
    """Materialize an asset without inputs, and return whether its rows were reused."""
    resources = {"lake": LakeResource(data=str(lake.data), force=force), "models": ModelsResource()}
    result = dg.materialize([allowed], resources=resources)
    (event,) = result.asset_materializations_for_node("allowed")
    return bool(event.metadata["reused"].value)


def test_unchanged_partitions_are_reused_unless_the_run_is_forced(lake: Lake) -> None:
    assert [run(lake), run(lake), run(lake, force=True)] == [False, True, False]


def test_a_partition_that_is_no_longer_defined_is_removed(lake: Lake) -> None:
    key = StepKey(asset="allowed", partition="shard-00", code_version="1", settings_hash="", inputs={})
    lake.commit(key, Outcome(pl.DataFrame({"name": ["old"]})), "run", 0.0)
    run(lake)
    assert lake.partitions("allowed") == [ALL]
    assert not lake.rows_file("allowed", "shard-00").exists()
