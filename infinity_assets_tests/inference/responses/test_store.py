"""Appended lines are found again, even if processes are killed or segments compacted meanwhile."""

import itertools
import multiprocessing
import os
import random
import tempfile
import time
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.inference.responses.segments import DamagedSegment, Segment, Segments
from infinity_assets.inference.responses.store import RESPONSES, ResponseStore, _groups
from infinity_assets.rows.ids import digest
from infinity_assets_tests.properties import PROFILE, examples

MODEL = "m@main"
SPAWN = multiprocessing.get_context("spawn")


def lines(texts: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame({"key": list(texts), "text": list(texts.values())})


def embeddings(key: str, vector: list[float]) -> pl.DataFrame:
    schema = {"key": pl.String, "vector": pl.Array(pl.Float32, len(vector))}
    return pl.DataFrame({"key": [key], "vector": [vector]}, schema=schema)


def contents(store: ResponseStore, keys) -> dict[str, str]:
    return dict(store.get("generate", MODEL, list(keys)).select("key", "text").iter_rows())


def test_an_unknown_key_or_model_has_no_lines(tmp_path):
    store = ResponseStore(tmp_path)
    assert store.get("generate", MODEL, ["a"]).schema == RESPONSES
    store.append("generate", MODEL, lines({"a": "1"}))
    assert contents(store, ["b"]) == {}
    assert store.get("score", MODEL, ["a"]).is_empty()
    assert store.get("generate", "other@main", ["a"]).is_empty()
    assert contents(store, ["a", "a", "b"]) == {"a": "1"}


def work_until_killed(root: str, name: str, log: str) -> None:
    """Append lines, some with keys that all workers share but give different texts, and log the stored texts."""
    store, file = ResponseStore(Path(root)), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in itertools.count():
        own, common = digest(f"{name} {number}"), digest(f"common {number}")
        store.append("generate", MODEL, lines({own: f"{name} {number}", common: name}))
        stored = contents(store, [own, common])
        assert set(stored) == {own, common}
        os.write(file, "".join(f"{key} {text}\n" for key, text in stored.items()).encode())


def compact_until_killed(root: str, name: str, log: str) -> None:
    while True:
        ResponseStore(Path(root)).compact(above=3)
        Path(log).write_text(name)


def test_stored_lines_survive_killed_writers_and_compactors(tmp_path):
    draw, root = random.Random(1), tmp_path / "responses"
    jobs = [(work_until_killed, f"writer{number}") for number in range(3)] + [(compact_until_killed, "compactor")]
    workers = {name: SPAWN.Process(target=work, args=(str(root), name, str(tmp_path / name))) for work, name in jobs}
    for worker in workers.values():
        worker.start()
    while not all((tmp_path / name).exists() and (tmp_path / name).stat().st_size for name in workers):
        time.sleep(0.01)
    for name in draw.sample(sorted(workers), len(workers)):
        time.sleep(draw.uniform(0.1, 0.5))
        assert workers[name].is_alive()
        workers[name].kill()
        workers[name].join()
    logged = [line.split(" ", 1) for file in tmp_path.glob("writer*") for line in file.read_text().splitlines()]
    expected = dict(logged)
    assert len(expected) >= 4
    assert all(expected[key] == text for key, text in logged)  # all workers got equal answers for shared keys
    store = ResponseStore(root)
    for _ in range(2):
        stored = store.get("generate", MODEL, list(expected))
        assert stored.height == len(expected)
        assert dict(stored.select("key", "text").iter_rows()) == expected
        assert list(store.verify()) == []
        store.compact()
    assert list(root.rglob(".*.tmp")) == []


def test_a_compactor_that_dies_at_any_step_changes_no_line(tmp_path, monkeypatch):
    """It dies while it removes the first, the second, ... of the merged segments."""
    store = ResponseStore(tmp_path)
    for batch in ({"a": "1", "b": "1"}, {"b": "2", "c": "2"}, {"a": "3", "c": "3"}, {"d": "4"}, {"d": "5", "e": "5"}):
        store.append("generate", MODEL, lines(batch))
    expected = contents(store, "abcde")
    assert expected == {"a": "1", "b": "1", "c": "2", "d": "4", "e": "5"}
    unlink = Path.unlink
    for step in range(1, 5):
        calls = itertools.count(1)

        def die(path, missing_ok=False, calls=calls, step=step):
            if path.suffix == ".parquet" and next(calls) == step:
                raise KeyboardInterrupt
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", die)
        for key in "bcde":
            store.append("generate", MODEL, lines({key: f"later {step}"}))
        with pytest.raises(KeyboardInterrupt):
            store.compact()
        assert contents(store, "abcde") == expected
        monkeypatch.setattr(Path, "unlink", unlink)
        with Segments(tmp_path / "generate" / MODEL).hold_rewrite_lock(wait=True):
            assert contents(store, "abcde") == expected
    store.compact()
    assert contents(store, "abcde") == expected
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_only_unfinished_files_of_dead_processes_are_removed(tmp_path):
    store, folder = ResponseStore(tmp_path), tmp_path / "generate" / MODEL
    store.append("generate", MODEL, lines({"a": "1"}))
    (folder / ".half.tmp").write_bytes(b"PAR1 half")
    with Segments(folder)._temporary_file() as alive:
        store.compact()
        assert [path.name for path in folder.glob(".*.tmp")] == [Path(alive.name).name]
    assert contents(store, "a") == {"a": "1"}


def test_a_clock_that_goes_back_does_not_change_the_order_of_lines(tmp_path, monkeypatch):
    store = ResponseStore(tmp_path)
    for number, nanoseconds in enumerate((9 * 10**18, 10**18, 5 * 10**18)):
        monkeypatch.setattr(time, "time_ns", lambda nanoseconds=nanoseconds: nanoseconds)
        store.append("generate", MODEL, lines({"a": str(number)}))
    assert contents(store, "a") == {"a": "0"}


@given(st.lists(st.integers(1, 100), max_size=80), st.integers(1, 8))
@settings(deadline=None)
def test_compaction_leaves_few_small_segments_and_all_large_ones(sizes, above):
    segments: list[Segment] = [Sized(number, number, Path(str(size))) for number, size in enumerate(sizes)]
    groups = _groups(segments, above, large=50)
    assert all(len(group) > 1 and all(segment.size < 50 for segment in group) for group in groups)
    merged = [segment for group in groups for segment in group]
    assert len(set(merged)) == len(merged)
    assert all([s.first for s in group] == list(range(group[0].first, group[-1].last + 1)) for group in groups)
    for large, run in itertools.groupby(segments, lambda segment: segment.size >= 50):
        if not large:
            run = list(run)
            of_run = [group for group in groups if group[0] in run]
            left = len(run) - sum(len(group) - 1 for group in of_run)
            assert left - sum(sum(s.size for s in group) >= 50 for group in of_run) <= above


class Sized(Segment):
    """A segment whose name gives its size."""

    @property
    def size(self) -> int:
        return int(self.path.name)


def test_a_line_is_rewritten_only_a_few_times():
    """A thousand flushes, merged above 16; the test would notice an eighth of the rewriting of full merges."""
    segments: list[Segment] = []
    rewritten = 0
    for number in range(1000):
        segments.append(Sized(number, number, Path("1")))
        for group in _groups(segments, 16, large=400):
            total = sum(segment.size for segment in group)
            rewritten += total
            start = segments.index(group[0])
            segments[start : start + len(group)] = [Sized(group[0].first, group[-1].last, Path(str(total)))]
    assert len(segments) <= 40
    assert rewritten <= 6 * 1000


BATCHES = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=3), min_size=1), max_size=6)


@settings(deadline=None, max_examples=examples(30))
@given(BATCHES, st.sets(st.integers(0, 6)))
def test_the_first_line_of_a_key_is_returned_before_and_after_compaction(batches, compactions):
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
    vectors = embeddings("a", [0.6, 0.8])
    store.append("embed", MODEL, vectors)
    store.compact()
    assert store.get("embed", MODEL, ["a"]).equals(vectors)


def test_a_failed_write_leaves_no_file(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        ResponseStore(tmp_path).append("generate", MODEL, lines({"a": "1"}))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


def test_a_changed_byte_is_found_at_any_position(tmp_path):
    """`verify` always finds it; a look-up gives the written lines or reports the damage.

    The test changes every byte of a segment, or every ninth one in the quick profile.
    """
    store, keys = ResponseStore(tmp_path), [digest(str(number)) for number in range(3)]
    store.append("generate", MODEL, lines({key: f"text of {key}" for key in keys}))
    (file,) = tmp_path.rglob("*.parquet")
    content, expected = file.read_bytes(), contents(store, keys)
    assert list(store.verify()) == []
    refused: list[str] = []
    places = range(0, len(content), 1 if PROFILE == "thorough" else 9)
    for place in places:
        file.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            assert contents(store, keys) == expected
        except DamagedSegment as damaged:
            refused.append(str(damaged))
        if place % 45 == 0:
            assert [damage.path for damage in store.verify()] == [file]
    assert len(refused) > 0.9 * len(places)
    assert all(str(file) in sentence and "verify --move-aside" in sentence for sentence in refused)


def test_damaged_segments_are_moved_aside_and_the_others_stay(tmp_path):
    store, keys = ResponseStore(tmp_path / "responses"), [digest(str(number)) for number in range(3)]
    for key in keys:
        store.append("generate", MODEL, lines({key: "text"}))
    segments = sorted(tmp_path.rglob("*.parquet"))
    segments[0].write_bytes(segments[0].read_bytes()[:-9])
    segments[1].rename(stranger := segments[1].with_name("copy.parquet"))
    damages = list(store.verify())
    assert {damage.path for damage in damages} == {segments[0], stranger}
    aside = store.move_aside(damages)
    assert sorted(path.name for path in aside.rglob("*.parquet")) == sorted([segments[0].name, stranger.name])
    assert list(store.verify()) == []
    assert set(contents(store, keys)) == {keys[2]}


@pytest.mark.parametrize(
    ("key", "vector", "reason"), [("x" * 32, 0.5, "invalid keys"), ("a" * 32, float("nan"), "not finite")]
)
def test_keys_and_vectors_are_verified(tmp_path, key, vector, reason):
    store = ResponseStore(tmp_path)
    store.append("embed", MODEL, embeddings(key, [vector]))
    assert [reason in damage.reason for damage in store.verify()] == [True]


def test_pruning_keeps_named_keys_and_young_segments(tmp_path):
    store, keys = ResponseStore(tmp_path), [digest(str(number)) for number in range(40)]
    for start in range(0, 40, 10):
        store.append("generate", MODEL, lines({key: key[::-1] for key in keys[start : start + 10]}))
    store.append("embed", MODEL, embeddings(keys[0], [1.0]))
    segments = Segments(tmp_path / "generate" / MODEL).all()
    named, young = set(keys[::3]) - set(keys[10:20]), set(keys[30:])
    planned = store.prune(pl.Series(sorted(named)), before=segments[3].first, dry_run=True)
    assert set(contents(store, keys)) == set(keys)
    counts = planned.select("lines", "removed", "too_young").row(0)
    assert counts == (40, 30 - len(named - young), 10 - len(named & young))
    pruned = store.prune(pl.Series(sorted(named)), before=segments[3].first)
    assert pruned.equals(planned)
    assert contents(store, keys) == {key: key[::-1] for key in named | young}
    assert len(Segments(tmp_path / "generate" / MODEL).all()) == 3
    assert list(store.verify()) == []
    assert store.get("embed", MODEL, keys).height == 1
    store.prune(pl.Series(sorted(named - {keys[0]})), before=2**63 - 1, embeddings=True)
    assert set(contents(store, keys)) == named - {keys[0]}
    assert store.get("embed", MODEL, keys).is_empty()


def test_stats_count_lines_by_prompt_and_error(tmp_path):
    store = ResponseStore(tmp_path)
    assert store.stats().is_empty()
    answers = lines({"a": "1", "b": "2", "c": "3"}).with_columns(
        prompt=pl.Series(["tag", "tag", "judge"]),
        error=pl.Series([None, "empty", None]),
        prompt_tokens=pl.lit(5),
        completion_tokens=pl.lit(2),
    )
    for half in (answers[:1], answers[1:]):
        store.append("generate", MODEL, half)
    store.append("embed", "e@main", embeddings("a", [1.0]))
    assert store.stats().rows() == [
        ("embed", "e@main", None, None, 1, 0, 0),
        ("generate", MODEL, "judge", None, 1, 5, 2),
        ("generate", MODEL, "tag", None, 1, 5, 2),
        ("generate", MODEL, "tag", "empty", 1, 5, 2),
    ]
    assert store.sizes().select("kind", "model", "segments").rows() == [("generate", MODEL, 2), ("embed", "e@main", 1)]


def test_segments_with_fewer_columns_are_read(tmp_path):
    store = ResponseStore(tmp_path)
    store.append("generate", MODEL, lines({"a": "1"}))
    Segments(tmp_path / "generate" / MODEL).add(lines({"b": "2"}))
    for _ in range(2):
        stored = store.get("generate", MODEL, ["a", "b"], [5, 5], 100)
        assert stored.drop("room").schema == RESPONSES
        assert set(stored["text"]) == {"1", "2"}
        assert store.stats()["lines"].sum() == 2
        store.compact()
