"""Engines and budget of a run."""

from dataclasses import dataclass, field

from infinity_assets.inference.budget import Budget
from infinity_assets.inference.engines.pool import EnginePool


@dataclass(frozen=True)
class Models:
    """The engine pool of a run, and its budget for model calls."""

    engines: EnginePool
    budget: Budget = field(default_factory=Budget)
