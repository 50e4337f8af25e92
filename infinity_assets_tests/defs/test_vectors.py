"""`vectors`, with a static model of a few words."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.pool import Pool
from infinity_assets.defs.runner import Runner
from infinity_assets.progress import LogReporter
from infinity_assets.rows import conversation
from infinity_assets_tests.inference.doubles import static_model

QUESTIONS = ["why is snow white", "what is a fjord", "how do bees see far", "warum ist der Schnee kalt", "为什么雪是白色的"]
WORDS = sorted({word for question in QUESTIONS[:3] for word in question.split()})


def test_every_row_has_a_line_and_a_vector_if_its_words_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = static_model(tmp_path / "model", WORDS), tmp_path / "data"
    (data / "sources" / "one").mkdir(parents=True)
    rows = [{"question": question, "answer": f"Nobody knows that yet, says {place}."} for place, question in enumerate(QUESTIONS)]
    (data / "sources" / "one" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("INFINITY_DATA", str(data))
    monkeypatch.setenv("INFINITY_SHARDS", "2")
    monkeypatch.setenv("INFINITY_SCORING__EMBEDDER__MODEL", str(model))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Runner(data, Pool.load(data), LogReporter()).run(until="vectors") == []
    lake = Lake(data)
    asked = lake.scan("decontaminated").select("row_id", question=conversation.instruction()).collect()
    table = lake.scan("vectors").collect()
    assert table["row_id"].sort().equals(asked["row_id"].sort())
    known = table.join(asked, on="row_id").drop_nulls("vector")
    assert set(known["question"]) == set(QUESTIONS[:3])
    assert np.linalg.norm(known["vector"].to_numpy().astype(np.float64), axis=1) == pytest.approx(1.0, abs=1e-2)
    assert isinstance(table.schema["vector"], pl.Array)
