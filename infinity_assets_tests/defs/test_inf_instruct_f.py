"""`inf_instruct_f` from stored tables alone, without an engine."""

import json
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Manifest, Outcome
from infinity_assets.defs.step import Step
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import Response, ScoreRequest
from infinity_assets.invariants import conservation, unique
from infinity_assets.settings import Settings
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.defs.scored_lake import ROWS, f_of, make
from infinity_assets_tests.defs.steps import commit, rows_of
from infinity_assets_tests.defs.words import Words
from infinity_assets_tests.inference.doubles import ScriptedEngine


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make(tmp_path_factory.mktemp("data"))


def settings_with(**changed: object) -> Settings:
    now = Settings()
    return now.model_copy(update={"foundation": now.foundation.model_copy(update=changed)})


def table(outcome: Outcome, name: str) -> list[dict[str, str]]:
    """Parse a chart that is a markdown table."""
    head, _, *lines = (line.strip("| ").split(" | ") for line in outcome.charts[name].splitlines())
    return [dict(zip(head, line, strict=False)) for line in lines]


def test_every_row_is_in_f_or_has_a_reason(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def inference(asked: Step) -> None:
        raise AssertionError(asked.asset)

    monkeypatch.setattr(Step, "inference", inference)
    outcome = f_of(lake, Settings())
    assert conservation(lake, "inf_instruct_f").is_empty()
    assert unique(lake, "inf_instruct_f").is_empty()
    rows = lake.scan("inf_instruct_f").collect()
    assert outcome.rows_in == ROWS
    decided = lake.ledger_table("decisions", "inf_instruct_f").collect()
    chosen = decided.filter(verdict="chosen")
    assert sorted(chosen["row_id"]) == rows["row_id"].to_list()
    assert dict(chosen.select("row_id", "reason").iter_rows()) == dict(rows.select("row_id", "selector").iter_rows())
    reasons = dict(decided.filter(verdict="dropped").group_by("reason").len().iter_rows())
    assert reasons["refusal"] == (ROWS - 1) // 10
    assert reasons["no_answer"] == 1
    assert all(isinstance(json.loads(detail), dict) for detail in decided["detail"])
    # Its own recipe and quota for every domain; a shortfall is told with its reason.
    assert dict(rows.group_by("domain").len().iter_rows()) | {"chat": 0} == {
        "math": 30,
        "code": 30,
        "knowledge": 45,
        "chat": 0,
    }
    assert set(rows.filter(domain="math")["selector"]) == {"dsir"}
    told = {line["domain"]: line for line in table(outcome, "domains")}
    assert told["math"]["shortfall"] == "0"
    assert told["chat"]["because"] == "fewer rows passed the rules"
    assert int(told["chat"]["shortfall"].replace(",", "")) == 1000 - rows.filter(domain="chat").height
    # Seeds are replayed, and all other rows of the domain follow.
    assert (
        rows.filter(selector="seed_replay").height
        == lake.scan("seed_selected").collect().join(rows, on="row_id", how="semi").height
        > 0
    )
    assert rows.filter(pl.col("dsir_log_weight").is_null()).is_empty()


def test_f_depends_on_the_stored_tables_and_settings_alone(lake: Lake) -> None:
    """The order of the rows does not matter, a new threshold or quota does, and a quota of 0 gives no rows."""
    before = f_of(lake, Settings())
    budget = lake.scan("domain_budget").collect()
    vectors = lake.scan("vectors").collect()
    try:
        commit(lake, "vectors", vectors.reverse())
        assert rows_of(f_of(lake, Settings())).equals(rows_of(before))
        stricter = rows_of(f_of(lake, settings_with(max_similarity=0.3)))
        assert stricter.height < rows_of(before).height
        commit(lake, "domain_budget", budget.with_columns(quota=pl.lit(0, pl.Int64)))
        assert rows_of(f_of(lake, Settings())).is_empty()
        assert conservation(lake, "inf_instruct_f").is_empty()
    finally:
        commit(lake, "domain_budget", budget)
        commit(lake, "vectors", vectors)


def test_a_recipe_can_use_every_selector(lake: Lake) -> None:
    recipe = {
        "math": ("facility", "random"),
        "code": ("deita", "kcenter"),
        "knowledge": ("instag", "reward", "longest"),
        "chat": ("quality", "retrieval"),
    }
    rows = rows_of(f_of(lake, settings_with(recipe=recipe)))
    assert conservation(lake, "inf_instruct_f").is_empty()
    for domain, names in recipe.items():
        assert set(rows.filter(domain=domain)["selector"]) == set(names)


def test_only_texts_of_chosen_rows_are_read(lake: Lake, tmp_path: Path) -> None:
    """A missing text matters only for rows of F."""
    taken = rows_of(f_of(lake, Settings()))["row_id"]
    rows = lake.scan("decontaminated").collect()
    bare = rows.with_columns(pl.when(pl.col("row_id").is_in(taken.implode())).then("messages"))
    commit(lake, "decontaminated", bare)
    try:
        assert rows_of(f_of(lake, Settings()))["messages"].null_count() == 0
    finally:
        commit(lake, "decontaminated", rows)


def test_the_graph_makes_f_from_files_and_reuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run computes nothing."""
    settings = {"SHARDS": 1, "SCORING__EMBEDDER__MODEL": "words", "FOUNDATION__MAX_SIMILARITY": 1}
    graph = Graph(tmp_path, monkeypatch, settings)
    verbs = ("Describe", "Compare", "Sketch", "Rename", "Explain", "Count")
    things = ("lighthouse", "harbour", "orchard", "library", "glacier")
    records = [
        {"instruction": f"{verb} the {thing}", "output": f"I {verb.lower()} the {thing} as you said."}
        for verb in verbs
        for thing in things
    ]
    graph.source("tasks", records)
    graph.benchmark("tasks", [{"question": "Describe the lighthouse", "answer": "Long."}])

    def answer(request: object) -> Response:
        if isinstance(request, ScoreRequest):
            return Response(sum_logprob=-4.0 + len(request.context), answer_tokens=5, prompt_tokens=3)
        return Response(text=json.dumps({"ability": ["some label"]}), finish_reason="stop")

    words = Words([*verbs, "the", *things])
    graph.use(EnginePool(Path("nowhere"), lambda spec, models: ScriptedEngine(answer), lambda spec, models: words))
    graph.make("inf_instruct_f")
    lake = graph.lake

    def manifests() -> dict[str, Manifest | None]:
        return {
            asset: lake.manifest(asset, partition)
            for asset in sorted(lake.assets())
            for partition in lake.partitions(asset)
        }

    made = manifests()
    assert {"topics", "benchmark_vectors", "proximity", "inf_instruct_f"} <= set(made)
    quota = made["domain_budget"].measures["quota, all domains"]  # type: ignore[union-attr]
    assert lake.scan("inf_instruct_f").collect().height == quota > 0
    assert conservation(lake, "inf_instruct_f").is_empty()
    assert graph.make("inf_instruct_f") == []
    assert manifests() == made
