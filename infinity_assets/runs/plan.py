"""The plan of a run: estimated rows, calls, tokens, seconds, bytes and cost of each asset."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from infinity_assets.catalog.staleness import Reason
from infinity_assets.runs.estimate import Estimate, total


@dataclass(frozen=True)
class Stage:
    """The calls of an asset with one prompt and one model. A number that cannot be estimated is `None`."""

    prompt: str
    model: str
    calls: Estimate
    to_make: Estimate
    """Calls without a stored response, including the calls that the sample has made."""
    prompt_tokens: Estimate | None
    """Prompt tokens of the calls to make."""
    completion_tokens: Estimate | None
    seconds: Estimate | None
    cost: Estimate | None


@dataclass(frozen=True)
class AssetPlan:
    """The plan of one asset. A number that cannot be estimated is `None`."""

    asset: str
    partitions: int
    """Number of partitions that would be materialized."""
    rows: Estimate | None
    """Number of rows that go to the asset's models; the number of resulting rows if the asset calls no model."""
    stages: tuple[Stage, ...] = ()
    embedded: int = 0
    """Number of texts to embed."""
    work_seconds: float = 0.0
    """Duration of the asset's function without its model calls."""
    embed_seconds: float | None = 0.0
    disk: float | None = None
    """Size of the asset's rows, ledger tables and responses, in bytes."""
    asked: tuple[str, ...] = ()
    """Request keys of the calls that the sample made."""
    known: bool = True
    """True if the asset's calls could be estimated."""

    def _sum(self, name: str) -> Estimate | None:
        return total(getattr(stage, name) for stage in self.stages) if self.known else None

    @property
    def calls(self) -> Estimate | None:
        """All model calls, stored or not."""
        return self._sum("calls")

    @property
    def to_make(self) -> Estimate | None:
        """Calls without a stored response."""
        return self._sum("to_make")

    @property
    def stored(self) -> float | None:
        """Number of calls that have a stored response or repeat another call of the run."""
        calls, to_make = self.calls, self.to_make
        return None if calls is None or to_make is None else max(0.0, calls.value - to_make.value)

    @property
    def prompt_tokens(self) -> Estimate | None:
        """Prompt tokens of the calls to make."""
        return self._sum("prompt_tokens")

    @property
    def completion_tokens(self) -> Estimate | None:
        """Completion tokens of the calls to make."""
        return self._sum("completion_tokens")

    @property
    def seconds(self) -> Estimate | None:
        """Duration of model calls, embedding and the asset's own work, without the start of the engines."""
        apart = None if self.embed_seconds is None else Estimate(self.embed_seconds + self.work_seconds)
        return total([self._sum("seconds"), apart])

    @property
    def cost(self) -> Estimate | None:
        """Cost of the calls to make, at the prices in the settings."""
        return self._sum("cost")


@dataclass(frozen=True)
class Plan:
    """The planned work and cost of the next run."""

    made_at: datetime
    sample: int
    offline: bool
    reasons: Mapping[str, Mapping[str, tuple[Reason, ...]]]
    """Reasons to materialize, by asset, then by partition. Assets are in the order of the graph; partitions that are up
    to date are left out."""
    assets: tuple[AssetPlan, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences about uncertain numbers and about assets that must be materialized first."""
    engine_seconds: float = 0.0
    """Seconds that it takes to start every engine once."""
    sample_calls: int = 0
    sample_tokens: int = 0
    sample_seconds: float = 0.0
