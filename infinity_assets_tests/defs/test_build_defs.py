"""The graph as part of another Dagster project: under a prefix, with resources of that project."""

from pathlib import Path

import dagster as dg
import pytest

from infinity_assets.catalog.lake import Lake
from infinity_assets.definitions import build_defs
from infinity_assets.defs.registry import needed_by
from infinity_assets.defs.resources import LakeResource

PREFIX = ["instructions"]


@pytest.fixture
def project(tmp_path: Path) -> dg.Definitions:
    """A project with an asset of its own that reads F."""

    @dg.asset(deps=[dg.AssetKey([*PREFIX, "inf_instruct_f"])])
    def trained_model() -> None: ...

    graph = build_defs(key_prefix=PREFIX, resources={"lake": LakeResource(data=str(tmp_path))})
    return dg.Definitions.merge(dg.Definitions(assets=[trained_model]), graph)


def test_all_keys_and_dependencies_have_the_prefix(project: dg.Definitions) -> None:
    graph = project.resolve_asset_graph()
    prefixed = {dg.AssetKey([*PREFIX, registered.asset]) for registered in needed_by(None)}
    assert graph.get_all_asset_keys() == prefixed | {dg.AssetKey("trained_model")}
    for registered in needed_by(None):
        parents = graph.get(dg.AssetKey([*PREFIX, registered.asset])).parent_keys
        assert parents == {dg.AssetKey([*PREFIX, name]) for name in registered.inputs}


def test_checks_and_jobs_select_only_this_graph(project: dg.Definitions) -> None:
    graph = project.resolve_asset_graph()
    assert {key.asset_key.path[0] for key in graph.asset_check_keys} == set(PREFIX)
    assert len(graph.asset_check_keys) == len(build_defs().resolve_asset_graph().asset_check_keys)
    selected = project.get_repository_def().get_job("build_sets").asset_layer.selected_asset_keys
    assert dg.AssetKey("trained_model") not in selected
    assert dg.AssetKey([*PREFIX, "release"]) in selected


def test_an_asset_is_materialized_in_the_lake_of_the_project(project: dg.Definitions, tmp_path: Path) -> None:
    job = project.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey([*PREFIX, "allowed"])]).success
    assert Lake(tmp_path).manifest("allowed")
