"""The models that a run may ask, and what it may spend on them."""

from dataclasses import dataclass, field

from infinity_assets.inference.budget import Budget
from infinity_assets.inference.engines.pool import EnginePool


@dataclass(frozen=True)
class Models:
    """The open engines of a run, and its budget."""

    engines: EnginePool
    budget: Budget = field(default_factory=Budget)
