"""`diagnosed` with scripted students and a scripted judge: weak rows, calls per row, and the judge's position bias."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat import diagnosed  # noqa: F401
from infinity_assets.defs.chat.rounds import DIAGNOSED
from infinity_assets_tests.defs.diagnosed_lake import SHARD, Stage, answers
from infinity_assets_tests.defs.steps import commit, decisions_of, rows_of

ROWS = answers(
    ("good:2 poor:1.5", 4.0, ["law"]),
    ("good:4 poor:1.5", 4.0, ["law"]),
    ("good:2 poor:nothing", 5.0, ["math"]),
    ("good:nothing poor:nothing", 5.0, ["math"]),
    ("good:unreadable poor:2", 5.0, ["math"]),
)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path, monkeypatch)
    commit(made.lake, "answered", ROWS, SHARD)
    return made


def told(outcome: Outcome) -> dict[int, dict]:
    return {row["position"]: row for row in rows_of(outcome).iter_rows(named=True)}


def test_rows_on_which_all_students_score_low_are_weak(stage: Stage) -> None:
    outcome = stage.make("diagnosed", SHARD)
    rows = told(outcome)
    assert outcome.rows.lazy().collect_schema() == DIAGNOSED
    assert {n: row["weak"] for n, row in rows.items()} == {0: True, 1: False, 2: True, 3: True, 4: None}
    scores = {
        n: [(s["score"], s["reference_score"], s["error"]) for s in row["student_scores"]] for n, row in rows.items()
    }
    assert scores[0] == [(pytest.approx(2.0), pytest.approx(4.0), None), (pytest.approx(1.5), pytest.approx(4.0), None)]
    assert scores[2][1] == scores[3][0] == (1.0, None, None), "who wrote nothing scores 1"
    assert scores[4][0] == (None, pytest.approx(5.0), "no_logprobs")
    assert {n for n, row in rows.items() if row["deficiency"]} == {0, 2}, (
        "of an answer that is not there, nothing can be said"
    )
    assert rows[0]["deficiency"] == "all that 2 answers need."
    weak = {row["row_id"] for row in rows.values() if row["weak"]}
    assert (outcome.rows_in, set(decisions_of(outcome)["row_id"])) == (5, weak)
    assert outcome.measures["rows without a score of a student"] == 1


def test_the_number_of_calls_per_row(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.make("diagnosed", SHARD)
    written, weak = 2 * 5 - 3, 2
    # The empty answers are asked for once more.
    assert (stage.asked("student:"), stage.asked("judge_pair"), stage.asked("find_deficiency")) == (
        2 * 5 + 3,
        4 * written,
        weak,
    )
    stage.engine.asked.clear()
    monkeypatch.setenv("INFINITY_CHAT__DIAGNOSIS__SWAP", "false")
    monkeypatch.setenv("INFINITY_CHAT__DIAGNOSIS__DEFICIENCIES", "false")
    outcome = stage.make("diagnosed", SHARD)
    assert stage.engine.asked == [], "one order is among both"
    assert rows_of(outcome)["deficiency"].null_count() == 5
    assert outcome.measures["position bias of the judge, points"] is None


def test_both_questions_about_a_pair_share_all_but_their_last_word(stage: Stage) -> None:
    stage.make("diagnosed", SHARD)
    asked = {
        request.messages[-1]["content"]  # pyrefly: ignore[missing-attribute]
        for request in stage.engine.asked
        if request.prompt == "judge_pair.en"
    }
    assert {text.removesuffix("A:") for text in asked if text.endswith("A:")} == {
        text.removesuffix("B:") for text in asked if text.endswith("B:")
    }


def test_position_bias_of_the_judge_is_measured_and_averaged_out(stage: Stage) -> None:
    stage.play.bias = 0.5
    outcome = stage.make("diagnosed", SHARD)
    (good, _), rows = told(outcome)[0]["student_scores"], told(outcome)
    assert (good["score"], good["reference_score"]) == (pytest.approx(2.25), pytest.approx(4.25))
    bias = outcome.measures["position bias of the judge, points"]
    assert isinstance(bias, float)
    assert 0 < bias <= 0.5, "a grade of 5 can rise no more"
    assert rows[1]["weak"] is False


def test_an_empty_input_gives_an_empty_table(stage: Stage) -> None:
    commit(stage.lake, "answered", ROWS.head(0), SHARD)
    outcome = stage.make("diagnosed", SHARD)
    assert rows_of(outcome).equals(pl.DataFrame(schema=DIAGNOSED))
    assert stage.engine.asked == []
