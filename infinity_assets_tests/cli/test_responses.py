"""`infinity responses`: what is shown and what is removed, on a store and a lake with two materialisations of one asset."""

import shutil

import polars as pl
import pytest
from click.testing import CliRunner, Result

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.cli import main
from infinity_assets.inference.client import Inference
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets_tests.catalog.lakes import key
from infinity_assets_tests.inference.doubles import SPEC, ScriptedEngine, ask

REQUESTS = [ask(f"r{number}") for number in range(30)]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Thirty answers, of which a first materialisation used twenty, and a second, later one the ten in the middle."""
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path))
    lake = Lake(tmp_path)
    for run, used in (("run-1", REQUESTS[:20]), ("run-2", REQUESTS[10:20])):
        answers = Inference(ResponseStore(tmp_path / "responses"), ScriptedEngine().pool()).generate(SPEC, used, "s")
        lake.commit(key("answered"), Outcome(pl.DataFrame({"run": [run]}), generations=answers.generations), run, 0.0)
    Inference(ResponseStore(tmp_path / "responses"), ScriptedEngine().pool()).generate(SPEC, REQUESTS[20:], "s")
    return tmp_path


def responses(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["responses", *arguments], catch_exceptions=False)


def to_ask(data) -> list[str]:
    """The rows that a run would ask a model about."""
    engine = ScriptedEngine()
    store = ResponseStore(data / "responses")
    Inference(store, engine.pool()).generate(SPEC, REQUESTS, "s")
    return sorted(request.row_id for request in engine.asked)


def test_statistics(data):
    said = responses("stats").output
    assert "generate" in said
    assert "scripted@main" in said
    assert "answer" in said
    assert " 30 " in said


def test_compacting_changes_nothing(data):
    said = responses("compact").output
    assert said.startswith("2 files")
    assert "1 file," in said
    assert to_ask(data) == []


def test_a_whole_store_is_verified(data):
    result = responses("verify")
    assert (result.exit_code, "all as they were written" in result.output) == (0, True)


def test_a_damaged_file_is_named_and_moved_aside_and_only_its_answers_are_asked_again(data):
    first = min((data / "responses").rglob("*.parquet"))
    content = bytearray(first.read_bytes())
    content[100] ^= 4
    first.write_bytes(content)
    result = responses("verify")
    assert result.exit_code == 1
    assert f"{first}: its bytes are not those that were written." in result.output.replace("\n", "")
    assert first.exists()
    assert responses("verify", "--move-aside").exit_code == 1
    assert not first.exists()
    assert (data / "responses.damaged" / first.relative_to(data / "responses")).read_bytes() == content
    assert responses("verify").exit_code == 0
    assert to_ask(data) == sorted(f"r{number}" for number in range(20))


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        ((), range(0)),
        (("--older-than", "0", "--dry-run"), range(0)),
        (("--older-than", "0"), range(20, 30)),
        (("--older-than", "0", "--latest"), [*range(10), *range(20, 30)]),
    ],
)
def test_what_no_materialisation_used_goes_when_it_is_old_enough(data, arguments, gone):
    result = responses("prune", *arguments)
    assert result.exit_code == 0
    assert to_ask(data) == sorted(f"r{number}" for number in gone)


def test_a_dry_run_says_what_pruning_does(data):
    assert "10 answers would go" in responses("prune", "--older-than", "0", "--dry-run").output
    assert "10 answers are gone" in responses("prune", "--older-than", "0").output
    assert "0 answers are gone" in responses("prune", "--older-than", "0").output


def test_nothing_goes_where_nothing_says_what_was_used(data):
    shutil.rmtree(data / "catalog")
    result = responses("prune", "--older-than", "0")
    assert result.exit_code == 1
    assert "none is removed" in result.output
    assert to_ask(data) == []
