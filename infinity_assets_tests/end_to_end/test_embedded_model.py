"""The whole graph on the embedded language model, on just enough rows to exercise every asset."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets.defs.checks import check_lake
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.reading.pool import Pool
from infinity_assets.scoring.judge import DIGITS
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.inference.doubles import EMBEDDED
from infinity_assets_tests.project import PROJECT, ROLES

pytestmark = pytest.mark.engine

SMALL = {
    "SHARDS": "2",  # the other two stay empty
    "SCORING__MAX_ROWS": "16",
    "FROM_TEXT__MAX_TEXTS": "1",
    "FROM_TEXT__MAX_NEW_TOKENS": "48",
    "CHAT__SEEDS__MAX_SEEDS": "14",
    "CHAT__EVOLUTION__SAMPLING__MAX_TOKENS": "64",
    "CHAT__ANSWERING__SAMPLING__MAX_TOKENS": "96",
    "CHAT__CONVERSATIONS__SHARE": "0.5",
    "CHAT__CONVERSATIONS__USER_SAMPLING__MAX_TOKENS": "32",
    "CHAT__DIAGNOSIS__DEFICIENCY_SAMPLING__MAX_TOKENS": "16",
}


@pytest.fixture(scope="module")
def lake(models_dir: Path, engines: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake with all assets, made in this process to reuse its open engine."""
    folder = tmp_path_factory.mktemp("embedded")
    settings, spec = folder / "settings.yaml", EMBEDDED.model_dump(mode="json")
    students = [{"name": "greedy", "model": spec, "sampling": {"temperature": 0.0, "max_tokens": 32}}]
    settings.write_text(json.dumps({"models": {**dict.fromkeys(ROLES, spec), "students": students}}))
    with pytest.MonkeyPatch.context() as patch:
        graph = Graph(folder, patch, {**SMALL, "SETTINGS": settings, "MODELS": models_dir})
        graph.use(engines)
        sources, benchmarks = PROJECT / "data" / "sources", PROJECT / "data" / "benchmarks"
        graph.data.mkdir()
        Pool(sources=sources, benchmarks=benchmarks, only=("everyday_tasks", "nature_notes")).save(graph.data)
        graph.make()
        yield graph.lake


def test_every_call_was_answered_by_the_embedded_model(lake: Lake) -> None:
    with connect(lake.data) as views:
        calls = views.sql("select asset, model, error from generations where not cached").pl()
    assert {"synthesized_from_text", "tagged", "scored", "evolved", "answered", "diagnosed"} <= set(calls["asset"])
    assert set(calls["model"]) == {EMBEDDED.weights_id}
    assert calls["error"].null_count() > 0.8 * calls.height


def test_scores_vary_and_are_finite(lake: Lake) -> None:
    scored = lake.scan("scored").collect()
    assert scored["ifd"].drop_nulls().n_unique() > 12, "scores are measured, not constant"
    for score in ("ifd", "loss", "quality"):
        assert scored[score].drop_nulls().is_finite().all()
    assert set(scored.drop_nulls("quality")["quality_text"]) <= set(DIGITS)


def test_rows_written_by_the_model_reach_g_and_every_invariant_holds(lake: Lake) -> None:
    evolved, g = lake.scan("evolved").collect(), lake.scan("inf_instruct_g").collect()
    assert g.height > 0
    assert set(g["parents"].explode()) & {*evolved["row_id"], *lake.scan("answered").collect()["row_id"]}
    assert [(asset, name) for asset, name, broken in check_lake(lake) if broken.height] == []
