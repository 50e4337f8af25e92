"""De-duplication in the graph: recomputation after a new source, threshold or score, and the ledger tables."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.cluster import describe_cluster
from infinity_assets.catalog.explain import explain
from infinity_assets.defs.checks import check_lake
from infinity_assets.errors import InfinityError
from infinity_assets_tests.defs.graph import Graph, stages

STORY = "Every morning the baker lights the oven before the town wakes up, and by six o'clock the first loaves stand on the shelf to cool."
ANSWER = "She starts so early because the dough has to rise twice, and because the people of the town want their bread warm at breakfast."
ROWS = {
    "one": [
        (f"{STORY} Why does she start early?", ANSWER),
        ("What is a fjord?", "A long arm of the sea between steep cliffs."),
    ],
    "two": [
        (f"{STORY} Why does she start so early?", f"{ANSWER} Every day."),
        ("What is a fjord?", "A valley that the sea has filled."),
    ],
    "three": [
        (
            f"{STORY} When do the loaves stand on the shelf?",
            "By six o'clock in the morning, so that they are cool when the shop opens.",
        )
    ],
}


def records(name: str, **beside: object) -> list[dict]:
    return [{"question": question, "answer": answer, **beside} for question, answer in ROWS[name]]


def with_sources(graph: Graph) -> Graph:
    for name in ("one", "two"):
        graph.source(name, records(name))
    return graph


graph, made = stages(with_sources, "deduped")


def near(graph: Graph) -> pl.DataFrame:
    return graph.rows("duplicates").filter(pl.col("method") == "near")


def decisions(graph: Graph) -> pl.DataFrame:
    return pl.concat(
        [graph.lake.ledger_table("decisions", "deduped", shard) for shard in graph.lake.partitions("deduped")]
    ).collect()


def test_explain_shows_a_near_duplicate_from_both_rows(made: Graph) -> None:
    data, lake = made.data, made.lake
    loser = near(made).to_dicts()
    assert len(loser) == 1
    assert 0.7 <= loser[0]["similarity"] < 1
    dropped = decisions(made).filter(pl.col("reason") == "near_duplicate").to_dicts()
    assert [(row["row_id"], row["source"], row["position"]) for row in dropped] == [
        (loser[0]["row_id"], loser[0]["source"], loser[0]["position"])
    ]
    assert json.loads(dropped[0]["detail"])["duplicate_of"] == loser[0]["duplicate_of"]
    assert not [broken for *_, broken in check_lake(lake) if broken.height]
    for end in ("row_id", "duplicate_of"):
        story = describe_cluster(data, loser[0][end], 5)
        assert story.startswith(f"row {loser[0]['duplicate_of']}, kept")
        assert f"near {loser[0]['similarity']:.3f} {loser[0]['row_id']}" in story
    assert "kept      in place of 1 near" in explain(data, loser[0]["duplicate_of"])
    fjord = (
        lake.scan("deduped")
        .filter(pl.col("messages").list.first().struct.field("content") == "What is a fjord?")
        .collect()
    )
    assert fjord.height == 2
    assert "nothing lost to it" in describe_cluster(data, fjord["row_id"][0], 5)


def test_a_copy_of_a_dropped_row_is_explained_as_its_copy(made: Graph) -> None:
    loser = "two" if near(made)["source"].item() == "two" else "one"
    made.source("three", records(loser)[:1])
    made.make("deduped")
    story = describe_cluster(made.data, near(made)["row_id"].item(), 5)
    assert ", another record of it, which lost)" in story


def test_the_page_shows_near_duplicates_from_their_first_difference(made: Graph) -> None:
    shown = made.manifest("duplicates").charts["closest to the threshold"]
    assert "start so early? She starts" in shown
    assert "start early? She starts" in shown
    assert "Every morning" not in shown


def test_an_unknown_source_priority_or_score_is_reported(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    graph.source("one", records("one", reward=2.5))
    for settings, measures in (
        (('["tow", "one"]', "reward"), ("tow", 2)),
        (('["two"]', "rewrad"), (None, 0)),
    ):
        monkeypatch.setenv("INFINITY_DEDUP__SOURCE_PRIORITY", settings[0])
        monkeypatch.setenv("INFINITY_DEDUP__SCORE", settings[1])
        graph.make("duplicates")
        reported = graph.manifest("duplicates").measures
        assert (
            reported["in source_priority, but no source"],
            reported[f"records with the score {settings[1]}"],
        ) == measures


def test_a_cluster_cannot_be_shown_before_deduplication(graph: Graph) -> None:
    graph.make("fingerprints")
    with pytest.raises(InfinityError, match="`duplicates` has not been materialized"):
        describe_cluster(graph.data, graph.rows("raw_pool")["row_id"][0], 5)


def test_only_an_added_source_is_compared_and_nothing_else_changes(
    made: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.source("three", records("three"))
    computed = made.make("deduped")
    assert "fingerprints[three]" in computed
    assert "fingerprints[one]" not in computed
    assert made.manifest("duplicates").measures["sources compared"] == "three"
    (tmp_path / "fresh").mkdir()
    fresh = with_sources(Graph(tmp_path / "fresh", monkeypatch))
    fresh.source("three", records("three"))
    fresh.make("deduped")
    for asset in ("duplicates", "deduped"):
        for partition in made.lake.partitions(asset):
            assert (
                made.lake.rows_file(asset, partition).read_bytes()
                == fresh.lake.rows_file(asset, partition).read_bytes()
            )


def test_removing_a_source_restores_the_rows_that_it_displaced(made: Graph) -> None:
    winner = near(made)["survivor_source"].item()
    shutil.rmtree(made.data / "sources" / winner)
    made.make("deduped")
    assert near(made).is_empty()
    assert made.rows("deduped").height == 2


def test_a_new_threshold_computes_no_signature(made: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DEDUP__NEAR__THRESHOLD", "0.95")
    computed = made.make("deduped")
    assert not [step for step in computed if step.startswith("fingerprints")]
    assert near(made).is_empty()
    monkeypatch.setenv("INFINITY_DEDUP__NEAR__SHINGLE", "3")
    assert "fingerprints[one]" in made.make("deduped")


def test_the_row_with_the_better_score_survives(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DEDUP__SCORE", "reward")
    for better, worse in (("one", "two"), ("two", "one")):
        graph.source(better, records(better, reward=2.5))
        graph.source(worse, records(worse, reward=-1))
        graph.make("deduped")
        assert near(graph).select("source", "survivor_source").rows() == [(worse, better)]


def test_the_number_of_answers_per_instruction_can_be_limited(made: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DEDUP__ANSWERS_PER_INSTRUCTION", "1")
    made.make("deduped")
    assert set(decisions(made)["reason"]) == {"near_duplicate", "answer_too_many"}
