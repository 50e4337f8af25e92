"""Rounds of evolution on a lake made by hand: seeds of each round, use of deficiencies, and complete decisions."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.chat.evolved import evolve, operations
from infinity_assets.defs.chat.rounds import DIAGNOSED, LABELS
from infinity_assets.defs.registry import in_round
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest, Request, Response
from infinity_assets.rows import schema
from infinity_assets.rows.frames import conform
from infinity_assets.rows.ids import add_row_ids, shard_names
from infinity_assets.settings import Settings
from infinity_assets_tests.defs.steps import add_round, commit, decisions_of, rows_of, step_of
from infinity_assets_tests.frames import pool
from infinity_assets_tests.inference.doubles import ScriptedEngine
from infinity_assets_tests.runs.test_planner import ChanceEmbedder, scripted

SHARDS = 2


def answer(request: Request) -> Response:
    """Answer a request; one rewrite in three adds nothing."""
    if isinstance(request, GenerateRequest) and request.prompt.startswith(("evolve", "request")):
        number = int("".join(c for c in request.messages[-1]["content"] if c.isdigit()) or 0)
        text = "Same." if number % 3 == 0 else f"“Explain with an example how number {number} comes about, and why.”"
        return Response(text=text, finish_reason="stop", prompt_tokens=9, completion_tokens=9)
    return scripted(request)


@dataclass
class Rounds:
    """A lake with seeds, and a scripted engine."""

    lake: Lake
    engine: ScriptedEngine
    engines: EnginePool

    def evolve(self, number: int, **evolution: Any) -> dict[str, Outcome]:
        """Make all shards of a round and commit them."""
        lenient = {"min_similarity": -1, "max_same": 1, "max_added_words": 99, "min_gain": 0, "max_copy": 1}
        settings = Settings(
            shards=SHARDS,
            chat={"evolution": {"operators": ["deepen"], "elimination": lenient, **evolution}},
        )
        asset = in_round("evolved", number)
        made = {}
        for shard in shard_names(SHARDS):
            made[shard] = evolve(step_of(asset, self.lake, settings, shard, self.engines), number)
            commit(self.lake, asset, made[shard], shard)
        return made

    def diagnose(self, number: int, deficiency: str | None = None) -> None:
        """Diagnose the kept rows except every fifth, which has no answer; every second is weak, in the other shard."""
        kept = self.rows("evolved", number).sort("row_id").with_row_index("n").filter(pl.col("n") % 5 < 4)
        said = pl.concat_list(
            pl.col("messages").list.first(), pl.struct(role=pl.lit("assistant"), content=pl.lit("Because."))
        )
        told = kept.with_columns(
            messages=said,
            parents=pl.concat_list("row_id"),
            weak=pl.col("n") % 2 == 0,
            kind=pl.lit("conversation"),
            deficiency=pl.lit(deficiency),
        )
        rows = conform(add_row_ids(told.drop("row_id", "n")), DIAGNOSED, fill=True)
        for place, shard in enumerate(reversed(shard_names(SHARDS))):
            commit(self.lake, in_round("diagnosed", number), rows.gather_every(SHARDS, place), shard)
        commit(self.lake, in_round("abilities", number), pl.DataFrame({"stop": [False]}))

    def parents(self, number: int) -> set[str]:
        """Return the seeds of a round that have an answered child."""
        answered = self.rows("diagnosed", number)["parents"].explode()
        return set(self.rows("evolved", number).filter(pl.col("row_id").is_in(answered.implode()))["parents"].explode())

    def rows(self, asset: str, number: int) -> pl.DataFrame:
        return self.lake.scan(in_round(asset, number)).collect()


@pytest.fixture
def seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return seeds_in(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def once_evolved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Outcome]]:
    with pytest.MonkeyPatch.context() as patch:
        made = seeds_in(tmp_path_factory.mktemp("evolved"), patch)
        return made.lake.data, made.evolve(1)


@pytest.fixture
def first(once_evolved: tuple[Path, dict[str, Outcome]]) -> dict[str, Outcome]:
    """The outcomes of the first round of `evolved`, by partition."""
    return once_evolved[1]


@pytest.fixture
def rounds(once_evolved: tuple[Path, dict[str, Outcome]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    """A lake with the first round, and a new engine."""
    for number in (2, 3):
        add_round(number, monkeypatch)
    return Rounds(Lake(shutil.copytree(once_evolved[0], tmp_path / "data")), *opened())


def opened() -> tuple[ScriptedEngine, EnginePool]:
    """Return a new engine and its pool."""
    engine = ScriptedEngine(answer)
    return engine, EnginePool(Path("nowhere"), lambda spec, models: engine, lambda spec, models: ChanceEmbedder())


def seeds_in(folder: Path, patch: pytest.MonkeyPatch) -> Rounds:
    lake = Lake(folder)
    seeds = pool(*(("a", "a.json", n, [("user", f"What is {n}?"), ("assistant", "A number.")]) for n in range(30)))
    labelled = seeds.with_columns(pl.lit(["other"], dtype).alias(name) for name, dtype in LABELS.items())
    item = pl.DataFrame(
        {"item_id": ["b#1"], "benchmark": ["b"], "prompt": ["How tall is the oak behind the old mill?"]}
    )
    commit(lake, "seed_selected", labelled)
    nothing = {"answer": pl.lit(None, pl.String), "further": pl.lit([], pl.List(pl.String))}
    commit(lake, "benchmarks", item.with_columns(**nothing))
    commit(lake, "allowed", pl.DataFrame(schema={"text": pl.String}))
    return Rounds(lake, *opened())


def tried(made: dict[str, Outcome]) -> list[str]:
    """Return the seeds that a round tried."""
    decisions = pl.concat([decisions_of(outcome) for outcome in made.values()])
    fates = ["superseded", "returned_to_pool", "loop_stopped"]
    return decisions.filter(pl.col("reason").is_in(fates))["row_id"].to_list()


def is_complete(made: dict[str, Outcome]) -> bool:
    """Return whether every input or created row is in the output or dropped, in every shard."""
    return all(
        (outcome.rows_in or 0) + (outcome.rows_created or 0)
        == rows_of(outcome).height + outcome.decisions.lazy().filter(pl.col("verdict") == "dropped").collect().height
        for outcome in made.values()
    )


def test_a_later_round_tries_seeds_without_a_child_and_weak_rows(rounds: Rounds, first: dict[str, Outcome]) -> None:
    rounds.diagnose(1)
    assert is_complete(first)
    seeds = set(rounds.rows("seed_selected", 1)["row_id"])
    assert sorted(tried(first)) == sorted(seeds)
    children = rounds.rows("evolved", 1)
    assert 3 < children.height < 30
    assert not any(turns[0]["content"].startswith("“") for turns in children["messages"])
    second = rounds.evolve(2)
    rounds.diagnose(2)
    assert is_complete(second)
    parents = rounds.parents(1)
    assert parents < set(children["parents"].explode())
    weak = set(rounds.rows("diagnosed", 1).filter("weak")["row_id"])
    assert sorted(tried(second)) == sorted((seeds - parents) | weak)
    assert weak
    third = rounds.evolve(3)
    assert is_complete(third)
    gone = parents | rounds.parents(2)
    also = set(rounds.rows("diagnosed", 2).filter("weak")["row_id"])
    assert sorted(tried(third)) == sorted((seeds | weak | also) - gone)
    assert all(set(rows_of(outcome)["round"]) <= {3} for outcome in third.values())


def test_without_retry_a_later_round_tries_only_weak_rows(rounds: Rounds) -> None:
    rounds.diagnose(1)
    second = rounds.evolve(2, retry=False)
    weak = set(rounds.rows("diagnosed", 1).filter("weak")["row_id"])
    assert set(tried(second)) == weak
    rounds.diagnose(2)
    assert set(tried(rounds.evolve(3, retry=False))).isdisjoint(weak)


@pytest.mark.parametrize("stop", [True, False])
def test_after_the_loop_has_stopped_no_seed_is_tried(rounds: Rounds, stop: bool) -> None:
    rounds.diagnose(1)
    asked = len(rounds.engine.asked)
    table = pl.DataFrame({"ability": ["all", "law", "other"], "stop": [stop, False, None]})
    commit(rounds.lake, "abilities", table)
    second = rounds.evolve(2)
    assert is_complete(second)
    reasons = pl.concat([decisions_of(outcome) for outcome in second.values()])["reason"]
    assert ("loop_stopped" in reasons) == stop
    assert (len(rounds.engine.asked) == asked) == stop
    assert sum(outcome.rows_in or 0 for outcome in second.values()) == len(tried(second)) > 0
    assert all(outcome.decisions.lazy().collect_schema() == schema.DECISIONS for outcome in second.values())


@pytest.mark.parametrize(
    ("deficiency", "share", "expected"), [("It is short.", 1.0, True), ("It is short.", 0.0, False), (None, 1.0, False)]
)
def test_a_deficiency_leads_to_a_request_for_it(
    rounds: Rounds, deficiency: str | None, share: float, expected: bool
) -> None:
    rounds.diagnose(1, deficiency)
    second = rounds.evolve(2, deficiency_share=share)
    weak = set(rounds.rows("diagnosed", 1).filter("weak")["row_id"])
    asked = {r.row_id for r in rounds.engine.asked if r.prompt == "request_from_deficiency.en"}
    assert asked == (weak if expected else set())
    assert is_complete(second)


def test_the_limit_of_accepted_rewrites_holds_over_all_shards(seeded: Rounds) -> None:
    made = seeded.evolve(1, accept=4)
    assert is_complete(made)
    assert seeded.rows("evolved", 1).height == 4


def test_the_page_counts_results_by_strategy_and_operation(first: dict[str, Outcome]) -> None:
    for outcome in first.values():
        assert "| evol_instruct | evolve_deepen |" in outcome.charts["operations"]
    attempts = pl.DataFrame(
        [("a", "s", "o", True), ("b", "s", "o", True), ("c", "s", "o", False), ("d", "s", "p", True)],
        schema=["row_id", "strategy", "operation", "written"], orient="row",
    )  # fmt: skip
    fates = [("a", "superseded", '{"why": null}')] + [(row, "returned_to_pool", '{"why": "no_gain"}') for row in "bc"]
    decisions = pl.DataFrame(
        [*fates, ("d", "returned_to_pool", '{"why": "leaked"}')], schema=["row_id", "reason", "detail"], orient="row"
    )
    assert operations(attempts, decisions).rows() == [("s", "o", 3, 2, 1, "no_gain 2"), ("s", "p", 1, 1, 0, "leaked 1")]
    assert operations(attempts.head(0), decisions.head(0)).is_empty()


def test_a_rewrite_of_an_earlier_round_is_not_kept_again(rounds: Rounds) -> None:
    """A seed whose answer failed gets the same rewrite again, which must not count as new."""
    rounds.diagnose(1)
    second = rounds.evolve(2)
    before, again = set(rounds.rows("evolved", 1)["row_id"]), set(rounds.rows("evolved", 2)["row_id"])
    assert not before & again
    decisions = pl.concat([decisions_of(outcome) for outcome in second.values()])
    assert set(decisions.filter(reason="copy_of_another")["row_id"]) & before
