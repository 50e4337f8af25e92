"""Tests that a model's mapping counts only if it makes plausible rows."""

import json
from pathlib import Path

import pytest

from infinity_assets.errors import InfinityError
from infinity_assets.inference.client import Inference
from infinity_assets.inference.requests import Request, Response
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.runs.model_advice import ask_mapping
from infinity_assets.settings import Settings
from infinity_assets_tests.inference.doubles import ScriptedEngine

RECORDS = [
    {"c1": "The boat leaks.", "c2": "Suggest a repair.", "c3": "Caulk the seam with oakum.", "c4": "2020-01-01"},
    {"c1": "The sail has a tear.", "c2": "Suggest a mend.", "c3": "Sew a patch over the tear.", "c4": "2020-01-02"},
]
RIGHT = {"request": "c2", "answer": "c3", "context": "c1", "system": ""}


def advise(folder: Path, answer: str) -> tuple[list[str] | None, ScriptedEngine]:
    def reply(request: Request) -> Response:
        return Response(text=answer, finish_reason="stop", prompt_tokens=3, completion_tokens=2)

    engine = ScriptedEngine(reply)
    suggestion = ask_mapping(Inference(ResponseStore(folder), engine.pool()), Settings(), RECORDS)
    return [message["content"] for message in suggestion.rows[0]] if suggestion else None, engine


def test_the_model_sees_paths_with_examples_and_its_mapping_is_tried(tmp_path: Path) -> None:
    texts, engine = advise(tmp_path, json.dumps(RIGHT))
    assert texts == ["Suggest a repair.\n\nThe boat leaks.", "Caulk the seam with oakum."]
    (request,) = engine.asked
    assert 'c1: "The boat leaks." | "The sail has a tear."' in request.messages[-1]["content"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        {"request": "", "answer": ""},
        {"answer": "c9"},
        {"answer": "c2"},
        {"context": ""},  # leaves a text out
        {"request": "c4"},
    ],
)
def test_a_mapping_that_makes_no_plausible_rows_is_dropped(tmp_path: Path, change: dict[str, str]) -> None:
    assert advise(tmp_path, json.dumps(RIGHT | change))[0] is None


def test_an_answer_that_is_no_mapping_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InfinityError, match="gave no mapping"):
        advise(tmp_path, "c2 and c3")
