"""The weak-domain loop over several runs, with a scripted model that improves and a folder in place of a proxy."""

import json
import math
import re
import shutil
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from click.testing import CliRunner

from infinity_assets.catalog.lake import ALL
from infinity_assets.cli import main
from infinity_assets.defs.foundation import domain_budget, domain_scores, proxy  # noqa: F401
from infinity_assets.defs.materialize import materialize
from infinity_assets.defs.registry import find, needed_by
from infinity_assets.inference.requests import GenerateRequest, Response, ScoreRequest
from infinity_assets.reading.benchmarks import read_benchmark
from infinity_assets.reading.pool import Pool
from infinity_assets.runs import planner
from infinity_assets.runs.planner import Planner
from infinity_assets.settings import Settings
from infinity_assets.training import proxy as training
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.defs.steps import commit, reply, stand_in_for_training
from infinity_assets_tests.frames import pool
from infinity_assets_tests.inference.doubles import ScriptedEngine

HUMANEVAL = {
    "prompt": "def add(one, other):\n    # The sum.\n",
    "entry_point": "add",
    "canonical_solution": "    return one + other\n",
    "test": "def check(candidate):\n    assert candidate(2, 3) == 5\n",
}


class Pupil:
    """A scripted model that solves the first `knows` sums, chooses A, writes one program, and else answers briefly."""

    def __init__(self) -> None:
        self.knows = 0

    def __call__(self, request) -> Response:
        if isinstance(request, ScoreRequest):
            return Response(sum_logprob=-4.0 - len(request.context), answer_tokens=2, prompt_tokens=3)
        assert isinstance(request, GenerateRequest)
        text = request.messages[-1]["content"]
        if request.choices:
            shares = tuple([math.log(1 / len(request.choices))] * len(request.choices))
            return reply(request.choices[0], choice_logprobs=shares)
        if request.schema:
            return reply(json.dumps({"ability": "other", "labels": ["some label"]}))
        if found := re.search(r"Sum (\d+): what is (\d+) plus (\d+)", text):
            number, one, other = map(int, found.groups())
            return reply(f"Answer: {one + other if number < self.knows else 0}")
        if "def add" in text:
            return reply("```python\ndef add(one, other):\n    return one + other\n```")
        return reply("It is so, and here is why.")


class Trial:
    """A small data folder with the assets of the loop alone."""

    def __init__(self, graph: Graph):
        self.graph, self.data, self.lake, self.pupil = graph, graph.data, graph.lake, Pupil()
        self.engine = ScriptedEngine(self.pupil)
        graph.use(self.engine.pool())

    def materialize_one(self, asset: str, force: bool) -> None:
        """Materialize an asset like a run does."""
        list(materialize(find(asset), self.lake, Pool.load(self.data), self.graph.models, [ALL], uuid4().hex, force))

    def run(self, until: str = "domain_budget", force: bool = False) -> pl.DataFrame:
        """Make the budget and return it. F holds the first rows of each domain, by quota."""
        self.materialize_one("domain_scores", force)
        self.materialize_one("domain_budget", force)
        budget = self.lake.scan("domain_budget").collect()
        if until == "proxy":
            rows = self.lake.scan("decontaminated").collect().join(budget.select("domain", "quota"), on="domain")
            commit(self.lake, "inf_instruct_f", rows.filter(pl.int_range(pl.len()).over("domain") < pl.col("quota")))
            self.materialize_one("proxy", force)
        return budget

    def scores(self) -> dict[tuple[str, str], dict]:
        return {
            (row["role"], row["benchmark"]): row
            for row in self.lake.scan("domain_scores").collect().iter_rows(named=True)
        }


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    settings = {
        "SHARDS": 4,
        "FOUNDATION__LOOP__ITEMS": 20,
        "FOUNDATION__KEEP_SHARE": '{"math": 0.2, "code": 0.5, "knowledge": 0.5, "chat": 0.5}',
    }
    graph = Graph(tmp_path, monkeypatch, settings)
    talks = [{"messages": [{"role": "user", "content": f"Tell of field {n}, please."}, {"role": "assistant", "content": f"It is green {n}."}]}
             for n in range(30)]  # fmt: skip
    graph.source("fields", talks, name="fields", domain="math", licence="MIT")
    sums = [{"question": f"Sum {n}: what is {n} plus {n + 7}?", "answer": f"#### {2 * n + 7}"} for n in range(20)]
    graph.benchmark("gsm8k_test", sums, name="gsm8k_test", domain="math")
    graph.benchmark("humaneval", [HUMANEVAL], name="humaneval", domain="code")
    graph.benchmark("talk", [{"prompt": "Tell me of the sea."}], name="talk", domain="chat")
    made, data = Trial(graph), graph.data
    commit(
        made.lake,
        "benchmarks",
        pl.concat([read_benchmark(folder).items for folder in sorted((data / "benchmarks").iterdir())]),
    )
    rows = pool(
        *(
            ("fields", "rows.jsonl", n, [(turn["role"], turn["content"]) for turn in talk["messages"]])
            for n, talk in enumerate(talks)
        )
    )
    commit(made.lake, "decontaminated", rows.with_columns(domain=pl.lit("math")))
    return made


def of(budget: pl.DataFrame, domain: str) -> dict:
    return budget.filter(pl.col("domain") == domain).row(0, named=True)


def test_new_scores_lead_to_a_turn(trial: Trial) -> None:
    trial.pupil.knows = 5
    budget, scores = trial.run(), trial.scores()
    sums = scores["tested", "gsm8k_test"]
    assert (sums["kind"], sums["items"], sums["answered"], sums["score"]) == ("exact_match", 20, 20, 0.25)
    assert sums["stderr"] == pytest.approx(math.sqrt(0.25 * 0.75 / 19))
    assert (scores["tested", "humaneval"]["kind"], scores["tested", "humaneval"]["score"]) == ("code_execution", 1.0)
    assert (scores["tested", "talk"]["score"], scores["tested", "talk"]["error"]) == (
        None,
        "no item has an answer that a rule can check",
    )
    assert {key: row["score"] for key, row in scores.items() if key[0] == "reference"} == {
        ("reference", "gsm8k_test"): 0.571, ("reference", "humaneval"): 0.481,
    }  # fmt: skip
    math_line = of(budget, "math")
    factor = 1 + 0.5 * (0.571 - 0.25) / 0.571
    assert (math_line["turn"], math_line["available"], math_line["factor"]) == (1, 30, pytest.approx(factor))
    assert math_line["quota"] == math.ceil(30 * 0.2 * factor)
    assert json.loads(math_line["eased"]) == {"low_quality": pytest.approx(1.5 / factor)}
    assert "scored 0.250" in math_line["reason"]
    assert "the gap is closed" in of(budget, "code")["turns"][0]["why"]
    assert of(budget, "chat")["factor"] == 1.0


def test_unchanged_scores_lead_to_no_turn(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.pupil.knows = 5
    first = trial.run()
    made = trial.lake.manifest("domain_budget")
    asked = len(trial.engine.asked)
    assert trial.run().equals(first)
    assert trial.lake.manifest("domain_budget") == made, "nothing was made again"
    assert trial.run(force=True).equals(first), "nor does force take a step"
    assert len(trial.engine.asked) == asked
    trial.lake.manifest_file("domain_budget").unlink()  # as a run leaves it that is killed between rows and manifest
    assert trial.run().equals(first)
    monkeypatch.setenv("INFINITY_FOUNDATION__MAX_ROWS", "3")
    smaller = trial.run()
    assert (smaller["quota"].sum(), smaller["turn"].to_list()) == (3, first["turn"].to_list())
    monkeypatch.setenv("INFINITY_FOUNDATION__LOOP__ITEMS", "0")
    assert of(trial.run(), "math")["factor"] == of(first, "math")["factor"], (
        "where nothing is scored the last budget stands"
    )


def test_without_evaluation_the_settings_decide_the_shares(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_FOUNDATION__LOOP__ITEMS", "0")
    budget = trial.run()
    assert trial.engine.asked == []
    assert dict(budget.select("domain", "keep_share").rows()) == {
        "chat": 0.5,
        "code": 0.5,
        "knowledge": 0.5,
        "math": 0.2,
    }
    assert set(budget["turn"]) == {0}
    assert of(budget, "math")["reason"] == "share of the domain"


def test_the_proxy_of_a_run_is_evaluated_in_the_next(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder stands in for the weights; other tests cover the training."""
    trained = []

    def before(rows: pl.DataFrame, folder: Path) -> None:
        if not folder.exists():
            trained.append(rows["row_id"].to_list())

    stand_in_for_training(monkeypatch, before)
    monkeypatch.setenv("INFINITY_FOUNDATION__LOOP__PROXY__ENABLED", "true")
    trial.pupil.knows = 2
    first = trial.run("proxy")
    assert of(first, "math")["turn"] == 1
    assert trial.scores()["tested", "gsm8k_test"]["model"] == "smollm2-135m-instruct"
    made = trial.lake.manifest("proxy")
    assert made
    weights = str(made.measures["weights"])
    assert len(list((trial.data / "proxy").iterdir())) == 1
    trial.pupil.knows = 4
    second = trial.run("proxy")
    scores = trial.scores()
    assert scores["tested", "gsm8k_test"]["model"] == f"proxy {weights.rpartition('/')[2]}"
    assert scores["other", "gsm8k_test"]["score"] == 0.1, "the model it was made from, from the store"
    assert (of(second, "math")["turn"], len(of(second, "math")["turns"])) == (2, 2)
    assert of(first, "math")["quota"] < of(second, "math")["quota"]
    assert set(trained[0]) < set(trained[1])
    assert len(list((trial.data / "proxy").iterdir())) == 1, "the one before is removed"
    third = trial.run("proxy")
    assert "no gain since turn 2" in of(third, "math")["turns"][-1]["why"] or of(third, "math")["turn"] == 2
    made = trial.lake.manifest("proxy")
    assert trial.run("proxy").equals(third)
    assert trial.lake.manifest("proxy") == made, "F is the same, so nothing is trained"
    said = CliRunner().invoke(main, ["loop"], catch_exceptions=False)
    assert said.exit_code == 0
    for word in ("Scores", "Turns", "Budget", "has been evaluated"):
        assert word in said.output


def test_results_of_lm_evaluation_harness_replace_the_evaluator(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    results = trial.data / "results_1.json"
    results.write_text(
        json.dumps({"results": {"gsm8k": {"exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": 0.01}}})
    )
    monkeypatch.setenv("INFINITY_FOUNDATION__LOOP__LM_EVAL", str(results))
    budget = trial.run()
    assert trial.engine.asked == []
    assert (of(budget, "math")["turn"], of(budget, "math")["factor"]) == (1, pytest.approx(1 + 0.5 * 0.071 / 0.571))
    results.write_text(results.read_text().replace("0.5,", "0.52,"))
    assert of(trial.run(), "math")["turn"] == 2


def test_the_loop_can_be_restarted(trial: Trial) -> None:
    assert "There is no budget yet" in CliRunner().invoke(main, ["loop"]).output
    trial.run()
    trial.pupil.knows = 3
    assert CliRunner().invoke(main, ["loop", "--restart"], catch_exceptions=False).exit_code == 0
    assert set(trial.run()["turn"]) == {1}


def test_a_plan_evaluates_a_sample_of_the_items_and_trains_nothing(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFINITY_FOUNDATION__LOOP__PROXY__ENABLED", "true")
    monkeypatch.setattr(training, "train", lambda *arguments: pytest.fail("a plan trains nothing"))
    shutil.rmtree(trial.lake.rows)
    shutil.rmtree(trial.lake.catalog)
    trial.graph.make("decontaminated")
    needed = [*needed_by("domain_budget"), find("proxy")]  # without what F needs
    monkeypatch.setattr(planner, "needed_by", lambda until: needed)
    plan = Planner(trial.data, Pool.load(trial.data), Settings(), 6, engines=trial.graph.models.engines).make("proxy")
    by_asset = {asset.asset: asset for asset in plan.assets}
    scores = by_asset["domain_scores"]
    assert scores.to_make is not None
    assert scores.rows is not None
    assert (scores.rows.value, scores.to_make.value, len(scores.asked)) == (21, 21, 6)
    assert "proxy" in plan.reasons
    assert "proxy" not in by_asset
    assert not trial.lake.rows_file("domain_scores").exists()
    trial.graph.make("domain_budget")
    plan = Planner(trial.data, Pool.load(trial.data), Settings(), 6, engines=trial.graph.models.engines).make(
        "domain_budget"
    )
    assert set(plan.reasons) == {"proxy"}
    assert plan.assets == ()
