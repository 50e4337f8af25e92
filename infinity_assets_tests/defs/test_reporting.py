"""Materializations on Dagster's instance: data versions, partial failures, stale marks, and rows on pages."""

from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import StaleStatus
from dagster._utils.test.data_versions import get_stale_status_resolver

from infinity_assets.catalog.lake import Outcome
from infinity_assets.definitions import build_defs
from infinity_assets.defs import dataset, registry
from infinity_assets.defs.automation import whole_range
from infinity_assets.defs.materialize import materialize
from infinity_assets.defs.partitions import SHARDS
from infinity_assets.defs.reporting import DATA_VERSION, settings_version
from infinity_assets.defs.resources import LakeResource
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.settings import Settings
from infinity_assets_tests.defs.graph import Graph, stages

SHARD_NAMES = list(SHARDS.get_partition_keys())


def with_sources(graph: Graph) -> Graph:
    graph.source("one", [{"question": f"What is {n}?", "answer": f"A number: {n}"} for n in range(12)])
    graph.benchmark("exam", [{"question": "How do bees see?", "answer": "With eyes."}])
    return graph


_, graph = stages(with_sources, "matches")


def run(graph: Graph, *assets: str, force: bool = False, fails: bool = False) -> None:
    """Materialize all shards of assets in one run."""
    job = build_defs(
        resources={"lake": LakeResource(data=str(graph.data), force=force)}
    ).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags=whole_range(SHARD_NAMES),
        instance=graph.instance,
        raise_on_error=False,
    )
    assert result.success is not fails


def versions(graph: Graph, asset: str) -> dict[str, str]:
    """Return Dagster's data version of each partition."""
    found: dict[str, str] = {}
    for record in reversed(graph.instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records):
        assert record.asset_materialization
        found[str(record.partition_key)] = (record.asset_materialization.tags or {})[DATA_VERSION]
    return found


def test_every_partition_of_a_range_has_the_data_version_of_its_rows(graph: Graph) -> None:
    run(graph, "deduped")
    assert versions(graph, "deduped") == {shard: graph.manifest("deduped", shard).data_version for shard in SHARD_NAMES}
    assert len(set(versions(graph, "deduped").values())) > 1
    before = versions(graph, "deduped")
    run(graph, "deduped")
    assert versions(graph, "deduped") == before


def status(graph: Graph, asset: str, partition: str) -> StaleStatus:
    """Return the stale status of a partition in the UI."""
    return get_stale_status_resolver(graph.instance, build_defs().resolve_asset_graph().assets_defs).get_status(
        dg.AssetKey(asset), partition
    )


def test_a_partition_is_stale_only_if_its_input_rows_have_changed(graph: Graph) -> None:
    run(graph, "deduped")
    run(graph, "matches")
    assert {status(graph, "matches", shard) for shard in SHARD_NAMES} == {StaleStatus.FRESH}
    graph.source("two", [{"question": "What is one more?", "answer": "One more than before."}])
    before = versions(graph, "deduped")
    graph.make("duplicates")
    run(graph, "deduped")
    changed = {name for name, version in versions(graph, "deduped").items() if version != before[name]}
    assert 0 < len(changed) < len(SHARD_NAMES)
    assert {name for name in SHARD_NAMES if status(graph, "matches", name) is StaleStatus.STALE} == changed


def test_a_changed_setting_makes_dependent_assets_stale(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {registered.asset: registered for registered in registry.needed_by("decontaminated")}
    before = {asset: settings_version(registered, Settings()) for asset, registered in named.items()}
    monkeypatch.setenv("INFINITY_DECONTAMINATION__NGRAM", "11")
    after = {asset: settings_version(registered, Settings()) for asset, registered in named.items()}
    assert {asset for asset in named if after[asset] != before[asset]} == {"matches"}
    defined = {spec.key.to_user_string(): spec.code_version for spec in build_defs().resolve_all_asset_specs()}
    assert {asset: defined[asset] for asset in before} == before


def test_finished_partitions_of_a_failed_range_are_materialized(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    deduped = registry.find("deduped")

    def fail(step: Step) -> Outcome:
        if step.partition == SHARD_NAMES[2]:
            raise InfinityError("The disk is full.")
        return deduped.function(step)

    monkeypatch.setattr(dataset, "materialize", partial(failing, replace(deduped, function=fail)))
    run(graph, "deduped", force=True, fails=True)
    assert list(versions(graph, "deduped")) == SHARD_NAMES[:2]


def failing(registered: registry.Registered, _: registry.Registered, *arguments: Any) -> Any:
    return materialize(registered, *arguments)


def test_the_page_shows_ten_rows_and_the_command_for_more(graph: Graph) -> None:
    run(graph, "deduped")
    record = graph.instance.fetch_materializations(dg.AssetKey("deduped"), limit=1).records[0]
    assert record.asset_materialization
    page = str(record.asset_materialization.metadata["rows"].value)
    rows = graph.rows("deduped", record.partition_key)
    assert page.count("\n| ") == min(10, rows.height)
    assert rows["row_id"][0][:8] in page
    assert "infinity explain" in page
