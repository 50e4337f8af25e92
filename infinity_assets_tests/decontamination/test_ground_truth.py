"""The gate on real data, against the rows that are known to hold items of real benchmarks."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.decontamination.allowed import read_allowed_texts
from infinity_assets.decontamination.gate import Gate
from infinity_assets.reading.benchmarks import read_benchmark
from infinity_assets.reading.reader import read_source
from infinity_assets.reading.sources import load_source
from infinity_assets.settings import Decontamination
from infinity_assets_tests.benchmarks.decontamination import known, missed

SHARED = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real data, {SHARED}, is missing")

SOURCES = (
    *("self_instruct", "codealpaca", "gsm8k_train", "instructionwild", "squad_dev_contexts", "xquad_contexts"),
    *("probe_alpaca_eval_outputs", "probe_gsm8k_8shot"),
)


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    items = pl.concat([read_benchmark(folder).items for folder in sorted((SHARED / "benchmarks").iterdir())])
    gate = Gate(items, Decontamination(), read_allowed_texts(SHARED / "benchmarks")["text"])
    found = []
    for source in SOURCES:
        rows = read_source(load_source(SHARED / "sources" / source), tmp_path_factory.mktemp(source)).rows.collect()
        # Records with equal content share an id, and so their hits.
        found.append(gate.matches(rows).join(rows.drop("messages"), on="row_id"))
    return pl.concat(found)


def test_every_known_row_is_found_or_excused(hits: pl.DataFrame) -> None:
    truth = known(SHARED / "ground_truth" / "contaminated_rows.jsonl").filter(pl.col("source").is_in(SOURCES))
    assert truth.height > 3500
    assert missed(truth, hits).rows() == []


def test_false_alarms_are_excused_or_not_hits(hits: pl.DataFrame) -> None:
    contexts = hits.filter(pl.col("source").is_in(["squad_dev_contexts", "xquad_contexts"]))
    assert contexts.filter(benchmark="humaneval")["verdict"].to_list() == ["excused"] * 10
    known_rows = pl.read_ndjson(SHARED / "ground_truth" / "contaminated_rows.jsonl", infer_schema_length=None)
    grids = known_rows.filter(~pl.col("lexical"), source="self_instruct", where="prompt")
    numbers = hits.filter(benchmark="math_test", rule="ngram", source="self_instruct")
    assert grids.height == 5
    assert numbers.filter(pl.col("side") == "user").is_empty()
