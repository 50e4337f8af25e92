"""The plan of a run: the number of rows, calls, tokens, seconds and bytes, and the cost, for each asset."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from infinity_assets.catalog.staleness import Reason
from infinity_assets.runs.estimate import Estimate, total


@dataclass(frozen=True)
class Stage:
    """The calls of an asset that use one prompt and one model."""

    prompt: str
    model: str
    calls: Estimate
    to_make: Estimate
    """Calls that the response store does not answer, including those that the sample makes."""
    prompt_tokens: Estimate | None
    """Prompt tokens of the calls to make."""
    completion_tokens: Estimate | None
    seconds: float | None
    cost: float | None


@dataclass(frozen=True)
class AssetPlan:
    """The plan of one asset. A number that cannot be estimated is None."""

    asset: str
    partitions: int
    """Number of partitions that would be materialized."""
    rows: Estimate | None
    """Rows that go to the asset's models, or the rows of the result if it calls no model."""
    stages: tuple[Stage, ...] = ()
    embedded: int = 0
    """Number of texts to embed."""
    work_seconds: float = 0.0
    """Duration of the asset's own work, without models."""
    embed_seconds: float | None = 0.0
    disk: float | None = None
    """Bytes of rows, ledger tables and responses."""
    asked: tuple[str, ...] = ()
    """Request keys of the calls that the sample made."""
    known: bool = True
    """True if the asset's calls could be estimated."""

    def _sum(self, value_of: Callable[[Stage], Estimate | None]) -> Estimate | None:
        parts = [value_of(stage) for stage in self.stages]
        return None if not self.known or None in parts else total(part for part in parts if part)

    @property
    def calls(self) -> Estimate | None:
        """All model calls, stored or not."""
        return self._sum(lambda stage: stage.calls)

    @property
    def to_make(self) -> Estimate | None:
        """Calls that the response store does not answer."""
        return self._sum(lambda stage: stage.to_make)

    @property
    def stored(self) -> float | None:
        """Number of calls that the response store answers or that repeat another call."""
        calls, to_make = self.calls, self.to_make
        return None if calls is None or to_make is None else max(0.0, calls.value - to_make.value)

    @property
    def prompt_tokens(self) -> Estimate | None:
        """Prompt tokens of the calls to make."""
        return self._sum(lambda stage: stage.prompt_tokens)

    @property
    def completion_tokens(self) -> Estimate | None:
        """Completion tokens of the calls to make."""
        return self._sum(lambda stage: stage.completion_tokens)

    @property
    def seconds(self) -> Estimate | None:
        """Duration of model calls, embedding and the asset's own work. The start of the engines is counted apart."""
        took = [stage.seconds for stage in self.stages]
        prompt, completion = self.prompt_tokens, self.completion_tokens
        if not self.known or None in took or self.embed_seconds is None or prompt is None or completion is None:
            return None
        model_seconds = sum(part or 0.0 for part in took)
        return self._with_error_of_tokens(model_seconds) + Estimate(self.embed_seconds + self.work_seconds)

    @property
    def cost(self) -> Estimate | None:
        """Cost by the prices of the models."""
        parts = [stage.cost for stage in self.stages]
        if not self.known or None in parts:
            return None
        return self._with_error_of_tokens(sum(part or 0.0 for part in parts))

    def _with_error_of_tokens(self, value: float) -> Estimate:
        """Return an estimate that has the relative error of the tokens."""
        tokens = total(part for part in (self.prompt_tokens, self.completion_tokens) if part)
        return Estimate(value, tokens.variance * (value / tokens.value) ** 2 if tokens.value else 0.0)


@dataclass(frozen=True)
class Plan:
    """The work and the cost of the next run."""

    made_at: datetime
    sample: int
    offline: bool
    reasons: Mapping[str, Mapping[str, tuple[Reason, ...]]]
    """Reasons to materialize, by asset and partition, in the order of the graph, without partitions that are up to
    date."""
    assets: tuple[AssetPlan, ...] = ()
    notes: tuple[str, ...] = ()
    """Uncertainties, and steps that come first."""
    engine_seconds: float = 0.0
    """Duration of starting every engine once."""
    sample_calls: int = 0
    sample_tokens: int = 0
    sample_seconds: float = 0.0
