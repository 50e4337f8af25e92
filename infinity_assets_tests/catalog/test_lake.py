"""A crash at any moment leaves a consistent lake, and a materialization is reused only if nothing changed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog import lake as module
from infinity_assets.catalog.lake import LEDGER, Lake, Manifest, Outcome, StepKey
from infinity_assets.errors import InfinityError
from infinity_assets.rows import schema
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.catalog.lakes import BAKERY, TEA, call, decided, edge, key
from infinity_assets_tests.frames import pool

ROWS = pool(("alpha", "a.json", 0, BAKERY))
OUTCOME = Outcome(
    ROWS, rows_in=2, decisions=decided(ROWS, "dropped", "why"), edges=edge(BAKERY, TEA, "op"),
    origins=ROWS.select(list(schema.ORIGINS)), measures={"n": 1}, charts={"c": "x"},
)  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "it's [data]")


def commit(
    lake: Lake, asset: str = "evolved", partition: str = "shard-00", outcome: Outcome = OUTCOME, run: str = "run-1"
) -> Manifest:
    return lake.commit(key(asset, partition), outcome, run, 0.0)


def test_a_committed_partition_can_be_read(lake: Lake) -> None:
    manifest = commit(lake)
    assert lake.manifest("evolved", "shard-00") == manifest
    assert (manifest.rows_in, manifest.rows_created, manifest.rows_out, manifest.rows_dropped) == (2, 0, 1, 1)
    assert lake.scan("evolved").collect().equals(ROWS)
    for table in ("decisions", "edges", "origins"):
        file = lake.catalog / table / "evolved" / "shard-00.parquet"
        assert pl.read_parquet(file, glob=False).schema == LEDGER[table]


def test_an_asset_whose_grain_is_not_the_row_has_null_counts(lake: Lake) -> None:
    manifest = commit(lake, outcome=Outcome(ROWS))
    assert (manifest.rows_in, manifest.rows_created, manifest.rows_dropped, manifest.rows_out) == (None, None, None, 1)


@pytest.mark.parametrize("changed", ["code_version", "settings_hash", "inputs"])
def test_a_materialization_is_reused_if_no_dependency_has_changed(lake: Lake, changed: str) -> None:
    assert lake.reusable(key("evolved", "shard-00")) is None
    manifest = commit(lake)
    assert lake.reusable(key("evolved", "shard-00")) == manifest
    assert lake.reusable(key("evolved", "shard-00", **{changed: {"x": "2"} if changed == "inputs" else "2"})) is None
    assert lake.reusable(key("evolved", "shard-01")) is None


@pytest.mark.parametrize(
    ("error", "reused"), [("connection", False), ("engine_error", False), ("prompt_too_long", True)]
)
def test_a_materialization_with_retriable_errors_is_not_reused(lake: Lake, error: str, reused: bool) -> None:
    """Rows that were not scored while a server was down must be scored by the next run."""
    commit(lake, outcome=replace(OUTCOME, generations=call(TEA, "tag").with_columns(error=pl.lit(error))))
    assert (lake.reusable(key("evolved", "shard-00")) is not None) == reused


def test_a_deleted_release_is_not_reused(lake: Lake) -> None:
    """A run must not report a release as unchanged if its files are missing."""
    file = lake.data / "release" / "F.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert commit(lake, outcome=replace(OUTCOME, artefacts=[file])).files == {"release/F.jsonl": 2}
    assert lake.reusable(key("evolved", "shard-00"))
    file.unlink()
    assert lake.reusable(key("evolved", "shard-00")) is None


def _delete(file: Path) -> None:
    file.unlink()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_delete, _cut])
def test_deleted_or_truncated_rows_are_not_reused(lake: Lake, damage: Callable[[Path], None]) -> None:
    commit(lake)
    damage(lake.rows_file("evolved", "shard-00"))
    assert lake.reusable(key("evolved", "shard-00")) is None


def test_the_data_version_depends_only_on_the_rows(lake: Lake) -> None:
    one, same = commit(lake), commit(lake, run="run-2", outcome=Outcome(ROWS))
    other = commit(lake, run="run-3", outcome=Outcome(pool(("alpha", "a.json", 0, TEA))))
    assert one.data_version == same.data_version != other.data_version


@pytest.mark.parametrize("writer", ["write_parquet", "write_text"])
@pytest.mark.parametrize("step", range(5))
def test_a_process_killed_half_way_leaves_no_reusable_partition(
    lake: Lake, monkeypatch, writer: str, step: int
) -> None:
    """The next run materializes the partition again, if rows, ledger tables, calls or manifest were not written."""
    commit(lake)
    real = getattr(module, writer)
    written = []

    def fail(content: object, path: Path) -> None:
        if writer == "write_text" or len(written) == step:
            raise KeyboardInterrupt
        written.append(path)
        real(content, path)

    monkeypatch.setattr(module, writer, fail)
    tea = pool(("alpha", "a.json", 0, TEA))
    changed = Outcome(tea, rows_in=2, decisions=OUTCOME.decisions, edges=OUTCOME.edges, origins=OUTCOME.origins)
    if writer == "write_text" or step < 4:  # the outcome has no calls, so there is no fifth Parquet file
        with pytest.raises(KeyboardInterrupt):
            commit(lake, outcome=changed, run="run-2")
        assert lake.reusable(key("evolved", "shard-00")) is None
        assert lake.partitions("evolved") == []
        assert (lake.catalog / "history" / "evolved" / "shard-00" / "run-1.json").exists()
    monkeypatch.undo()
    again = commit(lake, outcome=changed, run="run-3")
    assert lake.reusable(key("evolved", "shard-00")) == again
    assert lake.scan("evolved").collect().equals(tea)


def test_an_empty_ledger_table_replaces_its_old_lines(lake: Lake) -> None:
    commit(lake)
    commit(lake, run="run-2", outcome=Outcome(ROWS, rows_in=1))
    assert not list(lake.catalog.glob("decisions/evolved/*")) + list(lake.catalog.glob("edges/evolved/*"))


def test_pruning_removes_undefined_partitions_and_keeps_the_history(lake: Lake) -> None:
    for partition in ("shard-00", "shard-01"):
        commit(lake, partition=partition)
        commit(lake, asset="other", partition=partition)
    assert lake.prune("evolved", ["shard-01", "shard-02"]) == ["shard-00"]
    assert lake.partitions("evolved") == ["shard-01"]
    assert lake.partitions("other") == ["shard-00", "shard-01"]
    left = {str(path.relative_to(lake.data)) for path in lake.data.rglob("*shard-00*") if path.is_file()}
    assert left == {f"{folder}/other/shard-00.{kind}" for folder, kind in [
        ("lake", "parquet"), ("catalog/decisions", "parquet"), ("catalog/edges", "parquet"),
        ("catalog/origins", "parquet"), ("catalog/manifests", "json"),
    ]}  # fmt: skip
    assert (lake.catalog / "history" / "evolved" / "shard-00" / "run-1.json").exists()
    assert lake.prune("evolved", ["shard-01"]) == []


def test_a_partition_without_a_manifest_is_pruned(lake: Lake) -> None:
    """A killed process leaves rows without a manifest, and the views read every file of the folder."""
    commit(lake)
    lake.manifest_file("evolved", "shard-00").unlink()
    assert lake.prune("evolved", []) == ["shard-00"]
    assert not lake.rows_file("evolved", "shard-00").exists()


@pytest.mark.parametrize("name", ["alpaca[en]", "a*", "what?", "v1.2", "数据", "it's {x}"])
def test_a_partition_may_have_the_name_of_any_folder(lake: Lake, name: str) -> None:
    manifest = commit(lake, partition=name)
    commit(lake, partition="another", outcome=Outcome(ROWS))
    assert lake.partitions("evolved") == sorted([name, "another"])
    assert lake.scan("evolved", name).collect().height == manifest.rows_out == 1
    assert lake.scan("evolved").collect().height == 2


def test_reading_a_missing_partition_says_to_materialize_it(lake: Lake) -> None:
    commit(lake)
    for missing in [("other", None), ("evolved", "shard-07")]:
        with pytest.raises(InfinityError, match="materialize it first"):
            lake.scan(*missing)


def test_assets_come_in_the_order_of_the_graph(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    reads = {"raw_pool": (), "deduped": ("raw_pool",), "f": ("deduped",), "evolved": ("f",),
             "evolved_2": ("answered", "f"), "answered": ("evolved",), "answered_2": ("evolved_2",),
             "g": ("answered", "answered_2"), "release": ("f", "g"), "also": ("g",)}  # fmt: skip
    for asset, inputs in reversed(reads.items()):
        versions = {f"{name}/all": "v" for name in inputs} | {"files of source": "v"}
        key = StepKey(asset=asset, partition="all", code_version="1", settings_hash="", inputs=versions)
        lake.commit(key, Outcome(pl.DataFrame({"row_id": []})), "run", 0.0)
    assert " ".join(lake.order()) == "raw_pool deduped f evolved answered evolved_2 answered_2 g release also"


def test_the_calls_of_an_earlier_attempt_of_a_run_stay_on_record(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    key = StepKey(asset="tagged", partition="all", code_version="1", settings_hash="", inputs={})
    call = lakes.call(lakes.TEA, "tag")
    lake.write_calls(key, call, "run")
    lake.write_calls(key, call.with_columns(cached=True), "run")
    lake.write_calls(key, call.clear(), "run")
    assert lake.spent("run")[0] == 29
