"""Steps for tests that call an asset's function on a lake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from infinity_assets.catalog.lake import ALL, Lake, Outcome, StepKey
from infinity_assets.defs import training
from infinity_assets.defs.chat import abilities, answered, conversed, diagnosed, evolved
from infinity_assets.defs.registry import REGISTERED, find, in_round
from infinity_assets.defs.step import Step
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.models import Models
from infinity_assets.inference.requests import Response
from infinity_assets.reading.pool import Pool
from infinity_assets.settings import Settings
from infinity_assets.settings.foundation import Proxy
from infinity_assets.training import proxy
from infinity_assets_tests.defs.declarations import watched


def step_of(
    asset: str,
    lake: Lake,
    settings: Settings | None = None,
    partition: str = ALL,
    engines: EnginePool | None = None,
    **fields: Any,
) -> Step:
    """Return a step on a lake, whose data folder is also its scratch folder."""
    models = Models(engines or EnginePool(Path("nowhere")))
    return Step(
        asset, partition, settings or Settings(), lake, Pool.load(lake.data), models, lake.data, lake.data, **fields
    )


def outcome_of(asset: str, lake: Lake, settings: Settings | None = None, *given: Any, **fields: Any) -> Outcome:
    """Return the outcome of an asset's function on a lake. Takes the arguments of `step_of`."""
    return watched(find(asset)).function(step_of(asset, lake, settings, *given, **fields))


def commit(lake: Lake, asset: str, outcome: Outcome | pl.DataFrame, partition: str = ALL) -> None:
    """Commit an outcome, or rows alone."""
    key = StepKey(asset=asset, partition=partition, code_version="1", settings_hash="s", inputs={})
    lake.commit(key, outcome if isinstance(outcome, Outcome) else Outcome(outcome), "run-1", 0.0)


def rows_of(outcome: Outcome) -> pl.DataFrame:
    """Return the rows of an outcome."""
    return outcome.rows.lazy().collect()


def decisions_of(outcome: Outcome) -> pl.DataFrame:
    """Return the decisions of an outcome."""
    return outcome.decisions.lazy().collect()


def reply(text: str, **given: Any) -> Response:
    """Return a complete answer of a model."""
    usual: dict[str, Any] = {"text": text, "finish_reason": "stop", "prompt_tokens": 9, "completion_tokens": 6}
    return Response(**{**usual, **given})


def stand_in_for_training(patch: pytest.MonkeyPatch, before: Callable[..., None] = lambda rows, folder: None) -> None:
    """Let a folder stand in for trained weights, for any training; `before` is called with the rows and the folder."""

    def train(rows: pl.DataFrame, settings: Proxy, base: Path, folder: Path, progress: Callable) -> proxy.Trained:
        before(rows, folder)
        progress(1, 1, "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("{}")
        return proxy.Trained(pl.DataFrame([(1, 2.0, 1e-4, 10)], schema=proxy.CURVE, orient="row"), rows.height, 0)

    patch.setattr(proxy, "train", train)
    patch.setattr(training, "local_path", lambda spec, models: Path("nowhere"))


def add_round(number: int, patch: pytest.MonkeyPatch) -> None:
    """Register the assets of another round of the chat loop."""
    for module in (evolved, answered, diagnosed, abilities, conversed):
        patch.setitem(REGISTERED, in_round(module.__name__.rpartition(".")[2], number), None)
        module._make(number)
