"""`scored` with a scripted engine: every score is a finite number, or null with a reason."""

import json
import math
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.inference.requests import GenerateRequest, Response, RewardRequest, ScoreRequest
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.inference.doubles import ScriptedEngine

QUESTIONS = [
    "Why does bread rise?",
    "What do moles eat?",
    "Who invented the zip?",
    "How deep is a fjord?",
    "What is a delta?",
    "How old are oaks?",
]
REASONS = {
    "quality": "quality_error",
    "complexity": "complexity_error",
    "reward": "reward_error",
    "ifd": "likelihood_error",
    "ifd_perplexity": "likelihood_error",
    "loss": "likelihood_error",
    "ic_ifd": "ic_ifd_error",
    "depth": "depth_error",
}


def answer(request) -> Response:
    """Answer without log-probabilities about bread, with infinite numbers about moles, and with NaN about the zip."""
    text = str(request)
    odd = math.inf if "moles eat" in text else math.nan if "invented the zip" in text else None
    match request:
        case RewardRequest():
            return Response(reward=-2.5 if odd is None else odd, prompt_tokens=3)
        case ScoreRequest():
            return Response(
                sum_logprob=-4.0 - len(request.context) if odd is None else odd, answer_tokens=2, prompt_tokens=3
            )
        case GenerateRequest(choices=None):
            return Response(text=json.dumps({"ability": ["some label"]}), finish_reason="stop")
    shares = None if "does bread rise" in text else tuple([math.log(0.2)] * 5 if odd is None else [odd] * 5)
    return Response(text="4", finish_reason="stop", prompt_tokens=3, completion_tokens=1, choice_logprobs=shares)


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    graph = Graph(tmp_path, monkeypatch, {"SHARDS": 1})
    turns = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": f"I looked up {q[4:-1]}."}] for q in QUESTIONS
    ]
    graph.source("questions", ({"messages": messages} for messages in turns))
    (graph.data / "benchmarks").mkdir()
    return graph


def scored(graph: Graph) -> tuple[pl.DataFrame, list]:
    """Return the table sorted by question, and the requests."""
    engine = ScriptedEngine(answer)
    graph.use(engine.pool())
    graph.make("scored")
    asked = graph.lake.scan("decontaminated").select(
        "row_id", question=pl.col("messages").list.first().struct.field("content")
    )
    return graph.lake.scan("scored").join(asked, on="row_id").collect().sort("question"), engine.asked


def test_a_score_is_finite_or_null_with_a_reason(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_MODELS__REWARD__MODEL", "scripted")
    table, asked = scored(graph)
    for score, reason in REASONS.items():
        assert table.filter(pl.col(score).is_null() != pl.col(reason).is_not_null()).is_empty()
        assert table.drop_nulls(score)[score].is_finite().all()
    told = {line["question"]: line for line in table.iter_rows(named=True)}
    good, moles, zips, bread = (told[question] for question in (QUESTIONS[3], QUESTIONS[1], QUESTIONS[2], QUESTIONS[0]))
    assert (good["quality"], good["quality_text"], good["reward"], good["loss"]) == (pytest.approx(3.0), "4", -2.5, 2.5)
    for odd in (moles, zips):
        assert {odd[reason] for reason in ("reward_error", "likelihood_error")} == {"not_finite"}
        assert odd["quality_error"] == "no_logprobs"
    assert (bread["quality"], bread["quality_text"], bread["quality_error"]) == (4.0, "4", None)
    manifest = graph.lake.manifest("scored", graph.lake.partitions("scored")[0])
    assert manifest
    assert manifest.measures["choices without log-probabilities"] == 2
    rewarded = [request for request in asked if isinstance(request, RewardRequest)]
    assert len(rewarded) == len(QUESTIONS)
    assert all(len(request.messages) == 2 for request in rewarded), "the whole conversation"


def test_rewards_need_a_reward_model_and_cover_the_sample(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = scored(graph)
    assert set(table["reward_error"]) == {"no_reward_model"}
    monkeypatch.setenv("INFINITY_MODELS__REWARD__MODEL", "scripted")
    monkeypatch.setenv("INFINITY_SCORING__MAX_ROWS", "2")
    table, asked = scored(graph)
    assert sum(isinstance(request, RewardRequest) for request in asked) == 2
    for reason in set(REASONS.values()):
        assert (table[reason] == "not_sampled").sum() == len(QUESTIONS) - 2
