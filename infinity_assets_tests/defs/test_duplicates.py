"""De-duplication through the graph: what is made again when a source, a threshold or a score comes, and what is on record about it."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.cluster import cluster
from infinity_assets.catalog.explain import explain
from infinity_assets.catalog.invariants import check_all
from infinity_assets.catalog.lake import Lake
from infinity_assets.errors import InfinityError
from infinity_assets_tests.defs.test_ingest_and_curate import run

STORY = "Every morning the baker lights the oven before the town wakes up, and by six o'clock the first loaves stand on the shelf to cool."
ANSWER = "She starts so early because the dough has to rise twice, and because the people of the town want their bread warm at breakfast."
ROWS = {
    "one": [(f"{STORY} Why does she start early?", ANSWER), ("What is a fjord?", "A long arm of the sea between steep cliffs.")],
    "two": [(f"{STORY} Why does she start so early?", f"{ANSWER} Every day."), ("What is a fjord?", "A valley that the sea has filled.")],
    "three": [
        (f"{STORY} When do the loaves stand on the shelf?", "By six o'clock in the morning, so that they are cool when the shop opens.")
    ],
}


def write(folder: Path, name: str, rows: list[tuple[str, str]], **beside: object) -> None:
    (folder / "sources" / name).mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"question": question, "answer": answer, **beside}) for question, answer in rows]
    (folder / "sources" / name / "rows.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    for name in ("one", "two"):
        write(folder, name, ROWS[name])
    monkeypatch.setenv("INFINITY_DATA", str(folder))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def near(data: Path) -> pl.DataFrame:
    return Lake(data).scan("duplicates").filter(pl.col("method") == "near").collect()


def test_a_near_duplicate_is_on_record_from_either_end(data: Path) -> None:
    assert run(data, until="deduped")[1] == []
    loser = near(data).to_dicts()
    assert len(loser) == 1
    assert 0.7 <= loser[0]["similarity"] < 1
    decisions = pl.concat([Lake(data).book("decisions", "deduped", shard) for shard in Lake(data).partitions("deduped")]).collect()
    said = decisions.filter(pl.col("reason") == "near_duplicate").to_dicts()
    assert [(row["row_id"], row["source"], row["position"]) for row in said] == [
        (loser[0]["row_id"], loser[0]["source"], loser[0]["position"])
    ]
    assert json.loads(said[0]["detail"])["duplicate_of"] == loser[0]["duplicate_of"]
    assert not [broken for *_, broken in check_all(Lake(data)) if broken.height]
    for end in ("row_id", "duplicate_of"):
        story = cluster(data, loser[0][end], 5)
        assert story.startswith(f"row {loser[0]['duplicate_of']}, kept")
        assert f"near {loser[0]['similarity']:.3f} {loser[0]['row_id']}" in story
    assert "kept      in place of 1 near" in explain(data, loser[0]["duplicate_of"])
    fjord = Lake(data).scan("deduped").filter(pl.col("messages").list.first().struct.field("content") == "What is a fjord?").collect()
    assert fjord.height == 2
    assert "nothing lost to it" in cluster(data, fjord["row_id"][0], 5)


def test_the_copy_of_a_row_that_lost_is_told_as_one(data: Path) -> None:
    loser = "two" if near_after(data)["source"].item() == "two" else "one"
    write(data, "three", ROWS[loser][:1])
    run(data, until="deduped")
    story = cluster(data, near(data)["row_id"].item(), 5)
    assert ", another record of it, which lost)" in story


def near_after(data: Path) -> pl.DataFrame:
    run(data, until="deduped")
    return near(data)


def test_the_page_shows_near_duplicates_from_where_they_differ(data: Path) -> None:
    run(data, until="deduped")
    manifest = Lake(data).manifest("duplicates")
    assert manifest is not None
    shown = manifest.charts["closest to the threshold"]
    assert "start so early? She starts" in shown
    assert "start early? She starts" in shown
    assert "Every morning" not in shown


def test_a_priority_or_a_score_that_names_nothing_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(data, "one", ROWS["one"], reward=2.5)
    for settings, measures in (
        (('["tow", "one"]', "reward"), ("tow", 2)),
        (('["two"]', "rewrad"), (None, 0)),
    ):
        monkeypatch.setenv("INFINITY_DEDUP__SOURCE_PRIORITY", settings[0])
        monkeypatch.setenv("INFINITY_DEDUP__SCORE", settings[1])
        run(data, until="duplicates")
        manifest = Lake(data).manifest("duplicates")
        assert manifest is not None
        told = manifest.measures
        assert (told["in source_priority, but no source"], told[f"records with the score {settings[1]}"]) == measures


def test_a_cluster_is_asked_for_too_early(data: Path) -> None:
    run(data, until="fingerprints")
    with pytest.raises(InfinityError, match="`duplicates` has not been materialised"):
        cluster(data, Lake(data).scan("raw_pool").collect()["row_id"][0], 5)


def test_a_source_that_is_added_is_compared_alone_and_nothing_else_changes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, until="deduped")
    write(data, "three", ROWS["three"])
    computed, _ = run(data, until="deduped")
    assert "fingerprints[three]" in computed
    assert "fingerprints[one]" not in computed
    manifest = Lake(data).manifest("duplicates")
    assert manifest is not None
    assert manifest.measures["sources compared"] == "three"
    fresh = tmp_path / "fresh"
    shutil.copytree(data / "sources", fresh / "sources")
    monkeypatch.setenv("INFINITY_DATA", str(fresh))
    run(fresh, until="deduped")
    for asset in ("duplicates", "deduped"):
        for partition in Lake(data).partitions(asset):
            assert Lake(data).rows_file(asset, partition).read_bytes() == Lake(fresh).rows_file(asset, partition).read_bytes()


def test_a_source_that_is_removed_gives_back_what_lost_to_it(data: Path) -> None:
    run(data, until="deduped")
    winner = near(data)["survivor_source"].item()
    shutil.rmtree(data / "sources" / winner)
    run(data, until="deduped")
    assert near(data).is_empty()
    assert Lake(data).scan("deduped").collect().height == 2


def test_another_threshold_signs_nothing_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(data, until="deduped")
    monkeypatch.setenv("INFINITY_DEDUP__NEAR__THRESHOLD", "0.95")
    computed, _ = run(data, until="deduped")
    assert not [step for step in computed if step.startswith("fingerprints")]
    assert near(data).is_empty()
    monkeypatch.setenv("INFINITY_DEDUP__NEAR__SHINGLE", "3")
    computed, _ = run(data, until="deduped")
    assert "fingerprints[one]" in computed


def test_the_better_score_survives(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DEDUP__SCORE", "reward")
    for better, worse in (("one", "two"), ("two", "one")):
        write(data, better, ROWS[better], reward=2.5)
        write(data, worse, ROWS[worse], reward=-1)
        run(data, until="deduped")
        assert near(data).select("source", "survivor_source").rows() == [(worse, better)]


def test_two_answers_to_an_instruction_are_kept_or_one(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DEDUP__ANSWERS_PER_INSTRUCTION", "1")
    run(data, until="deduped")
    decisions = pl.concat([Lake(data).book("decisions", "deduped", shard) for shard in Lake(data).partitions("deduped")]).collect()
    assert set(decisions["reason"]) == {"near_duplicate", "answer_too_many"}
