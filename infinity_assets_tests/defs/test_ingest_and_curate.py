"""The Dagster layer without a model: added, changed and removed sources, and shards in any order."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infinity_assets.atomic import write_text
from infinity_assets.catalog.lake import Outcome, StepKey
from infinity_assets.catalog.views import connect
from infinity_assets.definitions import build_defs
from infinity_assets.defs.automation import daily, register_sources, sources_state, state_file, watch_sources
from infinity_assets.defs.ingest import raw_pool as raw_pool_module
from infinity_assets.defs.partitions import SOURCES
from infinity_assets.defs.resources import LakeResource
from infinity_assets.errors import InfinityError
from infinity_assets.reading.pool import Pool
from infinity_assets_tests.defs.graph import Graph, stages

QUESTIONS = {
    "one": ["What is a fjord?", "Why is snow white?", "How do bees see?"],
    "two": ["Why is snow white?", "What is basalt?"],
}


def answered(questions: list[str]) -> list[dict[str, str]]:
    return [{"question": question, "answer": f"A short answer to: {question}"} for question in questions]


def with_sources(graph: Graph) -> Graph:
    for name, questions in QUESTIONS.items():
        graph.source(name, answered(questions))
    graph.benchmark("exam", answered(["How do bees see?"]))
    return graph


graph, made = stages(with_sources, "decontaminated")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def questions(graph: Graph, asset: str) -> list[str]:
    return sorted(turns[0]["content"] for turns in graph.rows(asset)["messages"])


def test_on_dagster_the_partitions_are_the_sources_and_nothing_is_computed_twice(made: Graph) -> None:
    """A run on Dagster reuses the assets of `make`, and computes what a new or removed source requires."""

    def partitions() -> set[str]:
        return set(made.instance.get_dynamic_partitions(SOURCES.name or ""))

    assert questions(made, "deduped") == sorted({*QUESTIONS["one"], *QUESTIONS["two"]})
    assert questions(made, "decontaminated") == ["What is a fjord?", "What is basalt?", "Why is snow white?"]
    assert made.run("decontaminated") == ([], [])
    assert partitions() == {"one", "two"}
    folder = made.source("three", answered(["What is tuff?"]))
    computed, faults = made.run("decontaminated")
    assert faults == []
    assert {"raw_pool[three]", "fingerprints[three]", "duplicates[all]"} <= set(computed)
    assert not {"raw_pool[one]", "raw_pool[two]", "benchmarks[all]"} & set(computed)
    assert partitions() == {"one", "two", "three"}
    assert "What is tuff?" in questions(made, "decontaminated")
    (folder / "rows.jsonl").unlink()
    folder.rmdir()
    assert made.run("raw_pool", force=True) == (["raw_pool[one]", "raw_pool[two]"], [])
    assert partitions() == {"one", "two"}
    assert "What is tuff?" not in questions(made, "raw_pool")


def test_rows_of_an_asset_that_left_the_graph_are_removed(made: Graph) -> None:
    """With fewer rounds than before, rows of `evolved_2` must not stay in the funnel and in explanations."""
    key = StepKey(asset="evolved_2", partition="shard-00", code_version="1", settings_hash="", inputs={})
    made.lake.commit(key, Outcome(made.rows("deduped")), run_id="past", started=0.0)
    made.run("raw_pool")
    assert made.lake.partitions("evolved_2") == []
    assert "evolved_2" not in made.lake.assets()


def test_a_changed_file_with_equal_rows_recomputes_only_the_pool(made: Graph) -> None:
    """Downstream assets depend on the content of the rows, not on when they were written."""
    file = made.data / "sources" / "one" / "rows.jsonl"
    file.write_text(file.read_text() + "\n")
    assert made.make("decontaminated") == ["raw_pool[one]"]


def test_a_touched_file_recomputes_nothing(made: Graph) -> None:
    os.utime(made.data / "sources" / "one" / "rows.jsonl", ns=(1, 1))
    assert made.make("decontaminated") == []


def test_new_labels_in_source_yaml_do_not_read_the_files_again(made: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    def raw_pool() -> pl.DataFrame:
        return made.rows("raw_pool", "one")

    before, yaml = raw_pool(), made.data / "sources" / "one" / "source.yaml"
    with monkeypatch.context() as patched:
        patched.setattr(raw_pool_module, "read_source", None)  # a call would fail
        yaml.write_text("licence: MIT\ndomain: math\nlanguage: nl\n")
        computed = made.make("decontaminated")
        assert ("raw_pool[one]" in computed, "raw_pool[two]" in computed) == (True, False)
        assert set(raw_pool().select("licence", "domain", "language").rows()) == {("MIT", "math", "nl")}
        assert set(made.lake.ledger_table("origins", "raw_pool", "one").collect()["licence"]) == {"MIT"}
        assert set(questions(made, "decontaminated")) == {"What is a fjord?", "Why is snow white?", "What is basalt?"}
        yaml.write_text("description: no labels\n")
        made.make("raw_pool")
        assert_frame_equal(raw_pool(), before)
    yaml.write_text("layout: openai\n")
    made.make("raw_pool")
    assert raw_pool().is_empty()


def test_annotations_and_errors_of_records_are_in_the_ledger(graph: Graph) -> None:
    pair = {"prompt": "Which is older?", "chosen": "The lower layer.", "rejected": "The upper one."}
    (graph.data / "sources" / "one" / "pairs.jsonl").write_text(
        json.dumps(pair) + '\n{"title": "no layout has this"}\n'
    )
    graph.make("raw_pool")
    with connect(graph.data) as views:
        assert views.sql("select name, value from annotations").fetchall() == [("rejected", '"The upper one."')]
        assert views.sql("select file, position, raw from quarantine").fetchall() == [
            ("pairs.jsonl", 1, b'{"title": "no layout has this"}')
        ]
        counts = views.sql(
            "select file, records, rows, repaired, dropped from files where source = 'one' order by file"
        ).fetchall()
        assert counts == [("pairs.jsonl", 2, 1, 0, 1), ("rows.jsonl", 3, 3, 0, 0)]


def test_shards_may_run_in_any_order(made: Graph, instance: dg.DagsterInstance) -> None:
    lake = made.lake
    before = {file: file.read_bytes() for file in sorted((lake.rows / "decontaminated").iterdir())}
    job = build_defs(resources={"lake": LakeResource(force=True)}).resolve_implicit_global_asset_job_def()
    selection = [dg.AssetKey("deduped"), dg.AssetKey("decontaminated")]
    for shard in ("shard-03", "shard-01", "shard-00", "shard-02"):
        assert job.execute_in_process(asset_selection=selection, partition_key=shard, instance=instance).success
    assert {file: file.read_bytes() for file in sorted((lake.rows / "decontaminated").iterdir())} == before


def test_a_failure_is_reported_in_one_sentence(graph: Graph) -> None:
    (graph.data / "sources" / "one" / "source.yaml").write_text("domain: cooking\n")
    _, faults = graph.run("decontaminated")
    assert [fault.asset for fault in faults] == ["raw_pool"]
    assert "source.yaml" in faults[0].sentence
    assert "domain" in faults[0].sentence
    assert "\n" not in faults[0].sentence


def test_globs_without_a_match_are_a_failure(graph: Graph) -> None:
    """Otherwise an empty source would silently replace a full one."""
    (graph.data / "sources" / "one" / "source.yaml").write_text("include: ['*.parquet']\n")
    with pytest.raises(
        InfinityError, match=re.escape("`include` in its source.yaml names no file of data (*.parquet)")
    ):
        graph.make("raw_pool")


def test_the_page_lists_files_that_are_not_read(graph: Graph) -> None:
    (graph.data / "sources" / "one" / "model.bin").write_bytes(b"x")
    graph.make("raw_pool")
    manifest = graph.manifest("raw_pool", "one")
    assert manifest.measures["files not read"] == 1
    assert "model.bin" in manifest.charts["not read"]


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[object, str | None]:
    """Evaluate the sensor, and return its request and its new cursor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"lake": LakeResource()}) as context:
        return watch_sources(context), context.cursor


def test_the_sensor_notices_new_changed_and_removed_sources(graph: Graph, instance: dg.DagsterInstance) -> None:
    def sources() -> set[str]:
        return set(instance.get_dynamic_partitions(SOURCES.name or ""))

    request, cursor = tick(instance)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "ingest_sources"
    assert sources() == {"one", "two"}
    assert isinstance(tick(instance, cursor)[0], dg.SkipReason)

    folder = graph.source("three", answered(["What is tuff?"]))
    request, cursor = tick(instance, cursor)
    assert isinstance(request, dg.RunRequest)
    assert sources() == {"one", "two", "three"}

    (folder / "rows.jsonl").unlink()
    request, _ = tick(instance, cursor)
    assert isinstance(request, dg.RunRequest)
    assert sources() == {"one", "two"}


def test_the_sensor_starts_no_run_for_sources_of_the_last_run(graph: Graph, instance: dg.DagsterInstance) -> None:
    """Opening the UI after `infinity run` must not make the whole graph again under the settings of the UI."""
    before = sources_state(Pool.load(graph.data))
    write_text(before, state_file(graph.lake))
    assert isinstance(tick(instance)[0], dg.SkipReason)
    assert isinstance(tick(instance, "another state")[0], dg.SkipReason)
    graph.source("three", answered(["What is tuff?"]))
    assert isinstance(tick(instance)[0], dg.RunRequest)
    shutil.rmtree(graph.data / "sources" / "three")
    assert sources_state(Pool.load(graph.data)) == before
    assert isinstance(tick(instance, "with three")[0], dg.RunRequest), "since then the graph was made of other sources"


def test_the_schedule_ingests_all_sources(graph: Graph) -> None:
    with (
        dg.instance_for_test() as instance,  # a schedule's context takes none that is in memory alone
        dg.build_schedule_context(instance=instance, resources={"lake": LakeResource()}) as context,
    ):
        request = daily(context)
    assert isinstance(request, dg.RunRequest)
    assert set(request.tags.values()) == {"one", "two"}


def test_without_sources_the_sensor_starts_no_run(graph: Graph, instance: dg.DagsterInstance) -> None:
    Pool(sources=graph.data / "nowhere", benchmarks=graph.data / "nowhere").save(graph.data)
    assert isinstance(tick(instance)[0], dg.SkipReason)
    assert register_sources(instance, Pool.load(graph.data), graph.lake) == ([], [])


def test_a_source_with_unknown_layouts_is_named_but_does_not_stop_the_run(graph: Graph) -> None:
    graph.source("own", [{"ask": f"number {n}", "meta": {"note": f"reply to {n}"}} for n in range(30)])
    _, faults = graph.run("raw_pool")
    assert faults == []
    assert "layout: alpaca" in graph.manifest("raw_pool", "own").charts["not understood"]
    kind = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    events: list[Any] = [record.event_log_entry.dagster_event for record in graph.instance.get_event_records(kind)]
    found: dict[str, Any] = {event.event_specific_data.check_name: event.event_specific_data for event in events}
    assert not found["understood"].passed
    assert found["understood"].severity == dg.AssetCheckSeverity.WARN
    assert found["understood"].description == (
        "own: 30 of 30 records dropped (100%, unknown_layout); look at it with `infinity sources preview own`"
    )
    assert found["accounted"].passed


def test_a_source_that_is_added_in_the_middle_of_the_alphabet_is_ingested(graph: Graph) -> None:
    """Dagster keeps sources in the order in which they were registered, and a range of them follows that order."""
    lake = LakeResource(data=str(graph.data))
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(instance=instance, resources={"lake": lake}) as now,
    ):
        daily(now)  # registers the sources
        graph.source("added", answered(["What is lava?"]))
        graph.source("ore", answered(["What is ore?"]))
        request = daily(now)
        assert isinstance(request, dg.RunRequest)
        job = build_defs(resources={"lake": lake}).resolve_job_def("ingest_sources")
        assert job.execute_in_process(instance=instance, tags=request.tags).success
    assert graph.lake.partitions("raw_pool") == ["added", "one", "ore", "two"]
