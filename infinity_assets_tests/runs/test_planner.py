"""Plans of the sample sources, compared with the run that follows, on a scripted engine."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake
from infinity_assets.inference.engines.embedder import Reading
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import CompleteRequest, Request, Response, ScoreRequest
from infinity_assets.reading.pool import Pool
from infinity_assets.runs.observed_cost import actual_usage
from infinity_assets.runs.plan import Plan
from infinity_assets.runs.plan_report import as_json, recompute_lines
from infinity_assets.runs.planner import Planner
from infinity_assets.scoring.labels import ABILITIES
from infinity_assets.settings import Settings
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.inference.doubles import ScriptedEngine
from infinity_assets_tests.project import PROJECT

pytestmark = pytest.mark.graph

SETTINGS = {
    "SHARDS": 2,  # the other two stay empty
    "SCORING__MAX_ROWS": 200,
    "CHAT__SEEDS__MAX_SEEDS": 100,
    "CHAT__EVOLUTION__ELIMINATION__MIN_SIMILARITY": -1,
    "CHAT__CONVERSATIONS__SHARE": 1,
}


def lot(text: str, among: int) -> int:
    """Draw a number below `among` by the text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) % among


def scripted(request: Request) -> Response:
    """Answer a request like a model: prompt tokens follow the length, and answer tokens are random."""
    if isinstance(request, ScoreRequest):
        text = "".join(turn["content"] for turn in request.context) + request.answer
        tokens = max(1, len(request.answer) // 4)
        loss = -tokens * (1 + lot(text, 100) / 100)
        read = 8 + len(text) // 4
        return Response(None, "scored", read, sum_logprob=loss, answer_tokens=tokens, seconds=0.1)
    if isinstance(request, CompleteRequest):
        pair = "<QUE> What is it about? <ANS> About that. </END>\n\n<QUE> Is it true? <ANS> Yes, it is. </END>"
        return written(pair, len(request.text) // 4, 30)
    text = request.messages[-1]["content"]
    read = 12 + len(text) // 4
    if request.choices:
        weights = np.array([1.0 + lot(text + choice, 9) for choice in request.choices])
        weights[0] *= 0.3
        logprobs = tuple(np.log(weights / weights.sum()).tolist())
        return written(request.choices[int(np.argmax(weights))], read, 1, choice_logprobs=logprobs)
    if request.schema and "ability" in request.schema["properties"]:
        labels = [f"label {chr(97 + lot(text, 20))}", f"thing {chr(97 + lot(text[::-1], 20))}", "common"]
        answer = json.dumps({"ability": labels[: 1 + lot(text, 3)]})
    elif request.schema:
        answer = json.dumps({"cate_ability": [list(ABILITIES)[lot(text, 5)]]})
    elif request.prompt.startswith(("evolve", "request")):
        answer = f"Explain with an example how number {lot(text, 10**6)} comes about, and why."
        if lot(text, 4) == 0:  # one rewrite in four adds nothing and is rejected
            answer = "Same."
    elif request.prompt.startswith("play_user"):
        answer = f"How would number {lot(text, 10**6)} come about with {lot(text, 50)} more of it?"
    else:
        answer = f"It comes about by adding {lot(text, 100)} to what was there before, which is simple. "
        answer *= 1 + lot(text, 3)
    return written(answer, read, 20 + lot(text, 60))


def written(text: str, read: int, tokens: int, **more: Any) -> Response:
    return Response(text=text, finish_reason="stop", prompt_tokens=read, completion_tokens=tokens, seconds=0.1, **more)


class ChanceEmbedder:
    """An embedder with random vectors that depend on the text alone."""

    width = 32

    def read(self, texts: Sequence[str]) -> Reading:
        return Reading(np.zeros(len(texts), bool), np.zeros(len(texts), np.float32))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        seeds = (np.random.default_rng(lot(text, 2**32)) for text in texts)
        vectors = np.array([seed.normal(size=32) for seed in seeds], dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def close(self) -> None: ...


class Trial:
    """A data folder with the decontaminated sample sources, and a scripted engine."""

    def __init__(self, graph: Graph):
        self.graph, self.data = graph, graph.data
        self.engine = ScriptedEngine(scripted)
        self.engines = EnginePool(Path(), lambda spec, models: self.engine, lambda spec, models: ChanceEmbedder())
        graph.use(self.engines)
        self.pool = Pool(sources=PROJECT / "data" / "sources", benchmarks=PROJECT / "data" / "benchmarks")
        self.pool.save(self.data)

    def plan(self, until: str | None = None, size: int = 60, offline: bool = False) -> Plan:
        return Planner(self.data, self.pool, Settings(), size, offline, self.engines).make(until)

    def files(self) -> dict[str, bytes]:
        """Return the files of the data folder, without the response store."""
        files = [*(self.data / "lake").rglob("*"), *(self.data / "catalog").rglob("*")]
        return {str(file): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with pytest.MonkeyPatch.context() as patch:
        trial = Trial(Graph(tmp_path_factory.mktemp("plan"), patch, SETTINGS))
        trial.graph.make("decontaminated")
        yield trial


@pytest.fixture(scope="module")
def first(trial: Trial) -> tuple[Plan, dict[str, bytes], dict[str, bytes]]:
    """The first plan, and the lake before and after planning."""
    before = trial.files()
    return trial.plan(), before, trial.files()


@pytest.fixture(scope="module")
def finished(trial: Trial, first: tuple[Plan, dict, dict]) -> Trial:
    """The data folder after the first plan and a run."""
    trial.graph.make()
    return trial


def test_a_plan_without_a_pool_names_the_missing_assets(trial: Trial, tmp_path: Path) -> None:
    plan = Planner(tmp_path, trial.pool, Settings(), 10).make()
    assert set(plan.reasons) >= {"raw_pool", "decontaminated", "scored", "release"}
    found = {reason.kind for parts in plan.reasons.values() for reasons in parts.values() for reason in reasons}
    assert found == {"new"}
    assert any("never materialized (4 partitions)" in line for line in recompute_lines(plan))
    assert "`infinity run --until decontaminated`" in plan.notes[0]
    assert all(asset.calls is None for asset in plan.assets)


def test_planning_does_not_change_the_lake(trial: Trial, first: tuple[Plan, dict, dict]) -> None:
    _, before, after = first
    assert before == after
    assert list((trial.data / ".scratch").glob("*")) == []


def test_the_sample_asks_no_more_than_its_size(trial: Trial, first: tuple[Plan, dict, dict]) -> None:
    by_asset = {asset.asset: asset for asset in first[0].assets}
    assert len(by_asset["tagged"].asked) <= 60
    assert len(by_asset["scored"].asked) <= 5 * 60
    assert first[0].sample_calls == sum(len(asset.asked) for asset in first[0].assets)


def test_the_plan_is_close_to_the_actual_usage(finished: Trial, first: tuple[Plan, dict, dict]) -> None:
    plan = as_json(first[0])
    actual = actual_usage(finished.data, plan)
    actual = actual.with_columns(to_make="calls")
    for name in ("to_make", "prompt_tokens", "completion_tokens"):
        assert plan["total"][name]["value"] == pytest.approx(actual[name].sum(), rel=0.1)
    by_asset = {row["asset"]: row for row in actual.iter_rows(named=True)}
    for asset in plan["assets"]:
        used = by_asset[asset["asset"]]
        if asset["asset"] in ("tagged", "scored"):
            # All requests are known, so their number is exact.
            assert asset["to_make"]["value"] == used["calls"]
            assert asset["prompt_tokens"]["value"] == pytest.approx(used["prompt_tokens"], rel=0.02)
        elif used["calls"]:
            assert asset["to_make"]["value"] == pytest.approx(used["calls"], rel=0.25)


def test_calls_of_the_sample_are_reused_by_the_run(finished: Trial, first: tuple[Plan, dict, dict]) -> None:
    """No call of the sample is wasted, because the run needs it too."""
    asked = {asset.asset: set(asset.asked) for asset in first[0].assets}
    for name in ("tagged", "scored"):
        files = (finished.data / "catalog" / "generations" / name).rglob("*.parquet")
        assert asked[name] <= set(pl.read_parquet(list(files))["request_key"])


def test_a_plan_without_changes_makes_no_call(finished: Trial) -> None:
    asked = len(finished.engine.asked)
    again = finished.plan()
    assert again.reasons == {}
    assert again.assets == ()
    assert len(finished.engine.asked) == asked


def test_a_changed_setting_names_its_assets_and_counts_stored_answers(
    finished: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFINITY_CHAT__DIAGNOSIS__WEAK_BELOW", "2.5")
    asked = len(finished.engine.asked)
    changed = finished.plan()
    assert list(changed.reasons) == ["diagnosed", "abilities", "conversed", "inf_instruct_g", "preferences", "release"]
    assert {str(reason) for reasons in changed.reasons["diagnosed"].values() for reason in reasons} == {
        "settings changed: chat.diagnosis.weak_below: 3.0 -> 2.5"
    }
    assert {str(reason) for reason in changed.reasons["inf_instruct_g"]["all"]} == {
        "input is materialized again and may change: conversed (4 partitions)"
    }
    diagnosed = changed.assets[0]
    assert diagnosed.calls
    assert diagnosed.to_make
    assert (diagnosed.to_make.value, diagnosed.stored) == (0, diagnosed.calls.value)
    assert len(finished.engine.asked) == asked, "everything was stored"


def test_a_new_sampling_of_answers_is_planned_from_the_present_rows(
    finished: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFINITY_CHAT__ANSWERING__SAMPLING__TEMPERATURE", "0.6")
    plan = {asset.asset: asset for asset in finished.plan("answered", size=20).assets}
    rows = Lake(finished.data).scan("evolved").collect().height
    assert list(plan) == ["answered"]
    answered = plan["answered"]
    assert answered.rows
    assert answered.rows.value == rows
    assert {stage.prompt: stage.to_make.value for stage in answered.stages}["answer"] == rows


def test_synthesis_from_texts_is_planned_before_the_pool_contains_it(
    finished: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFINITY_FROM_TEXT__MAX_TEXTS", "6")
    monkeypatch.setenv("INFINITY_MODELS__GENERATOR__BACKEND", "openai")  # needs no tokenizer
    plan = finished.plan("tagged", size=3)
    texts = plan.assets[0]
    assert texts.asset == "synthesized_from_text"
    assert set(plan.reasons["synthesized_from_text"]) == set(plan.reasons["fingerprints"])
    assert texts.calls
    assert texts.rows
    assert (texts.calls.value, texts.rows.value, len(texts.asked)) == (6, 6, 3)
    assert any("the plan uses the present pool" in note for note in plan.notes)


def test_a_new_source_is_planned_with_the_present_pool(finished: Trial, tmp_path: Path) -> None:
    for folder in finished.pool.source_folders().values():
        (tmp_path / folder.name).symlink_to(folder)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").write_text("Rain fills the pond, and the frogs come back to it in the evening.")
    pool = finished.pool.model_copy(update={"sources": tmp_path})
    plan = Planner(finished.data, pool, Settings(), 10, engines=finished.engines).make("tagged")
    assert "new" in plan.reasons["synthesized_from_text"]
    assert [asset.asset for asset in plan.assets] == ["tagged"]
    assert any("the plan uses the present pool" in note for note in plan.notes)


def test_an_offline_plan_makes_no_call(finished: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_SCORING__MAX_ROWS", "240")
    asked = len(finished.engine.asked)
    plan = {asset.asset: asset for asset in finished.plan(offline=True).assets}
    assert len(finished.engine.asked) == asked
    tagged = plan["tagged"]
    assert tagged.rows
    assert tagged.rows.value == 240
    assert tagged.to_make
    assert 36 <= tagged.to_make.value <= 40, "some instructions occur twice"
    assert tagged.prompt_tokens
    assert tagged.prompt_tokens.value > 0, "by the stored answers of the same prompt"


def test_an_offline_plan_uses_the_rows_of_the_last_run(finished: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_CHAT__EVOLUTION__SAMPLING__TEMPERATURE", "0.9")
    plan = {asset.asset: asset for asset in finished.plan(offline=True).assets}
    lake = Lake(finished.data)
    assert list(plan) == ["evolved", "answered", "diagnosed", "abilities", "conversed", "inf_instruct_g", "preferences"]
    for source, name in pairwise(("seed_selected", "evolved", "answered", "diagnosed", "conversed")):
        rows = plan[name].rows
        assert rows
        assert rows.value == lake.scan(source).collect().height
    evolving = next(stage for stage in plan["evolved"].stages if stage.prompt.startswith("evolve"))
    assert evolving.completion_tokens
    per_call = evolving.completion_tokens.value / evolving.to_make.value
    assert per_call == pytest.approx(50, rel=0.3), "as at the other temperature"
