"""The store is the record of truth: what was appended is found again, whatever was killed or compacted meanwhile."""

import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.inference.store import RESPONSES, ResponseStore

MODEL = "m@main"
SPAWN = multiprocessing.get_context("spawn")


def lines(texts: dict[str, str]) -> pl.DataFrame:
    columns = {"key": list(texts), "text": list(texts.values())}
    return pl.DataFrame(columns).select(
        (pl.col(name) if name in columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in RESPONSES.items()
    )


def contents(store: ResponseStore, keys) -> dict[str, str]:
    return dict(store.get("generate", MODEL, list(keys)).select("key", "text").iter_rows())


def append_many(root: str, writer: int, count: int) -> None:
    store = ResponseStore(Path(root))
    for number in range(count):
        store.append("generate", MODEL, lines({f"{writer}-{number}": "x" * 1000}))
        if number % 5 == 4:
            store.compact()


def append_for_ever(root: str) -> None:
    number = 0
    while True:
        append_many(root, number, 3)
        number += 1


def test_an_unknown_key_or_model_is_not_there(tmp_path):
    store = ResponseStore(tmp_path)
    assert store.get("generate", MODEL, ["a"]).schema == RESPONSES
    store.append("generate", MODEL, lines({"a": "1"}))
    assert contents(store, ["b"]) == {}
    assert store.get("score", MODEL, ["a"]).is_empty()
    assert store.get("generate", "other@main", ["a"]).is_empty()
    assert contents(store, ["a", "a", "b"]) == {"a": "1"}


def test_writers_and_compaction_at_once_lose_nothing(tmp_path):
    workers = [SPAWN.Process(target=append_many, args=(str(tmp_path), writer, 20)) for writer in range(3)]
    for worker in workers:
        worker.start()
    store, keys = ResponseStore(tmp_path), [f"{writer}-{number}" for writer in range(3) for number in range(20)]
    seen: set[str] = set()
    while any(worker.is_alive() for worker in workers):
        now = set(contents(store, keys))
        assert seen <= now
        seen = now
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert set(contents(store, keys)) == set(keys)


def test_a_killed_writer_leaves_a_store_that_reads(tmp_path):
    worker = SPAWN.Process(target=append_for_ever, args=(str(tmp_path),))
    worker.start()
    store = ResponseStore(tmp_path)
    while "1-0" not in contents(store, ["1-0"]):
        time.sleep(0.02)
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    (tmp_path / "generate" / "m@main" / ".half.parquet.1.tmp").write_bytes(b"PAR1 half")
    before = contents(store, [f"0-{number}" for number in range(3)])
    assert len(before) == 3
    store.append("generate", MODEL, lines({"after": "1"}))
    store.compact()
    assert contents(store, [*before, "after"]) == before | {"after": "1"}


BATCHES = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=3), min_size=1), max_size=6)


@settings(deadline=None, max_examples=30)
@given(BATCHES, st.sets(st.integers(0, 6)))
def test_the_first_line_of_a_key_is_given_and_compacting_changes_nothing(batches, compactions):
    with tempfile.TemporaryDirectory() as root:
        store, expected = ResponseStore(Path(root)), {}
        for number, batch in enumerate(batches):
            store.append("generate", MODEL, lines(batch))
            expected = batch | expected
            if number in compactions:
                store.compact()
        assert contents(store, "abcdef") == expected
        store.compact()
        assert contents(store, "abcdef") == expected
        assert len(list(Path(root).glob("generate/*/*.parquet"))) == min(len(batches), 1)


def test_vectors_keep_their_type(tmp_path):
    store = ResponseStore(tmp_path)
    vectors = pl.DataFrame({"key": ["a"], "vector": [[0.6, 0.8]]}, schema={"key": pl.String, "vector": pl.Array(pl.Float32, 2)})
    store.append("embed", MODEL, vectors)
    store.compact()
    assert store.get("embed", MODEL, ["a"]).equals(vectors)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        ResponseStore(tmp_path).append("generate", MODEL, lines({"a": "1"}))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]
