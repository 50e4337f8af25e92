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
from infinity_assets.synthesis.strategies.strategy import SEEDS
from infinity_assets_tests.inference.doubles import ScriptedEngine

Script = Mapping[str, str | Response | Callable[[str], str | Response]]
"""By prompt, without its language: what is said, maybe by the last turn."""


def seeds(*rows: dict[str, Any]) -> pl.DataFrame:
    """Seeds that say what they are not told to say otherwise."""
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
    """The prompt's name, without its language."""
    return request.prompt.removesuffix(".en").removesuffix(".zh")


class Models:
    """An asking whose models follow a script; a grade is what `grades` says of the text that is graded."""

    def __init__(self, folder: Path, script: Script, grades: Callable[[str], int] = lambda text: 3, **evolution: Any):
        self.script, self.grades = script, grades
        self.engine = ScriptedEngine(self._answer)
        settings = Settings(chat={"evolution": evolution})  # pyright: ignore[reportArgumentType]
        # No answer is asked for a second time: what a script fails to say is the failure of the step.
        retries = settings.calls.retries.model_copy(update={"invalid": 0, "empty": 0, "truncated": 0})
        inference = Inference(ResponseStore(folder / "responses"), self.engine.pool(), retries=retries)
        self.asking = Asking(inference, settings, "evolved")

    def _answer(self, request: Request) -> Response:
        said = self.script.get(name_of(request), "")
        if isinstance(request, GenerateRequest):
            text = request.messages[-1]["content"]
            if request.choices:
                likely = self.grades(text) - 1
                logprobs = [0.0 if place == likely else -math.inf for place in range(len(request.choices))]
                logprobs = [max(value, -50.0) for value in logprobs]
                return Response(text=request.choices[likely], finish_reason="stop", choice_logprobs=tuple(logprobs))
            said = said(text) if callable(said) else said
        assert not callable(said)
        return said if isinstance(said, Response) else Response(text=said, finish_reason="stop")

    def asked(self) -> Counter[str]:
        """How often each prompt was asked."""
        return Counter(name_of(request) for request in self.engine.asked)

    def told(self, prompt: str) -> list[str]:
        """The last turns that were put to the models with a prompt."""
        return [
            r.messages[-1]["content"]
            for r in self.engine.asked
            if isinstance(r, GenerateRequest) and name_of(r) == prompt
        ]


def said(**values: Any) -> str:
    """JSON."""
    return json.dumps(values, ensure_ascii=False)
