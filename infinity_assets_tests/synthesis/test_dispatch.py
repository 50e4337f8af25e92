"""Under any settings, every seed has one line, and only the listed prompts are used."""

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets import prompts
from infinity_assets.errors import InfinityError
from infinity_assets.inference.requests import GenerateRequest, Request, Response
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import STRATEGY_NAMES, Evolution, Operator
from infinity_assets.synthesis import dispatch
from infinity_assets.synthesis.strategy import Relation, to_written
from infinity_assets_tests.properties import examples
from infinity_assets_tests.synthesis.strategies.scripted import Models, seeds

NAMES = [name for name in STRATEGY_NAMES if name != "magpie"]
ALL = (dispatch.DEFICIENCY, *dispatch.STRATEGIES.values())


def fitting(schema: dict[str, Any]) -> Any:
    """Return a minimal value that fits a JSON schema."""
    if "enum" in schema:
        return schema["enum"][-1]
    if schema["type"] == "array":
        return [fitting(schema["items"])] * schema["minItems"]
    return (
        {name: fitting(part) for name, part in schema["properties"].items()} if schema["type"] == "object" else "words"
    )


class Obedient(Models):
    """Models that fit every schema, but write nothing every fifth time."""

    def _answer(self, request: Request) -> Response:
        if isinstance(request, GenerateRequest) and not request.choices and len(self.engine.asked) % 5:
            return Response(
                text=json.dumps(fitting(request.schema)) if request.schema else "words", finish_reason="stop"
            )
        return super()._answer(request)


SEED = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["conversation", "instruction", "text"]),
        "domain": st.sampled_from(["code", "chat"]),
        "language": st.sampled_from(["en", "zh", None]),
        "deficiency": st.sampled_from([None, "", "It is too short."]),
        "ability": st.sampled_from([None, [], ["loops"]]),
    }
)


@settings(max_examples=examples(25), deadline=None)
@given(
    rows=st.lists(SEED, max_size=12),
    weights=st.dictionaries(st.sampled_from(NAMES), st.floats(0.1, 5), min_size=1),
    share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_there_is_one_line_for_each_seed_in_their_order(rows: list[dict], weights: dict, share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        models = Obedient(Path(folder), {}, strategies=weights, deficiency_share=share)
        some = seeds(*rows)
        evolution = models.asking.settings.chat.evolution
        made = dispatch.write(some, models.asking, 1)
    assert made.schema == dispatch.WRITTEN_BY_STRATEGY
    assert made["row_id"].to_list() == some["row_id"].to_list()
    assert not made["operation"].is_null().any()
    assert made.filter(pl.col("text").fill_null("") == "")["error"].null_count() == 0
    asked = {name for name in models.asked() if name in prompts.names()}
    assert asked <= set(dispatch.list_prompts(evolution))
    lacking = made.join(some, on="row_id").filter(pl.col("strategy") == "deficiency")
    assert set(lacking["deficiency"]) <= {"It is too short."}
    for name in {*made["strategy"]} - {"deficiency", "none"}:
        assert name in weights
        taken = some.join(made.filter(pl.col("strategy") == name), on="row_id", how="semi")
        assert taken.filter(dispatch.STRATEGIES[name].takes).height == taken.height
    assert set(made.filter(pl.col("strategy") == "none")["error"]) <= {"no_strategy"}


def test_seeds_are_shared_by_weight_among_the_strategies_that_can_use_them() -> None:
    some = seeds(*({"kind": "text" if n % 2 else "instruction"} for n in range(2000)))
    assigned = dispatch.assign(some, Evolution(strategies={"auto_evol": 3, "evol_instruct": 1, "task_from_text": 1}), 1)
    counts = some.with_columns(assigned).group_by("kind", "strategy").len()
    found = {(kind, strategy): count for kind, strategy, count in counts.iter_rows()}
    assert set(found) == {
        ("instruction", "auto_evol"), ("instruction", "evol_instruct"), ("text", "task_from_text"),
        ("text", "evol_instruct"),
    }  # fmt: skip
    assert 700 < found["instruction", "auto_evol"] < 800
    assert 440 < found["text", "task_from_text"] < 560


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 420, 580), (1.0, 1000, 1000)])
def test_the_deficiency_share_applies_to_seeds_with_a_deficiency(share: float, low: int, high: int) -> None:
    some = seeds(*({"deficiency": "No units." if n % 2 else None} for n in range(2000)))
    drawn = some.filter(dispatch.assign(some, Evolution(deficiency_share=share), 2) == "deficiency")
    assert low <= drawn.height <= high
    assert drawn["deficiency"].null_count() == 0


TEXT, CODE, LABELLED = {"kind": "text"}, {"domain": "code"}, {"ability": [None, "torts"]}
BARE = ({"ability": None}, {"ability": []}, {"ability": [None]})


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("task_from_text", [TEXT], [{}, {"kind": "instruction"}]),
        ("self_code_align", [CODE], [{"domain": "math"}, {**CODE, **TEXT}, {"domain": None}]),
        ("syllabus", [{}, LABELLED, TEXT], BARE),
        ("auto_evol", [{}, {"kind": "instruction"}], [TEXT]),
        ("self_rubrics", [{}, {"kind": "instruction"}], [TEXT]),
        ("magpie", [{}, TEXT, *BARE], []),
        ("evol_instruct", [{}, TEXT, *BARE], []),
    ],
)
def test_a_strategy_takes_the_seeds_that_it_can_use(name: str, taken: list[dict], refused: list[dict]) -> None:
    some = seeds(*taken, *refused)
    assert some.filter(dispatch.STRATEGIES[name].takes)["row_id"].equals(some["row_id"].head(len(taken)))


def test_every_strategy_says_how_its_operations_relate_to_the_seed() -> None:
    assert [strategy.name for strategy in ALL] == ["deficiency", *STRATEGY_NAMES]
    declared = [pair for strategy in ALL for pair in strategy.operations.items()]
    assert all(strategy.operations for strategy in ALL)
    assert {relation for _, relation in declared} == set(get_args(Relation))
    assert len(dict(declared)) == len(declared), "two strategies share an operation"
    frame = pl.DataFrame({"operation": [operation for operation, _ in declared]})
    deepened = frame.filter(dispatch.has_relation("in_depth"))["operation"]
    assert set(deepened) == {
        "auto_evolve", "auto_optimise", "evolve_by_action", "evolve_constraints", "evolve_deepen", "evolve_concretise",
        "evolve_reasoning", "evolve_complicate", "evolve_difficulty", "evolve_complexity",
    }  # fmt: skip
    assert frame.filter(dispatch.has_relation("in_breadth"))["operation"].to_list() == ["evolve_breadth"]


@pytest.mark.parametrize(
    ("lines", "message"), [(["summarize"], "`auto_evol` does not declare .* `summarize`"), (["auto_evolve"] * 2, "two")]
)
def test_a_faulty_strategy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], message: str
) -> None:
    strategy = dispatch.STRATEGIES["auto_evol"]
    written = [to_written(seeds({}), operation) for operation in lines]
    monkeypatch.setattr(strategy, "write", lambda *_: pl.concat(written))
    with pytest.raises(InfinityError, match=message):
        dispatch.write(seeds({}), Models(tmp_path, {}, strategies={"auto_evol": 1}).asking, 1)


def test_a_request_is_written_from_seed_and_deficiency(tmp_path: Path) -> None:
    models = Models(tmp_path, {"request_from_deficiency": "How far is it in miles?"}, deficiency_share=1.0)
    (line,) = dispatch.write(seeds({"seed": "How far?", "deficiency": "No units."}), models.asking, 2).to_dicts()
    assert (line["text"], line["operation"], line["strategy"]) == (
        "How far is it in miles?",
        "request_from_deficiency",
        "deficiency",
    )
    (turn,) = models.last_turns("request_from_deficiency")
    assert "How far?" in turn
    assert "No units." in turn


def test_the_settings_accept_exactly_the_known_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = Evolution(strategies=dict.fromkeys(STRATEGY_NAMES, 1.0), operators=get_args(Operator))
    assert set(dispatch.list_prompts(everything)) <= set(prompts.names())
    monkeypatch.chdir(tmp_path)
    for wrong in ({"operators": ["deeper"]}, {"operators": []}, {"strategies": {"evolve": 1}}, {"strategies": {}}):
        with pytest.raises(InfinityError, match=r"chat\.evolution\.(operators|strategies)") as error:
            Settings(chat={"evolution": wrong})
        assert "\n" not in str(error.value)
        assert "evolve" not in str(wrong) or all(name in str(error.value) for name in STRATEGY_NAMES)
