"""The Dagster definitions: assets, partitions and jobs that users and their scripts rely on."""

import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from infinity_assets.definitions import defs
from infinity_assets.defs.registry import GROUPS, Registered, needed_by

PACKAGE = Path(__file__).parents[2] / "infinity_assets"
ASSETS = needed_by(None)
README = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def test_the_graph_contains_exactly_the_registered_assets(definitions: dg.Definitions) -> None:
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert keys == {registered.asset for registered in ASSETS}


@pytest.mark.parametrize("group", GROUPS)
def test_the_readme_lists_the_assets_of_every_group(group: str) -> None:
    (line,) = re.findall(rf"^\| {group} \| ([\w, ]+) \|", README, re.MULTILINE)
    assert sorted(line.split(", ")) == sorted({registered.stem for registered in ASSETS if registered.group == group})


@pytest.mark.parametrize("registered", ASSETS, ids=lambda registered: registered.asset)
def test_every_asset_has_a_description(definitions: dg.Definitions, registered: Registered) -> None:
    spec = next(spec for spec in definitions.resolve_all_asset_specs() if spec.key == dg.AssetKey(registered.asset))
    assert spec.group_name == registered.group
    assert spec.kinds
    assert spec.code_version
    assert spec.description
    assert "Grain:" in spec.description
    columns = spec.metadata["dagster/column_schema"].columns
    assert columns
    assert [column.name for column in columns if not column.description] == []


def test_every_asset_materializes_its_partitions_in_one_run(definitions: dg.Definitions) -> None:
    """A run can mix partitioned and unpartitioned assets in the right order only if all assets have this policy."""
    nodes = definitions.resolve_asset_graph().asset_nodes
    assert {node.backfill_policy for node in nodes} == {dg.BackfillPolicy.single_run()}


def test_assets_have_the_partitions_of_their_axis(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    by_source = {registered.asset for registered in ASSETS if registered.partitions == "source"}
    assert by_source == {registered.asset for registered in ASSETS if registered.group == "ingest"}
    for registered in ASSETS:
        partitions = graph.get(dg.AssetKey(registered.asset)).partitions_def
        assert getattr(partitions, "name", None) == ("source" if registered.partitions == "source" else None)
        if registered.partitions == "shard":
            assert partitions
            assert list(partitions.get_partition_keys()) == ["shard-00", "shard-01", "shard-02", "shard-03"]


def test_jobs_sensors_and_schedule_are_defined(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {"ingest_sources", "build_sets"} <= set(repository.job_names)
    assert {sensor.name for sensor in repository.sensor_defs} == {"watch_sources", "build_after_ingest"}
    assert {sensor.default_status for sensor in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert [schedule.name for schedule in repository.schedule_defs] == ["daily"]


def test_invariants_are_blocking_checks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    checks = {
        (key.asset_key.to_user_string(), key.name)
        for key in graph.asset_check_keys
        if graph.get_check_spec(key).blocking
    }
    assert checks == {
        (asset, name) for asset, names in ((made.asset, made.invariants) for made in ASSETS) for name in names
    }
    others = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys} - checks
    assert others == {("raw_pool", "understood"), ("contamination", "unflagged")}


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    """A code server has 60 seconds to start, and every command pays for imports at module level."""
    heavy = "{'torch', 'vllm', 'numba', 'ray', 'transformers', 'sentence_transformers', 'hnswlib', 'openai', 'huggingface_hub'}"
    code = (
        f"import sys; from infinity_assets.definitions import defs; defs(); print(sorted({heavy} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"
