"""Decontamination in the graph: from hits to removed rows, the report by source, and the user's settings."""

import json

import dagster as dg
import polars as pl
import pytest

from infinity_assets.catalog.views import connect
from infinity_assets.defs.checks import unflagged, warning
from infinity_assets.defs.resources import LakeResource
from infinity_assets.invariants import clean
from infinity_assets_tests.defs.graph import Graph, stages

ITEM = "A ferry carries twelve cars and nine bicycles over the lake on each of its trips; how many wheels cross in seven trips?"
DEFINITION = (
    "An isotherm is a line on a map that joins places whose air has the same temperature at the same time of day."
)


def asked(question: str, answer: str = "I would have to look that up.") -> dict:
    return {"question": question, "answer": answer}


def with_sources(graph: Graph) -> Graph:
    graph.source(
        "dirty",
        [
            asked(f"Please solve: {ITEM}"),
            asked("Give me a riddle about boats.", f"Here is one: {ITEM}"),
            asked(f"{DEFINITION} Draw one."),
            asked("Why does bread rise?"),
        ],
    )
    graph.source("copy", [asked(f"Please solve: {ITEM}"), asked("What do moles eat?")])
    graph.source("tidy", [asked("Who invented the zip?"), asked("How deep is a fjord?")])
    questions = (ITEM, f"Name three uses of this line. {DEFINITION}", "Why?", "Sing!")
    graph.benchmark("exam", [{"question": question} for question in questions])
    return graph


graph, made = stages(with_sources, "decontaminated")


def dropped(graph: Graph) -> pl.DataFrame:
    with connect(graph.data) as views:
        return views.sql(
            "select source, position, reason, detail from decisions where asset = 'decontaminated' order by source, position"
        ).pl()


def of_flagged_sources(graph: Graph) -> list[tuple]:
    """Return source and position of the rows that were removed only because their source is contaminated."""
    return dropped(graph).filter(reason="contaminated_source").select("source", "position").rows()


def test_every_removed_row_has_evidence_and_is_counted_in_the_report(made: Graph) -> None:
    lines = dropped(made)
    # `copy` stands before `dirty`: it keeps the record that both hold.
    assert lines.select("source", "position", "reason").rows() == [
        ("copy", 0, "contaminated_ngram"),
        ("dirty", 1, "contaminated_overlap"),
        ("dirty", 2, "contaminated_ngram"),
    ]
    evidence = json.loads(lines["detail"][0])
    assert evidence["item_id"] == "exam#0"
    assert evidence["span"] == ITEM.rstrip("?")
    assert (evidence["part"], evidence["side"], evidence["share"]) == ("question", "user", 1.0)
    with connect(made.data) as views:
        hits = views.sql("select distinct source, verdict from matches order by all").fetchall()
        report = views.sql(
            "select source, rows, items, benchmark_items, flagged from contamination order by source"
        ).fetchall()
    assert hits == [("copy", "removes"), ("dirty", "removes"), ("dirty", "reported")]
    assert report == [("copy", 1, 1, 4, True), ("dirty", 3, 2, 4, True)]
    assert made.manifest("contamination").measures == {"sources flagged": "copy, dirty"}
    check = warning(dg.AssetKey("contamination"), unflagged)(LakeResource())
    assert isinstance(check, dg.AssetCheckResult)
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "dirty holds 50.0% of exam" in (check.description or "")


def test_an_allowed_text_beside_the_benchmarks_excuses_a_hit(made: Graph) -> None:
    (made.data / "benchmarks" / "allowed.yaml").write_text(f"isotherm: {DEFINITION}\n")
    made.make("decontaminated")
    assert dropped(made).select("source", "position").rows() == [("copy", 0), ("dirty", 1)]
    with connect(made.data) as views:
        assert views.sql("select rows_excused from contamination where source = 'dirty'").fetchall() == [(1,)]
    assert clean(made.lake, "decontaminated").is_empty()
    assert clean(made.lake, "deduped")["row_id"].n_unique() == 2


def test_a_copy_of_a_near_duplicate_does_not_count_as_a_copy_of_the_survivor(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = "She starts so early because the dough has to rise twice, and because the people of the town want their bread warm at breakfast."
    beside = "A baker lights the oven before the town wakes up, and by six o'clock the first loaves stand on the shelf. Why so early?"
    for name in ("near", "twin"):
        graph.source(name, [asked(f"{ITEM} {beside} {beside.upper()[:40]}", answer)])
    graph.source("kept", [asked(f"{ITEM} {beside}", answer)])
    monkeypatch.setenv("INFINITY_DEDUP__SOURCE_PRIORITY", '["kept"]')
    graph.make("decontaminated")
    with connect(graph.data) as views:
        lost = views.sql(
            "select source, method from duplicates where survivor_source = 'kept' order by source"
        ).fetchall()
        report = views.sql("select source from contamination where rows > 0 order by source").fetchall()
    assert lost == [("near", "near"), ("twin", "exact")]
    assert report == [("copy",), ("dirty",), ("kept",)]


def test_a_flagged_source_can_be_removed_as_a_whole(made: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in (made.data / "lake" / "matches").iterdir()}
    monkeypatch.setenv("INFINITY_DECONTAMINATION__REMOVE_FLAGGED", "true")
    made.make("decontaminated")
    assert of_flagged_sources(made) == [("copy", 1), ("dirty", 3)]
    monkeypatch.setenv("INFINITY_DECONTAMINATION__FLAG_ABOVE", "0.3")
    made.make("decontaminated")
    assert of_flagged_sources(made) == [("dirty", 3)]
    left = made.lake.scan("decontaminated").collect()
    assert sorted(left["source"]) == ["copy", "tidy", "tidy"]
    # What a row is held against has not changed: no text was read again.
    assert {file.name: file.stat().st_mtime_ns for file in (made.data / "lake" / "matches").iterdir()} == before


def test_without_benchmarks_no_row_is_removed(graph: Graph) -> None:
    for file in (graph.data / "benchmarks" / "exam").iterdir():
        file.write_text("")
    graph.make("decontaminated")
    assert dropped(graph).is_empty()
    lake = graph.lake
    assert lake.scan("contamination").collect().is_empty()
    for asset, partition in (("contamination", "all"), ("matches", "shard-00"), ("decontaminated", "shard-00")):
        manifest = lake.manifest(asset, partition)
        assert manifest
        assert not any(manifest.charts.values())
    assert lake.scan("matches").collect().is_empty()
    assert lake.scan("decontaminated").collect().height == lake.scan("deduped").collect().height
