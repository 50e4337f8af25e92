"""`vectors`, with an embedder of a small vocabulary."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infinity_assets.rows import conversation
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.defs.words import Words

QUESTIONS = [
    "why is snow white",
    "what is a fjord",
    "how do bees see far",
    "warum ist der Schnee kalt",
    "为什么雪是白色的",
]
WORDS = sorted({word for question in QUESTIONS[:3] for word in question.split()})


def test_every_row_has_a_line_and_a_vector_if_its_words_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Graph(tmp_path, monkeypatch, {"SHARDS": 2, "SCORING__EMBEDDER__MODEL": "words"})
    graph.use(Words(WORDS).pool())
    rows = [
        {"question": question, "answer": f"Nobody knows that yet, says {place}."}
        for place, question in enumerate(QUESTIONS)
    ]
    graph.source("one", rows)
    graph.make("vectors")
    asked = graph.lake.scan("decontaminated").select("row_id", question=conversation.instruction()).collect()
    table = graph.rows("vectors")
    assert table["row_id"].sort().equals(asked["row_id"].sort())
    known = table.join(asked, on="row_id").drop_nulls("vector")
    assert set(known["question"]) == set(QUESTIONS[:3])
    assert np.linalg.norm(known["vector"].to_numpy().astype(np.float64), axis=1) == pytest.approx(1.0, abs=1e-2)
    assert isinstance(table.schema["vector"], pl.Array)
