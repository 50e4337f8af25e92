"""The graph as Dagster sees it: the assets, partitions and jobs that users and their scripts rely on."""

import ast
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from infinity_assets.definitions import defs
from infinity_assets.invariants import APPLIES

PACKAGE = Path(__file__).parents[2] / "infinity_assets"
GROUPS = {
    "ingest": ["raw_pool", "synthesized_from_text", "fingerprints", "embeddings"],
    "curate": ["neighbours", "duplicates", "deduped", "benchmarks", "paraphrases", "allowed", "matches", "contamination", "decontaminated"],
    "score": [
        "measured",
        "ngrams",
        "importance",
        "vectors",
        "benchmark_vectors",
        "proximity",
        "tagged",
        "label_forms",
        "labelled",
        "scored",
        "tuned",
        "loss_after",
    ],
    "foundation": ["rules", "topics", "domain_scores", "domain_budget", "inf_instruct_f", "proxy"],
    "chat": [
        "tag_vocabulary",
        "seed_selected",
        "evolved",
        "answered",
        "diagnosed",
        "abilities",
        "conversed",
        "inf_instruct_g",
        "preferences",
    ],
    "release": ["release"],
}
ASSETS = [(asset, group) for group, assets in GROUPS.items() for asset in assets]


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def test_the_graph_holds_these_assets_and_no_others(definitions: dg.Definitions) -> None:
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert keys == {asset for asset, _ in ASSETS}


@pytest.mark.parametrize(("asset", "group"), ASSETS)
def test_every_asset_is_described(definitions: dg.Definitions, asset: str, group: str) -> None:
    spec = next(spec for spec in definitions.resolve_all_asset_specs() if spec.key == dg.AssetKey(asset))
    assert spec.group_name == group
    assert spec.kinds
    assert spec.code_version
    assert spec.description
    assert "Grain:" in spec.description
    columns = spec.metadata["dagster/column_schema"].columns  # pyright: ignore[reportAttributeAccessIssue]
    assert columns
    assert [column.name for column in columns if not column.description] == []


@pytest.mark.parametrize(("asset", "group"), ASSETS)
def test_every_asset_runs_its_partitions_in_one_run(definitions: dg.Definitions, asset: str, group: str) -> None:
    """Without this policy on all of them no run can mix partitioned and unpartitioned assets in the right order."""
    node = definitions.resolve_asset_graph().get(dg.AssetKey(asset))
    assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_partitions(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    names = {asset: getattr(graph.get(dg.AssetKey(asset)).partitions_def, "name", None) for asset in GROUPS["ingest"]}
    assert set(names.values()) == {"source"}
    for asset in (
        "deduped",
        "matches",
        "decontaminated",
        "measured",
        "ngrams",
        "importance",
        "vectors",
        "proximity",
        "tagged",
        "labelled",
        "scored",
        "loss_after",
        "evolved",
        "answered",
        "diagnosed",
        "conversed",
    ):
        partitions = graph.get(dg.AssetKey(asset)).partitions_def
        assert partitions
        assert list(partitions.get_partition_keys()) == ["shard-00", "shard-01", "shard-02", "shard-03"]


def test_jobs_sensors_schedule(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {"ingest_sources", "build_sets"} <= set(repository.job_names)
    assert {sensor.name for sensor in repository.sensor_defs} == {"watch_sources", "build_after_ingest"}
    assert {sensor.default_status for sensor in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert [schedule.name for schedule in repository.schedule_defs] == ["daily"]


def test_invariants_are_blocking_checks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    checks = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys if graph.get_check_spec(key).blocking}
    assert checks == {(asset, name) for asset, names in APPLIES.items() for name in names}
    others = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys} - checks
    assert others == {("raw_pool", "understood"), ("contamination", "unflagged")}


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    """A code server has 60 seconds to start, and every command pays for what is imported at module level."""
    heavy = "{'torch', 'vllm', 'numba', 'ray', 'transformers', 'sentence_transformers', 'hnswlib', 'openai', 'huggingface_hub'}"
    code = f"import sys; from infinity_assets.definitions import defs; defs(); print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"


def test_no_library_package_imports_dagster() -> None:
    """Imports run one way: the recipe does not know the orchestrator."""
    inside = ("defs", "definitions.py", "cli")
    outside = [file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).parts[0] not in inside]
    assert len(outside) > 40
    guilty = []
    for file in outside:
        imports = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = [alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names]
        modules += [node.module or "" for node in imports if isinstance(node, ast.ImportFrom)]
        if any(module.split(".")[0] == "dagster" or module.startswith("infinity_assets.defs") for module in modules):
            guilty.append(str(file.relative_to(PACKAGE)))
    assert guilty == []
