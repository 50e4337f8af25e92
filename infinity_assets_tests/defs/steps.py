"""Steps for tests that call an asset's function on a lake."""

from pathlib import Path
from typing import Any

import pytest

from infinity_assets.catalog.lake import ALL, Lake, Outcome
from infinity_assets.defs.chat import abilities, answered, conversed, diagnosed, evolved
from infinity_assets.defs.registry import REGISTERED, find, in_round
from infinity_assets.defs.step import Step
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.models import Models
from infinity_assets.reading.pool import Pool
from infinity_assets.settings import Settings
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


def outcome_of(
    asset: str,
    lake: Lake,
    settings: Settings | None = None,
    partition: str = ALL,
    engines: EnginePool | None = None,
    **fields: Any,
) -> Outcome:
    """Return the outcome of an asset's function on a lake."""
    return watched(find(asset)).function(step_of(asset, lake, settings, partition, engines, **fields))


def add_round(number: int, patch: pytest.MonkeyPatch) -> None:
    """Register the assets of another round of the chat loop."""
    for module in (evolved, answered, diagnosed, abilities, conversed):
        patch.setitem(REGISTERED, in_round(module.__name__.rpartition(".")[2], number), None)
        module._make(number)
