"""Seeds, and models that answer by the name of the prompt, for the tests of strategies."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from infinity_assets.inference.client import Inference
from infinity_assets.inference.requests import GenerateRequest, Request, Response
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings import Settings
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import SEEDS
from infinity_assets_tests.inference.doubles import ScriptedEngine

Script = Mapping[str, str | Response | Callable[[str], str | Response]]
"""Answers by prompt, without its language: a text, a response, or a function of the last turn."""


def seeds(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return seeds with default values for missing columns."""
    usual = {
        "kind": "conversation",
        "domain": "chat",
        "language": "en",
        "cate_ability": ["law"],
        "ability": ["contracts"],
        "seed_answer": None,
    }
    lines = [
        {"row_id": f"{n:032x}", "seed": f"What is number {n}?", "deficiency": None, **usual, **row}
        for n, row in enumerate(rows)
    ]
    return pl.DataFrame(lines, schema=SEEDS)


def name_of(request: Request) -> str:
    """Return the prompt's name without its language."""
    return request.prompt.removesuffix(".en").removesuffix(".zh")


class Models:
    """Models that follow a script, behind `asking`. `grades` maps a graded text to its grade."""

    def __init__(self, folder: Path, script: Script, grades: Callable[[str], int] = lambda text: 3, **evolution: Any):
        self.script, self.grades = script, grades
        self.engine = ScriptedEngine(self._answer)
        settings = Settings(chat={"evolution": evolution})
        # Without retries, an answer that the script lacks is a failure of the step.
        retries = settings.calls.retries.model_copy(update={"invalid": 0, "empty": 0, "truncated": 0})
        inference = Inference(ResponseStore(folder / "responses"), self.engine.pool(), retries=retries)
        self.asking = Asking(inference, settings, "evolved")

    def _answer(self, request: Request) -> Response:
        answer = self.script.get(name_of(request), "")
        if isinstance(request, GenerateRequest):
            text = request.messages[-1]["content"]
            if request.choices:
                likely = self.grades(text) - 1
                logprobs = [0.0 if place == likely else -math.inf for place in range(len(request.choices))]
                logprobs = [max(value, -50.0) for value in logprobs]
                return Response(text=request.choices[likely], finish_reason="stop", choice_logprobs=tuple(logprobs))
            answer = answer(text) if callable(answer) else answer
        assert not callable(answer)
        return answer if isinstance(answer, Response) else Response(text=answer, finish_reason="stop")

    def asked(self) -> Counter[str]:
        """Count the requests of each prompt."""
        return Counter(name_of(request) for request in self.engine.asked)

    def last_turns(self, prompt: str) -> list[str]:
        """Return the last turns of the requests made with a prompt."""
        return [
            r.messages[-1]["content"]
            for r in self.engine.asked
            if isinstance(r, GenerateRequest) and name_of(r) == prompt
        ]


def to_json(**values: Any) -> str:
    """Return the values as a JSON object."""
    return json.dumps(values, ensure_ascii=False)
