"""Decontamination in the graph: from hits to rows taken out, the report by source, and what a user can switch."""

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from infinity_assets.catalog.invariants import clean
from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.pool import Pool
from infinity_assets.catalog.views import connect
from infinity_assets.defs.checks import unflagged
from infinity_assets.defs.resources import LakeResource
from infinity_assets.defs.runner import Runner
from infinity_assets.progress import LogReporter

ITEM = "A ferry carries twelve cars and nine bicycles over the lake on each of its trips; how many wheels cross in seven trips?"
DEFINITION = "An isotherm is a line on a map that joins places whose air has the same temperature at the same time of day."


def write(folder: Path, *records: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def asked(question: str, answer: str = "I would have to look that up.") -> dict:
    return {"question": question, "answer": answer}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    write(
        folder / "sources" / "dirty",
        asked(f"Please solve: {ITEM}"),
        asked("Give me a riddle about boats.", f"Here is one: {ITEM}"),
        asked(f"{DEFINITION} Draw one."),
        asked("Why does bread rise?"),
    )
    write(folder / "sources" / "copy", asked(f"Please solve: {ITEM}"), asked("What do moles eat?"))
    write(folder / "sources" / "tidy", asked("Who invented the zip?"), asked("How deep is a fjord?"))
    questions = (ITEM, f"Name three uses of this line. {DEFINITION}", "Why?", "Sing!")
    write(folder / "benchmarks" / "exam", *({"question": question} for question in questions))
    monkeypatch.setenv("INFINITY_DATA", str(folder))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def run(data: Path) -> None:
    assert Runner(data, Pool.load(data), LogReporter()).run(until="decontaminated") == []


def dropped(data: Path) -> pl.DataFrame:
    with connect(data) as views:
        return views.sql(
            "select source, position, reason, detail from decisions where asset = 'decontaminated' order by source, position"
        ).pl()


def test_every_row_taken_out_has_its_evidence_and_the_report_counts_it(data: Path) -> None:
    run(data)
    lines = dropped(data)
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
    with connect(data) as views:
        hits = views.sql("select distinct source, verdict from matches order by all").fetchall()
        report = views.sql("select source, rows, items, benchmark_items, flagged from contamination order by source").fetchall()
    assert hits == [("copy", "removes"), ("dirty", "removes"), ("dirty", "reported")]
    assert report == [("copy", 1, 1, 4, True), ("dirty", 3, 2, 4, True)]
    manifest = Lake(data).manifest("contamination")
    assert manifest
    assert manifest.measures == {"sources flagged": "copy, dirty"}
    check = unflagged(LakeResource())
    assert isinstance(check, dg.AssetCheckResult)
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "dirty holds 50.0% of exam" in (check.description or "")


def test_an_allowed_text_beside_the_benchmarks_excuses(data: Path) -> None:
    (data / "benchmarks" / "allowed.yaml").write_text(f"isotherm: {DEFINITION}\n")
    run(data)
    assert dropped(data).select("source", "position").rows() == [("copy", 0), ("dirty", 1)]
    with connect(data) as views:
        assert views.sql("select rows_excused from contamination where source = 'dirty'").fetchall() == [(1,)]
    assert clean(Lake(data), "decontaminated").is_empty()
    assert clean(Lake(data), "deduped")["row_id"].n_unique() == 2


def test_the_copy_of_a_near_duplicate_is_no_copy_of_the_row_that_stays(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = (
        "She starts so early because the dough has to rise twice, and because the people of the town want their bread warm at breakfast."
    )
    beside = "A baker lights the oven before the town wakes up, and by six o'clock the first loaves stand on the shelf. Why so early?"
    for name in ("near", "twin"):
        write(data / "sources" / name, asked(f"{ITEM} {beside} {beside.upper()[:40]}", answer))
    write(data / "sources" / "kept", asked(f"{ITEM} {beside}", answer))
    monkeypatch.setenv("INFINITY_DEDUP__SOURCE_PRIORITY", '["kept"]')
    run(data)
    with connect(data) as views:
        lost = views.sql("select source, method from duplicates where survivor_source = 'kept' order by source").fetchall()
        report = views.sql("select source from contamination where rows > 0 order by source").fetchall()
    assert lost == [("near", "near"), ("twin", "exact")]
    assert report == [("copy",), ("dirty",), ("kept",)]


def test_a_flagged_source_can_be_removed_whole(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(data)
    before = {file.name: file.stat().st_mtime_ns for file in (data / "lake" / "matches").iterdir()}
    monkeypatch.setenv("INFINITY_DECONTAMINATION__REMOVE_FLAGGED", "true")
    monkeypatch.setenv("INFINITY_DECONTAMINATION__FLAG_ABOVE", "0.3")
    run(data)
    assert dropped(data).filter(pl.col("reason") == "contaminated_source").select("source", "position").rows() == [("dirty", 3)]
    left = Lake(data).scan("decontaminated").collect()
    assert sorted(left["source"]) == ["copy", "tidy", "tidy"]
    # What a row is held against has not changed: no text was read again.
    assert {file.name: file.stat().st_mtime_ns for file in (data / "lake" / "matches").iterdir()} == before


def test_without_benchmarks_nothing_is_taken_out(data: Path) -> None:
    for file in (data / "benchmarks" / "exam").iterdir():
        file.write_text("")
    run(data)
    assert dropped(data).is_empty()
    lake = Lake(data)
    assert lake.scan("contamination").collect().is_empty()
    for asset, partition in (("contamination", "all"), ("matches", "shard-00"), ("decontaminated", "shard-00")):
        manifest = lake.manifest(asset, partition)
        assert manifest
        assert not any(manifest.charts.values())
    assert lake.scan("matches").collect().is_empty()
    assert lake.scan("decontaminated").collect().height == lake.scan("deduped").collect().height
