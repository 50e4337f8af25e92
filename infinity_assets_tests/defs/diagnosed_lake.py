"""A lake with answers, and an engine that plays students and a judge as the texts command."""

import math
import re
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.chat.rounds import ANSWERED
from infinity_assets.inference.requests import GenerateRequest, Response
from infinity_assets.rows.frames import conform
from infinity_assets.rows.ids import shard_names
from infinity_assets_tests.defs.steps import commit, outcome_of, reply
from infinity_assets_tests.frames import pool
from infinity_assets_tests.inference.doubles import ScriptedEngine

SHARD = shard_names(4)[0]


class Play:
    """Scripted students and judge.

    A student answers `worth N` or nothing, as the request commands by `student:N`. The judge gives a text with
    `worth N` the score N, `bias` points more if it comes first, and fails on a text with `unreadable`.
    """

    bias = 0.0
    taught = 4.5
    """Worth of the answers of a student whose weights are a folder named after a training."""

    def __call__(self, request) -> Response:
        assert isinstance(request, GenerateRequest)
        text = request.messages[-1]["content"]
        if request.prompt.startswith("student:"):
            said = re.search(rf"{request.prompt.partition(':')[2]}:(\S+)", text)
            worth = said[1] if said else "1"
            return reply("" if worth == "nothing" else f"worth {worth} it is")
        if request.prompt.startswith("find_deficiency"):
            return reply(f"What it lacks: all that {text.count('worth')} answers need.\nAnd more.")
        assert request.prompt == "judge_pair.en"
        one, other = re.findall(r"^Answer [AB]: (.*)$", text, re.MULTILINE)
        which = re.findall(r"Grade of answer ([AB]):$", text)[0]
        graded = one if which == "A" else other
        if "unreadable" in graded:
            return reply("3", choice_logprobs=(-1.0,))
        found = re.search(r"worth ([\d.]+)", graded)
        assert found
        grade = min(5.0, float(found[1]) + (self.bias if which == "A" else 0.0))
        low, share = min(int(grade), 4), grade - min(int(grade), 4)
        shares = [1e-12] * 5
        shares[low - 1], shares[low] = 1 - share + 1e-12, share + 1e-12
        logprobs = tuple(math.log(value) for value in shares)
        return reply(str(round(grade)), choice_logprobs=logprobs)


def answers(*rows: tuple[str, float, list[str]]) -> pl.DataFrame:
    """Return rows of `answered` from requests, the worth of the reference answers, and abilities."""
    turns = [
        [("user", f"Request {n}. {said}"), ("assistant", f"worth {worth}")] for n, (said, worth, _) in enumerate(rows)
    ]
    frame = pool(*(("synthetic:x", "none", n, turn) for n, turn in enumerate(turns)))
    frame = frame.with_columns(
        cate_ability=pl.Series([abilities for *_, abilities in rows], dtype=pl.List(pl.String)),
        answer_score=pl.lit(4.0),
        round=pl.lit(1),
    )
    return conform(frame, ANSWERED, fill=True)


class Stage:
    """A lake in which assets are made by their functions."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch):
        self.lake, self.play = Lake(data), Play()
        self.engine = ScriptedEngine(self.play)
        self._engines = self.engine.pool()
        monkeypatch.setenv("INFINITY_DATA", str(data))
        monkeypatch.setenv(
            "INFINITY_MODELS__STUDENTS",
            '[{"name": "good", "sampling": {"temperature": 0}}, {"name": "poor", "sampling": {"temperature": 0}}]',
        )
        monkeypatch.chdir(data)

    def make(self, asset: str, partition: str = "all", **how) -> Outcome:
        """Make an asset and commit the outcome."""
        outcome = outcome_of(asset, self.lake, partition=partition, engines=self._engines, **how)
        commit(self.lake, asset, outcome, partition)
        return outcome

    def asked(self, prompt: str) -> int:
        """Count calls by the start of their prompt's name."""
        return sum(request.prompt.startswith(prompt) for request in self.engine.asked)
