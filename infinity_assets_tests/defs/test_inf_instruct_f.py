"""`inf_instruct_f` from stored tables alone, without an engine."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.step import Step
from infinity_assets.inference.engines.embedder import Reading
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import Response, ScoreRequest
from infinity_assets.invariants import conservation, unique
from infinity_assets.settings import Settings
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.defs.scored_lake import ROWS, commit, f_of, make
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
        commit(lake, "vectors", Outcome(vectors.reverse()))
        assert f_of(lake, Settings()).rows.lazy().collect().equals(before.rows.lazy().collect())
        stricter = f_of(lake, settings_with(max_similarity=0.3)).rows.lazy().collect()
        assert stricter.height < before.rows.lazy().collect().height
        commit(lake, "domain_budget", Outcome(budget.with_columns(quota=pl.lit(0, pl.Int64))))
        assert f_of(lake, Settings()).rows.lazy().collect().is_empty()
        assert conservation(lake, "inf_instruct_f").is_empty()
    finally:
        commit(lake, "domain_budget", Outcome(budget))
        commit(lake, "vectors", Outcome(vectors))


def test_a_recipe_can_use_every_selector(lake: Lake) -> None:
    recipe = {
        "math": ("facility", "random"),
        "code": ("deita", "kcenter"),
        "knowledge": ("instag", "reward", "longest"),
        "chat": ("quality", "retrieval"),
    }
    rows = f_of(lake, settings_with(recipe=recipe)).rows.lazy().collect()
    assert conservation(lake, "inf_instruct_f").is_empty()
    for domain, names in recipe.items():
        assert set(rows.filter(domain=domain)["selector"]) == set(names)


def test_only_texts_of_chosen_rows_are_read(lake: Lake, tmp_path: Path) -> None:
    """A missing text matters only for rows of F."""
    taken = f_of(lake, Settings()).rows.lazy().collect()["row_id"]
    rows = lake.scan("decontaminated").collect()
    bare = rows.with_columns(pl.when(pl.col("row_id").is_in(taken.implode())).then("messages"))
    commit(lake, "decontaminated", Outcome(bare))
    try:
        assert f_of(lake, Settings()).rows.lazy().collect()["messages"].null_count() == 0
    finally:
        commit(lake, "decontaminated", Outcome(rows))


class Letters:
    """An embedder that counts the letters of a text."""

    width = 26

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        counts = np.array(
            [[text.lower().count(chr(97 + n)) for n in range(self.width)] for text in texts], np.float32
        ).reshape(-1, self.width)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def read(self, texts: Sequence[str]) -> Reading:
        return Reading(np.zeros(len(texts), bool), np.zeros(len(texts), np.float32))

    def close(self) -> None: ...


def test_the_graph_makes_f_from_files_and_reuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run computes nothing."""
    settings = {"SHARDS": 1, "SCORING__EMBEDDER__MODEL": "letters", "FOUNDATION__MAX_SIMILARITY": 1}
    graph = Graph(tmp_path, monkeypatch, settings)
    records = [
        {"instruction": f"{verb} the {thing}.", "output": f"I {verb.lower()} the {thing} as you said."}
        for verb in ("Describe", "Compare", "Sketch", "Rename", "Explain", "Count")
        for thing in ("lighthouse", "harbour", "orchard", "library", "glacier")
    ]
    graph.source("tasks", records)
    graph.benchmark("tasks", [{"question": "Describe the lighthouse keeper's day.", "answer": "Long."}])

    def answer(request: object) -> Response:
        if isinstance(request, ScoreRequest):
            return Response(sum_logprob=-4.0 + len(request.context), answer_tokens=5, prompt_tokens=3)
        return Response(text=json.dumps({"ability": ["some label"]}), finish_reason="stop")

    graph.use(EnginePool(Path("nowhere"), lambda spec, models: ScriptedEngine(answer), lambda spec, models: Letters()))
    graph.make("inf_instruct_f")
    lake = graph.lake
    made = {
        asset: lake.manifest(asset, partition)
        for asset in sorted(lake.assets())
        for partition in lake.partitions(asset)
    }
    assert {"topics", "benchmark_vectors", "proximity", "inf_instruct_f"} <= set(made)
    quota = made["domain_budget"].measures["quota, all domains"]  # type: ignore[union-attr]
    assert lake.scan("inf_instruct_f").collect().height == quota > 0  # type: ignore[operator]
    assert conservation(lake, "inf_instruct_f").is_empty()
    assert graph.make("inf_instruct_f") == []
    assert {
        asset: lake.manifest(asset, partition)
        for asset in sorted(lake.assets())
        for partition in lake.partitions(asset)
    } == made
