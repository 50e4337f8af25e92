"""The engines and the budget of a run."""

from dataclasses import dataclass, field

from infinity_assets.inference.budget import Budget
from infinity_assets.inference.engines.pool import EnginePool


@dataclass(frozen=True)
class Models:
    """The engine pool of a run, and the budget for its model calls."""

    engines: EnginePool
    budget: Budget = field(default_factory=Budget)
