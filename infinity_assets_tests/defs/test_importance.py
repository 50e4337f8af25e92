"""`ngrams` and `importance`: the weights of a domain do not depend on its shards, and what is unchanged is not made again."""

import json
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.pool import Pool
from infinity_assets.defs.runner import Runner
from infinity_assets.progress import LogReporter
from infinity_assets.rows import conversation
from infinity_assets.selection.dsir.passes import IMPORTANCE

NUMBERS = range(1, 41)
SUMS = [f"Tom has {n} apples and buys {n + 3} more. How many apples does he have?" for n in NUMBERS]
"""The source that is the target."""
MORE = [f"Ann sells {n} eggs and then {2 * n} more. How many eggs does she sell?" for n in NUMBERS]
OTHER = [f"Solve the equation x + {n} = {3 * n} and simplify the fraction." for n in NUMBERS]


def write(folder: Path, questions: list[str], **said: str) -> None:
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps({"instruction": q, "output": f"I say {len(q)}: {q[4:20]}"}) + "\n" for q in questions))
    (folder / "source.yaml").write_text(json.dumps(said))


def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int, targets: dict) -> tuple[Runner, Lake]:
    data = tmp_path / f"data{shards}"
    if not data.exists():
        write(data / "sources" / "sums", SUMS, domain="math")
        write(data / "sources" / "more", [*MORE, *OTHER], domain="math")
        write(data / "sources" / "talk", ["How are you today, my friend?"], domain="chat")
        write(data / "benchmarks" / "algebra", ["Solve the equation y + 99 = 7 and factor the polynomial."], domain="math")
    monkeypatch.setenv("INFINITY_DATA", str(data))
    monkeypatch.setenv("INFINITY_SHARDS", str(shards))
    monkeypatch.setenv("INFINITY_FOUNDATION__DSIR__TARGETS", json.dumps(targets))
    monkeypatch.setenv("INFINITY_DEDUP__NEAR__THRESHOLD", "1.0")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return Runner(data, Pool.load(data), LogReporter()), Lake(data)


def weights(lake: Lake) -> pl.DataFrame:
    table = lake.scan("importance").collect().sort("row_id")
    assert table.schema == IMPORTANCE
    assert table["row_id"].to_list() == lake.scan("decontaminated").select("row_id").collect()["row_id"].sort().to_list()
    asked = lake.scan("decontaminated").select("row_id", "source", prompt=conversation.content_of("user")).collect()
    return table.join(asked, on="row_id")


def test_importance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, lake = made(tmp_path, monkeypatch, 4, {"math": ["sums"]})
    assert runner.run(until="importance") == []
    table = weights(lake)
    mean = dict(table.drop_nulls("log_weight").group_by(pl.col("prompt").str.slice(0, 3)).agg(pl.col("log_weight").mean()).iter_rows())
    assert mean["Tom"] > mean["Ann"] > mean["Sol"]
    assert table.filter(pl.col("log_weight").is_null()).select("source", "importance_error").rows() == [("talk", "no_target")]
    before = [(p, m.finished_at) for p in lake.partitions("importance") if (m := lake.manifest("importance", p))]
    runner, lake = made(tmp_path, monkeypatch, 4, {"math": ["sums"]})
    assert runner.run(until="importance") == []
    assert before == [(p, m.finished_at) for p in lake.partitions("importance") if (m := lake.manifest("importance", p))]
    # A benchmark as the target, by name or as all there are of the domain.
    tables = []
    for targets in ({"math": ["algebra"]}, {"math": []}):
        runner, lake = made(tmp_path, monkeypatch, 4, targets)
        assert runner.run(until="importance") == []
        tables.append(weights(lake))
    assert tables[0].equals(tables[1])
    mean = dict(tables[0].drop_nulls("log_weight").group_by(pl.col("prompt").str.slice(0, 3)).agg(pl.col("log_weight").mean()).iter_rows())
    assert mean["Sol"] > mean["Ann"]
    # A name of nothing is said, and not passed over.
    runner, lake = made(tmp_path, monkeypatch, 4, {"math": ["smus"]})
    [fault] = runner.run(until="importance")
    assert "`smus`" in fault.sentence


def test_a_domain_without_a_target_has_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, lake = made(tmp_path, monkeypatch, 4, {"code": []})
    assert runner.run(until="importance") == []
    assert set(weights(lake)["importance_error"]) == {"no_target"}
    assert lake.scan("ngrams").collect().is_empty()
