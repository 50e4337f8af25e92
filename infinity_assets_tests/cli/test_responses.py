"""`infinity responses` on a store and a lake with two materializations of one asset."""

import shutil
from functools import partial

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.inference.client import Inference
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets_tests.catalog.lakes import key
from infinity_assets_tests.cli.commands import infinity
from infinity_assets_tests.inference.doubles import SPEC, ScriptedEngine, ask

REQUESTS = [ask(f"r{number}") for number in range(30)]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Thirty answers: a first materialization used twenty of them, a later one the ten in the middle."""
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path))
    lake = Lake(tmp_path)
    for run, used in (("run-1", REQUESTS[:20]), ("run-2", REQUESTS[10:20])):
        answers = Inference(ResponseStore(tmp_path / "responses"), ScriptedEngine().pool()).generate(SPEC, used, "s")
        lake.commit(key("answered"), Outcome(pl.DataFrame({"run": [run]}), generations=answers.generations), run, 0.0)
    Inference(ResponseStore(tmp_path / "responses"), ScriptedEngine().pool()).generate(SPEC, REQUESTS[20:], "s")
    return tmp_path


responses = partial(infinity, "responses")


def to_ask(data) -> list[str]:
    """Return the rows for which a run would call a model."""
    engine = ScriptedEngine()
    store = ResponseStore(data / "responses")
    Inference(store, engine.pool()).generate(SPEC, REQUESTS, "s")
    return sorted(request.row_id for request in engine.asked)


def test_statistics_count_answers_by_kind_model_and_prompt(data):
    output = responses("stats").output
    assert "generate" in output
    assert "scripted@main" in output
    assert "answer" in output
    assert " 30 " in output


def test_compacting_keeps_all_answers(data):
    output = responses("compact").output
    assert output.startswith("2 files")
    assert "1 file," in output
    assert to_ask(data) == []


def test_a_damaged_file_is_moved_aside_and_only_its_answers_are_requested_again(data):
    first = min((data / "responses").rglob("*.parquet"))
    content = bytearray(first.read_bytes())
    content[100] ^= 4
    first.write_bytes(content)
    result = responses("verify")
    assert result.exit_code == 1
    assert f"{first}: its bytes have changed." in result.output.replace("\n", "")
    assert first.exists()
    assert responses("verify", "--move-aside").exit_code == 1
    assert not first.exists()
    assert (data / "responses.damaged" / first.relative_to(data / "responses")).read_bytes() == content
    result = responses("verify")
    assert (result.exit_code, "all as written" in result.output) == (0, True)
    assert to_ask(data) == sorted(f"r{number}" for number in range(20))


@pytest.mark.parametrize(
    ("arguments", "removed"),
    [
        ((), range(0)),
        (("--older-than", "0", "--dry-run"), range(0)),
        (("--older-than", "0"), range(20, 30)),
        (("--older-than", "0", "--latest"), [*range(10), *range(20, 30)]),
    ],
)
def test_old_answers_that_no_materialization_used_are_removed(data, arguments, removed):
    result = responses("prune", *arguments)
    assert result.exit_code == 0
    assert to_ask(data) == sorted(f"r{number}" for number in removed)


def test_a_dry_run_counts_what_pruning_removes(data):
    assert "10 answers would be removed" in responses("prune", "--older-than", "0", "--dry-run").output
    assert "10 answers removed" in responses("prune", "--older-than", "0").output
    assert "0 answers removed" in responses("prune", "--older-than", "0").output


def test_nothing_is_removed_from_a_lake_without_model_calls(data):
    shutil.rmtree(data / "catalog")
    result = responses("prune", "--older-than", "0")
    assert result.exit_code == 1
    assert "no answer is removed" in result.output
    assert to_ask(data) == []
