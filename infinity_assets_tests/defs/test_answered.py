"""`answered` with a scripted generator, judge and reward model: best-of-n, and a decision for every answer."""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from infinity_assets import sandbox
from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.chat import answered  # noqa: F401
from infinity_assets.defs.chat.rounds import ANSWERED, EVOLVED
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest, Response, RewardRequest
from infinity_assets.rows import schema
from infinity_assets.rows.frames import conform
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import Answering, Chat
from infinity_assets.settings.models import Models, RewardSpec
from infinity_assets_tests.defs.steps import commit, decisions_of, outcome_of, reply, rows_of
from infinity_assets_tests.frames import asked
from infinity_assets_tests.inference.doubles import ScriptedEngine

CODE = "```python\ndef double(x):\n    return {}\n```"
WRITTEN = {
    "Why is the sea salty?": [
        "Rivers bring salt to it.",
        "Rocks give their salt to the rain, and rivers bring it.",
        "Fish.",
    ],
    "How do bees find flowers?": ["They smell and see them.", "They smell and see them.", "I cannot help with that."],
    "Who built the bridge?": ["I cannot answer that.", "", "Please provide the name of the bridge."],
    "Write double(x): double(2) -> 4": [CODE.format("x + 3"), CODE.format("2 * x"), CODE.format("x + x")],
    "What is a fjord?": [
        "A bay between cliffs.",
        "A bay that a glacier has cut.",
        "A long bay between high cliffs that a glacier has cut.",
    ],
}
"""The answers of each draw, by question."""


@dataclass
class Trial:
    """A lake with instructions, and the requests to its engine."""

    lake: Lake
    asked: list = field(default_factory=list)
    engines: EnginePool | None = None

    def __call__(self, request) -> Response:
        self.asked.append(request)
        if isinstance(request, RewardRequest):
            text = request.messages[-1]["content"]
            return Response(
                reward=None if text == "A bay between cliffs." else float(len(text)), error=None, prompt_tokens=3
            )
        assert isinstance(request, GenerateRequest)
        if request.choices:
            long = len(request.messages[-1]["content"]) % 7 + 1
            shares = tuple(math.log(weight / (long + 4)) for weight in (1, 1, 1, 1, long))
            return reply("3", choice_logprobs=shares)
        return reply(WRITTEN[request.messages[-1]["content"]][request.index])

    def make(self, models: Models = Models(), **answering: object) -> Outcome:
        now = Settings(shards=1, models=models, chat=Chat(answering=Answering.model_validate(answering)))
        return outcome_of("answered", self.lake, now, "shard-00", self.engines)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    made = Trial(Lake(tmp_path))
    rows = add_row_ids(asked(*WRITTEN).to_frame()).with_columns(
        pl.lit(value).alias(name)
        for name, value in {
            "source": "synthetic:g", "licence": "MIT", "domain": "chat", "language": "en", "kind": "instruction", "operation": "evolve", "round": 1,
        }.items()
    )  # fmt: skip
    rows = rows.with_columns(parents=pl.concat_list("row_id"))
    commit(made.lake, "evolved", conform(rows, EVOLVED, fill=True), "shard-00")
    made.engines = ScriptedEngine(made).pool()
    return made


def by_question(rows: pl.DataFrame) -> dict[str, dict]:
    return {row["messages"][0]["content"]: row for row in rows.iter_rows(named=True)}


def balanced(outcome: Outcome) -> bool:
    assert outcome.rows_in is not None
    assert outcome.rows_created is not None
    dropped = decisions_of(outcome).filter(pl.col("verdict") == "dropped").height
    return outcome.rows_in + outcome.rows_created == rows_of(outcome).height + dropped


REWARD = Models(reward=RewardSpec(model="scripted"))


@pytest.mark.parametrize("models", [Models(), REWARD])
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("accept", [0, 2])
def test_every_answer_is_kept_or_has_a_decision(trial: Trial, models: Models, samples: int, accept: int) -> None:
    outcome = trial.make(models, samples=samples, accept=accept)
    assert rows_of(outcome).schema == ANSWERED
    assert balanced(outcome)
    assert decisions_of(outcome).select("verdict", "reason", "detail").null_count().row(0) == (0, 0, 0)
    tried = {
        request.messages[-1]["content"]
        for request in trial.asked
        if isinstance(request, GenerateRequest) and request.prompt == "answer"
    }
    written = [text for question in tried for text in WRITTEN[question][:samples] if text]
    assert outcome.rows_created == len(written)
    if accept:
        assert rows_of(outcome).height == accept
    assert outcome.edges.schema == schema.EDGES
    kept = rows_of(outcome).select("row_id", pl.col("parents").list.first())
    assert (
        kept.join(outcome.edges, left_on="row_id", right_on="child_id")
        .filter(pl.col("parents") != pl.col("parent_id"))
        .is_empty()
    )
    assert {*kept["row_id"]} <= {*outcome.edges["child_id"]}


def test_the_answer_with_the_best_reward_is_kept(trial: Trial) -> None:
    outcome = trial.make(REWARD, samples=3)
    rows = by_question(rows_of(outcome))
    sea = rows["Why is the sea salty?"]
    assert sea["messages"][-1]["content"] == "Rocks give their salt to the rain, and rivers bring it."
    assert sea["reward"] == len(sea["messages"][-1]["content"])
    assert 1 <= sea["answer_score"] <= 5
    assert sea["rejected"] == {"answer": "Fish.", "score": 5.0, "by": "reward"}
    bees = rows["How do bees find flowers?"]
    assert (bees["messages"][-1]["content"], bees["rejected"]) == ("They smell and see them.", None)
    # One of its answers has no reward: the judge decides between all of them.
    assert rows["What is a fjord?"]["rejected"]["by"] == "judge"
    assert "Who built the bridge?" not in rows
    lost = decisions_of(outcome).filter(pl.col("source").str.starts_with("synthetic:smol"))
    assert Counter(lost["reason"]) == Counter(
        {"worse_answer": 5, "copy_of_another": 1, "shirking": 2, "asks_back": 1, "fails_its_tests": 1}
    )
    worse = [json.loads(detail) for detail in lost.filter(pl.col("reason") == "worse_answer")["detail"]]
    assert all(line["score"] <= line["best_score"] and line["winner"] for line in worse)
    returned = decisions_of(outcome).filter(pl.col("reason") == "returned_to_pool")
    assert [json.loads(detail)["why"] for detail in returned["detail"]] == ["asks_back"]


def test_only_usable_answers_are_graded_and_only_once(trial: Trial) -> None:
    trial.make(REWARD, samples=3)
    judged = [request for request in trial.asked if isinstance(request, GenerateRequest) and request.choices]
    rewarded = [request for request in trial.asked if isinstance(request, RewardRequest)]
    # Of fifteen, one is empty, three are degenerate, one fails its test, one is a copy.
    assert len(judged) == len(rewarded) == 15 - 6


def test_the_judge_can_decide_although_there_are_rewards(trial: Trial) -> None:
    outcome = trial.make(REWARD, samples=3, best_by="judge")
    assert {row["by"] for row in rows_of(outcome)["rejected"].drop_nulls()} == {"judge"}
    for row in rows_of(outcome).filter(pl.col("rejected").is_not_null()).iter_rows(named=True):
        assert row["answer_score"] > row["rejected"]["score"]
    assert rows_of(outcome)["reward"].count() >= 2


def test_a_program_that_fails_its_example_is_dropped_unless_execution_is_off(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = "Write double(x): double(2) -> 4"
    outcome = trial.make(samples=1)
    assert question not in by_question(rows_of(outcome))
    assert "| failed | 1 |" in outcome.charts["executions"]
    outcome = trial.make(samples=1, execute=False)
    assert by_question(rows_of(outcome))[question]["execution"] is None
    refusal = sandbox.Verdict("refused", f"{sandbox.NOT_RUN}no Landlock", 0.0)
    monkeypatch.setattr(sandbox, "run", lambda programs, limits: [refusal for _ in programs])
    outcome = trial.make(samples=1)
    assert by_question(rows_of(outcome))[question]["execution"] is None
    assert (outcome.measures["programs not run"], outcome.measures["reason for not running"]) == (1, refusal.reason)


def test_the_page_shows_the_gain_of_several_answers(trial: Trial) -> None:
    outcome = trial.make(REWARD, samples=3)
    gain = outcome.measures["best of several, gain by reward"]
    assert isinstance(gain, float)
    assert gain > 0
    assert outcome.measures["answers drawn"] == 15
    assert "| shirking | 2 |" in outcome.charts["answers by class"]
