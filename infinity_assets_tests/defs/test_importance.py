"""`ngrams` and `importance` on a lake made by hand: distributions cover all shards, and partitions are reused."""

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake
from infinity_assets.defs.automation import whole_range
from infinity_assets.defs.partitions import SHARDS
from infinity_assets.defs.resources import default_resources
from infinity_assets.defs.score.importance import importance
from infinity_assets.defs.score.ngrams import ngrams
from infinity_assets.errors import InfinityError
from infinity_assets.reading.benchmarks import ITEM
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import shard_of
from infinity_assets.selection.dsir.passes import IMPORTANCE
from infinity_assets.selection.dsir.weights import count, fit, weigh
from infinity_assets.settings.foundation import Dsir
from infinity_assets_tests.defs.steps import commit
from infinity_assets_tests.frames import pool

NUMBERS = range(1, 31)
KINDS = {
    "sums": "Tom has {} apples and buys {} more. How many apples does he have?",
    "eggs": "Ann sells {} eggs and then {} more. How many eggs does she sell?",
    "algebra": "Solve the equation x + {} = {} and simplify the fraction.",
}
"""Questions by kind. The first kind is a source that is a target."""
SHARD_NAMES = SHARDS.get_partition_keys()


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.chdir(tmp_path)
    made = Lake(tmp_path)
    records = [
        (source, "f", n, [("user", text.format(n, 3 * n)), ("assistant", f"{n}")])
        for source, text in KINDS.items()
        for n in NUMBERS
    ]
    records += [
        ("talk", "f", 0, [("user", "How are you?"), ("assistant", "Well.")]),
        ("sums", "f", 99, [("user", "Tom has no answer.")]),
    ]
    rows = pool(*records).with_columns(
        domain=pl.when(pl.col("source") == "talk").then(pl.lit("chat")).otherwise(pl.lit("math"))
    )
    for shard in SHARD_NAMES:
        commit(made, "decontaminated", rows.filter(shard_of(len(SHARD_NAMES)) == shard), shard)
    items = [
        ("a#0", "equations", "f", 0, "Solve the equation y + 99 = 7 and factor the polynomial.", None, "92", "math")
    ]
    commit(made, "benchmarks", pl.DataFrame(items, schema=ITEM, orient="row"))
    return made


def run(lake: Lake, monkeypatch: pytest.MonkeyPatch, targets: dict[str, list[str]]) -> tuple[pl.DataFrame, list[bool]]:
    """Return the table with prompts, and whether each partition of both assets was reused."""
    monkeypatch.setenv("INFINITY_FOUNDATION__DSIR__TARGETS", json.dumps(targets))
    result = dg.materialize(
        [ngrams, importance], tags=whole_range(list(SHARD_NAMES)), resources=default_resources(str(lake.data))
    )
    events = {
        (asset, event.partition): event
        for asset in ("ngrams", "importance")
        for event in result.asset_materializations_for_node(asset)
    }
    table = lake.scan("importance").collect()
    assert table.schema == IMPORTANCE
    asked = lake.scan("decontaminated").select("row_id", "source", prompt=conversation.content_of("user")).collect()
    assert sorted(table["row_id"]) == sorted(asked["row_id"])
    return table.join(asked, on="row_id"), [bool(event.metadata["reused"].value) for event in events.values()]


def means(table: pl.DataFrame) -> dict[str, float]:
    return dict(table.drop_nulls("log_weight").group_by("source").agg(pl.col("log_weight").mean()).iter_rows())


def test_weights_toward_a_source_use_the_whole_domain(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = run(lake, monkeypatch, {"math": ["sums"]})
    why = table.filter(pl.col("log_weight").is_null()).sort("importance_error").select("source", "importance_error")
    assert why.rows() == [("sums", "no_answer"), ("talk", "no_target")]
    weighed = table.drop_nulls("log_weight")
    dsir = Dsir(targets={"math": ("sums",)})
    fitted = fit(count(weighed["prompt"], dsir), count(weighed.filter(source="sums")["prompt"], dsir), dsir)
    expected = weigh(weighed["prompt"], fitted, dsir)
    assert weighed.select(expected.columns).equals(expected)
    assert means(table)["sums"] > means(table)["eggs"] > means(table)["algebra"]
    again, reused = run(lake, monkeypatch, {"math": ["sums"]})
    assert reused == [True] * 2 * len(SHARD_NAMES)
    assert again.equals(table)


def test_benchmarks_can_be_targets_by_name_or_by_domain(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    named, _ = run(lake, monkeypatch, {"math": ["equations"]})
    every, reused = run(lake, monkeypatch, {"math": []})
    assert not any(reused)
    assert named.equals(every)
    assert means(every)["algebra"] > means(every)["eggs"]


def test_an_unknown_target_is_an_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InfinityError, match="`smus`"):
        run(lake, monkeypatch, {"math": ["smus"]})


def test_a_domain_without_a_target_or_a_row_has_no_weights(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = run(lake, monkeypatch, {"code": [], "knowledge": ["equations"]})
    assert set(table["importance_error"]) == {"no_target", "no_answer"}
    assert lake.scan("ngrams").collect().is_empty()
