"""`abilities`: the table of a round, and the exam of a taught student. A folder stands in for the training."""

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from infinity_assets.catalog.lake import Outcome
from infinity_assets.cli import main
from infinity_assets.defs.chat import abilities  # noqa: F401
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.inference.requests import GenerateRequest, Response
from infinity_assets.rows.ids import draw
from infinity_assets.runs.planner import PlannedStep
from infinity_assets.synthesis.diagnosis import ABILITIES
from infinity_assets_tests.defs.diagnosed_lake import SHARD, Stage, answers
from infinity_assets_tests.defs.steps import add_round, commit, reply, rows_of, stand_in_for_training

WEAK, STRONG = 20, 5
ROWS = answers(
    *((f"good:2 poor:1.5 number {n}", 4.0, ["law"] if n % 2 else ["math", "law"]) for n in range(WEAK)),
    *((f"good:4 poor:1.5 number {n}", 4.0, ["math"]) for n in range(WEAK, WEAK + STRONG)),
)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path, monkeypatch)
    monkeypatch.setenv("INFINITY_CHAT__DIAGNOSIS__DEFICIENCIES", "false")
    commit(made.lake, "answered", ROWS, SHARD)
    made.make("diagnosed", SHARD)
    return made


@pytest.fixture
def shown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
    """The rows that students were taught. A taught student answers with the worth that `Play.taught` sets."""
    rows: list[pl.DataFrame] = []

    def before(sample: pl.DataFrame, folder: Path) -> None:
        assert stage.engine.closed, "the engines were closed before"
        rows.append(sample)

    def answer(request) -> Response:
        if rows and isinstance(request, GenerateRequest) and request.prompt.startswith("student:"):
            return reply(f"worth {stage.play.taught} now")
        return stage.play(request)

    stage.engine.answer = answer
    stand_in_for_training(monkeypatch, before)
    monkeypatch.setenv("INFINITY_CHAT__DIAGNOSIS__TAUGHT__ENABLED", "true")
    return rows


def lines(outcome: Outcome) -> dict[str, dict]:
    return {row["ability"]: row for row in rows_of(outcome).iter_rows(named=True)}


def test_without_a_taught_student_the_later_gap_is_unknown_and_the_loop_goes_on(stage: Stage) -> None:
    asked = len(stage.engine.asked)
    outcome = stage.make("abilities")
    table = lines(outcome)
    assert outcome.rows.lazy().collect_schema() == ABILITIES
    assert not outcome.counted
    assert len(stage.engine.asked) == asked
    assert {name: (row["rows"], row["weak"]) for name, row in table.items()} == {
        "all": (25, 20),
        "law": (20, 20),
        "math": (15, 10),
    }
    assert table["all"]["gap"] == pytest.approx((20 * (4 - 1.75) + 5 * (4 - 2.75)) / 25)
    assert table["all"]["reference_score"] == pytest.approx(4.0)
    assert {(row["gap_after"], row["gain"], row["stop"]) for row in table.values()} == {(None, None, False)}
    assert outcome.measures["taught student"] == "none: chat.diagnosis.taught.enabled is false"
    assert outcome.charts["gap"]


def test_a_taught_student_is_compared_with_itself_on_held_out_rows(stage: Stage, shown: list[pl.DataFrame]) -> None:
    outcome = stage.make("abilities")
    rows = stage.lake.scan("diagnosed").collect().with_columns(lot=draw("held_out", ROWS.sort("row_id")["row_id"]))
    held = rows.filter("weak", pl.col("lot") < 0.3)
    assert 0 < held.height < WEAK
    assert set(shown[0]["row_id"]) == set(rows["row_id"]) - set(held["row_id"])
    table = lines(outcome)
    assert (table["all"]["held_out"], table["all"]["stop"]) == (held.height, False)
    assert table["all"]["gap_before"] == pytest.approx(2.0), "of the first student alone"
    assert table["all"]["gap_after"] == pytest.approx(-0.5)
    assert table["all"]["gain"] == pytest.approx(2.5)
    assert table["law"]["held_out"] == held.height
    assert sorted(path.name for path in (stage.lake.data / "taught" / "abilities").iterdir()) == [
        str(outcome.measures["taught student"]).rpartition("/")[2]
    ]


@pytest.mark.parametrize(
    ("worth", "min_gain", "stop"), [(2.0, 0.5, True), (1.0, 0.0, True), (2.0, 0.0, False), (3.0, 0.5, False)]
)
def test_the_loop_stops_if_the_gap_closed_too_little(
    stage: Stage, shown: list[pl.DataFrame], monkeypatch: pytest.MonkeyPatch, worth: float, min_gain: float, stop: bool
) -> None:
    stage.play.taught = worth
    monkeypatch.setenv("INFINITY_CHAT__DIAGNOSIS__MIN_GAIN", str(min_gain - 1e-6))
    monkeypatch.setenv("INFINITY_CHAT__ROUNDS", "2")
    table = lines(stage.make("abilities"))
    assert shown
    assert table["all"]["stop"] is stop
    assert table["all"]["seeds"] == (0 if stop else WEAK)
    assert not any(row["stop"] for name, row in table.items() if name != "all")


@pytest.fixture
def two_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_CHAT__ROUNDS", "2")
    add_round(2, monkeypatch)


def test_a_later_round_keeps_earlier_lines_and_teaches_the_answers_of_all_rounds(
    stage: Stage, two_rounds: None, shown: list[pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.play.taught = 3.0
    stage.make("abilities")
    first = stage.lake.scan("abilities").collect()
    assert first["seeds"][0] == WEAK
    again = ROWS.filter(pl.col("position") < 3)
    later = answers(*((f"good:2 poor:1 later {n}", 5.0, ["logic"]) for n in range(9)))
    commit(stage.lake, "answered_2", pl.concat([again, later]), SHARD)
    rows = rows_of(stage.make("diagnosed_2", SHARD))
    table = rows_of(stage.make("abilities_2"))
    assert table.filter(pl.col("round") == 1).equals(first)
    last = table.filter(pl.col("round") == 2)
    assert set(last["ability"]) == {"all", "law", "math", "logic"}
    assert set(last["seeds"]) == {0}, "no round follows"
    every = pl.concat([stage.lake.scan("diagnosed").collect(), rows]).unique("row_id")
    held = every.filter(pl.Series(draw("held_out", every["row_id"]) < 0.3) & pl.col("weak"))
    assert set(shown[1]["row_id"]) == set(every["row_id"]) - set(held["row_id"]), (
        "a row that came twice is held out twice"
    )
    assert shown[1]["row_id"].is_unique().all()


def test_a_stopped_loop_stays_stopped(
    stage: Stage, two_rounds: None, shown: list[pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFINITY_CHAT__DIAGNOSIS__MIN_GAIN", "4")
    assert lines(stage.make("abilities"))["all"]["stop"] is True
    commit(stage.lake, "answered_2", ROWS.head(0), SHARD)
    stage.make("diagnosed_2", SHARD)
    table = rows_of(stage.make("abilities_2"))
    assert table.filter("stop").select("round", "ability").rows() == [(1, "all")]
    assert table.filter(pl.col("round") == 2).select("ability", "rows", "stop").rows() == [("all", 0, False)]
    assert "Round 1: the loop stops here" in CliRunner().invoke(main, ["abilities"], catch_exceptions=False).output


def test_a_plan_trains_nothing(stage: Stage, shown: list[pl.DataFrame]) -> None:
    assert (Step.trains, PlannedStep.trains) == (True, False)
    table = lines(stage.make("abilities", trains=False))
    assert shown == []
    assert table["all"]["gap_after"] is None
    assert table["all"]["stop"] is False


def test_a_student_on_a_server_cannot_be_taught(
    stage: Stage, shown: list[pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "INFINITY_MODELS__STUDENTS", '[{"name": "good", "model": {"backend": "openai", "model": "far"}}]'
    )
    with pytest.raises(
        InfinityError, match=r"`chat.diagnosis.taught` trains the student good, whose weights must be here"
    ):
        stage.make("abilities")


def test_the_command_shows_the_last_round(stage: Stage) -> None:
    assert "There is no diagnosis yet" in CliRunner().invoke(main, ["abilities"]).output
    stage.make("abilities")
    said = CliRunner().invoke(main, ["abilities"], catch_exceptions=False).output
    for word in ("Round 1", "student good", "law", "2.05", "No student is taught"):
        assert word in said
