"""The Dagster layer without a model: sources come, change and go; shards may run in any order."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infinity_assets.catalog.lake import Lake, Outcome, StepKey
from infinity_assets.catalog.pool import Pool
from infinity_assets.catalog.views import connect
from infinity_assets.definitions import defs
from infinity_assets.defs.automation import daily, watch_sources
from infinity_assets.defs.ingest import assets
from infinity_assets.defs.partitions import SOURCES, register_sources
from infinity_assets.defs.resources import LakeResource
from infinity_assets.defs.runner import Fault, Runner
from infinity_assets.progress import LogReporter

QUESTIONS = {"one": ["What is a fjord?", "Why is snow white?", "How do bees see?"], "two": ["Why is snow white?", "What is basalt?"]}


def write_source(folder: Path, questions: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"question": question, "answer": f"A short answer to: {question}"} for question in questions]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    for name, questions in QUESTIONS.items():
        write_source(folder / "sources" / name, questions)
    write_source(folder / "benchmarks" / "exam", ["How do bees see?"])
    monkeypatch.setenv("INFINITY_DATA", str(folder))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


class Steps(LogReporter):
    """Notes which steps computed something."""

    def __init__(self) -> None:
        super().__init__()
        self.computed: list[str] = []

    def end(self, rows: int, reused: bool) -> None:
        if not reused:
            self.computed.append(self._name)


def run(data: Path, until: str = "decontaminated", force: bool = False) -> tuple[list[str], list[Fault]]:
    steps = Steps()
    faults = Runner(data, Pool.load(data), steps).run(until=until, force=force)
    return steps.computed, faults


def questions(data: Path, asset: str) -> list[str]:
    return sorted(turns[0]["content"] for turns in Lake(data).scan(asset).collect()["messages"])


def test_a_new_a_changed_and_a_removed_source(data: Path) -> None:
    computed, faults = run(data)
    assert faults == []
    assert {"raw_pool[one]", "raw_pool[two]", "duplicates[all]"} <= set(computed)
    assert questions(data, "deduped") == ["How do bees see?", "What is a fjord?", "What is basalt?", "Why is snow white?"]
    assert questions(data, "decontaminated") == ["What is a fjord?", "What is basalt?", "Why is snow white?"]

    assert run(data) == ([], [])

    write_source(data / "sources" / "three", ["What is tuff?"])
    computed, _ = run(data)
    assert {"raw_pool[three]", "fingerprints[three]"} <= set(computed)
    assert not {"raw_pool[one]", "raw_pool[two]", "benchmarks[all]"} & set(computed)
    assert "What is tuff?" in questions(data, "decontaminated")

    for file in (data / "sources" / "three").iterdir():
        file.unlink()
    (data / "sources" / "three").rmdir()
    run(data)
    assert "What is tuff?" not in questions(data, "raw_pool")
    assert "What is tuff?" not in questions(data, "decontaminated")


def test_an_asset_that_left_the_graph_is_not_counted(data: Path) -> None:
    """After the number of rounds was lowered, rows of `evolved_2` stayed in the funnel and in the stories of rows."""
    run(data)
    lake = Lake(data)
    key = StepKey(asset="evolved_2", partition="shard-00", code_version="1", settings_hash="", inputs={})
    lake.commit(key, Outcome(lake.scan("deduped").collect()), run_id="past", started=0.0)
    run(data)
    assert lake.partitions("evolved_2") == []
    assert "evolved_2" not in lake.assets()


def test_a_touched_file_is_read_again_but_nothing_behind_it_is_made(data: Path) -> None:
    """What counts downstream is the content of the rows, not that they were written again."""
    run(data)
    file = data / "sources" / "one" / "rows.jsonl"
    file.write_text(file.read_text() + "\n")
    assert run(data)[0] == ["raw_pool[one]"]


def test_a_file_that_was_only_touched_makes_nothing_again(data: Path) -> None:
    run(data)
    os.utime(data / "sources" / "one" / "rows.jsonl", ns=(1, 1))
    assert run(data) == ([], [])


def test_new_words_on_a_source_do_not_read_its_files_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raw_pool() -> pl.DataFrame:
        return Lake(data).scan("raw_pool", "one").collect()

    run(data)
    before, yaml = raw_pool(), data / "sources" / "one" / "source.yaml"
    with monkeypatch.context() as patched:
        patched.setattr(assets, "read_source", None)  # whoever calls it fails
        yaml.write_text("licence: MIT\ndomain: math\nlanguage: nl\n")
        computed, faults = run(data)
        assert ("raw_pool[one]" in computed, "raw_pool[two]" in computed, faults) == (True, False, [])
        assert set(raw_pool().select("licence", "domain", "language").rows()) == {("MIT", "math", "nl")}
        assert set(Lake(data).book("origins", "raw_pool", "one").collect()["licence"]) == {"MIT"}
        assert set(questions(data, "decontaminated")) == {"What is a fjord?", "Why is snow white?", "What is basalt?"}
        yaml.write_text("description: what was said is said no longer\n")
        run(data)
        assert_frame_equal(raw_pool(), before)
    yaml.write_text("layout: openai\n")
    run(data)
    assert raw_pool().is_empty()


def test_what_is_beside_a_conversation_and_what_was_wrong_with_it_is_on_record(data: Path) -> None:
    pair = {"prompt": "Which is older?", "chosen": "The lower layer.", "rejected": "The upper one."}
    (data / "sources" / "one" / "pairs.jsonl").write_text(json.dumps(pair) + '\n{"title": "no layout has this"}\n')
    run(data)
    with connect(data) as views:
        assert views.sql("select name, value from annotations").fetchall() == [("rejected", '"The upper one."')]
        assert views.sql("select file, position, raw from quarantine").fetchall() == [
            ("pairs.jsonl", 1, b'{"title": "no layout has this"}')
        ]
        counts = views.sql("select file, records, rows, repaired, dropped from files where source = 'one' order by file").fetchall()
        assert counts == [("pairs.jsonl", 2, 1, 0, 1), ("rows.jsonl", 3, 3, 0, 0)]


def test_shards_may_run_in_any_order(data: Path, instance: dg.DagsterInstance) -> None:
    run(data)
    lake = Lake(data)
    before = {file: file.read_bytes() for file in sorted((lake.rows / "decontaminated").iterdir())}
    everything = [asset for asset in defs().resolve_asset_graph().assets_defs if isinstance(asset, dg.AssetsDefinition)]
    for shard in ("shard-03", "shard-01", "shard-00", "shard-02"):
        result = dg.materialize(
            everything,
            selection=["deduped", "decontaminated"],
            partition_key=shard,
            instance=instance,
            tags={"infinity/force": "true"},
        )
        assert result.success
    assert {file: file.read_bytes() for file in sorted((lake.rows / "decontaminated").iterdir())} == before


def test_a_failure_is_one_sentence(data: Path) -> None:
    (data / "sources" / "one" / "source.yaml").write_text("domain: cooking\n")
    _, faults = run(data)
    assert [fault.asset for fault in faults] == ["raw_pool"]
    assert "source.yaml" in faults[0].sentence
    assert "domain" in faults[0].sentence
    assert "\n" not in faults[0].sentence


def test_globs_that_name_nothing_are_a_failure(data: Path) -> None:
    """An empty source in the place of a full one would go by unseen."""
    (data / "sources" / "one" / "source.yaml").write_text("include: ['*.parquet']\n")
    _, faults = run(data, until="raw_pool")
    assert "`include` in its source.yaml names no file of data (*.parquet)" in faults[0].sentence


def test_files_that_are_not_read_are_on_the_page(data: Path) -> None:
    (data / "sources" / "one" / "model.bin").write_bytes(b"x")
    run(data, until="raw_pool")
    manifest = Lake(data).manifest("raw_pool", "one")
    assert manifest
    assert manifest.measures["files not read"] == 1
    assert "model.bin" in manifest.charts["not read"]


def test_the_sensor_sees_new_changed_and_removed_sources(data: Path, instance: dg.DagsterInstance) -> None:
    def tick(cursor: str | None) -> tuple[object, str | None]:
        with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"lake": LakeResource()}) as context:
            return watch_sources(context), context.cursor

    def sources() -> set[str]:
        return set(instance.get_dynamic_partitions(SOURCES.name or ""))

    request, cursor = tick(None)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "ingest_sources"
    assert sources() == {"one", "two"}
    assert isinstance(tick(cursor)[0], dg.SkipReason)

    write_source(data / "sources" / "three", ["What is tuff?"])
    request, cursor = tick(cursor)
    assert isinstance(request, dg.RunRequest)
    assert sources() == {"one", "two", "three"}

    (data / "sources" / "three" / "rows.jsonl").unlink()
    request, _ = tick(cursor)
    assert isinstance(request, dg.RunRequest)
    assert sources() == {"one", "two"}


def test_the_schedule_reads_everything(data: Path, instance: dg.DagsterInstance) -> None:
    with dg.build_schedule_context(instance=instance, resources={"lake": LakeResource()}) as context:
        request = daily(context)
    assert isinstance(request, dg.RunRequest)
    assert set(request.tags.values()) == {"one", "two"}


def test_without_sources_the_sensor_asks_for_nothing(data: Path, instance: dg.DagsterInstance) -> None:
    Pool(sources=data / "nowhere", benchmarks=data / "nowhere").save(data)
    with dg.build_sensor_context(instance=instance, resources={"lake": LakeResource()}) as context:
        assert isinstance(watch_sources(context), dg.SkipReason)
    assert register_sources(instance, Pool.load(data), Lake(data)) == ([], [])


def test_a_source_that_is_not_understood_is_named_but_does_not_stop_the_run(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data / "sources" / "own"
    folder.mkdir()
    (folder / "a.jsonl").write_text(
        "".join(json.dumps({"ask": f"number {n}", "meta": {"note": f"reply to {n}"}}) + "\n" for n in range(30))
    )
    _, faults = run(data, until="raw_pool")
    assert faults == []
    manifest = Lake(data).manifest("raw_pool", "own")
    assert manifest
    assert "layout: alpaca" in manifest.charts["not understood"]
    with dg.DagsterInstance.get() as instance:
        done = instance.get_event_records(dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION))
    found = {}
    for record in done:
        event = record.event_log_entry.dagster_event
        assert event
        evaluation = event.event_specific_data
        found[evaluation.check_name] = evaluation  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    assert not found["understood"].passed
    assert found["understood"].severity == dg.AssetCheckSeverity.WARN
    assert found["understood"].description == (
        "own: 30 of 30 records dropped (unknown_layout); look at it with `infinity sources preview own`"
    )
    assert found["accounted"].passed
