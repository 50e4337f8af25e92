"""What the next run would do and cost, in numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from infinity_assets.catalog.staleness import Reason
from infinity_assets.runs.estimate import Estimate, total


@dataclass(frozen=True)
class Stage:
    """The calls of an asset with one prompt to one model."""

    prompt: str
    model: str
    calls: Estimate
    to_make: Estimate
    """Those that the store does not answer, the sample's included."""
    prompt_tokens: Estimate | None
    """Of the calls to make."""
    completion_tokens: Estimate | None
    seconds: float | None
    cost: float | None


@dataclass(frozen=True)
class AssetPlan:
    """What an asset would do and cost. Numbers that cannot be told are null."""

    asset: str
    partitions: int
    """That would be made again."""
    rows: Estimate | None
    """That its models are asked about, or that it makes if it asks none."""
    stages: tuple[Stage, ...] = ()
    embedded: int = 0
    """Texts to embed."""
    work_seconds: float = 0.0
    """Of the asset's own work."""
    embed_seconds: float | None = 0.0
    disk: float | None = None
    """Bytes of rows, books and responses."""
    asked: tuple[str, ...] = ()
    """Keys of the calls that the sample made."""
    known: bool = True
    """Whether its calls could be told."""

    def _sum(self, of: Callable[[Stage], Estimate | None]) -> Estimate | None:
        parts = [of(stage) for stage in self.stages]
        return None if not self.known or None in parts else total(part for part in parts if part)

    @property
    def calls(self) -> Estimate | None:
        """Calls of the models, stored or not."""
        return self._sum(lambda stage: stage.calls)

    @property
    def to_make(self) -> Estimate | None:
        """Those that the store does not answer."""
        return self._sum(lambda stage: stage.to_make)

    @property
    def stored(self) -> float | None:
        """Those that it does, or that equal another call."""
        calls, to_make = self.calls, self.to_make
        return None if calls is None or to_make is None else max(0.0, calls.value - to_make.value)

    @property
    def prompt_tokens(self) -> Estimate | None:
        """Of the calls to make."""
        return self._sum(lambda stage: stage.prompt_tokens)

    @property
    def completion_tokens(self) -> Estimate | None:
        """Of the calls to make."""
        return self._sum(lambda stage: stage.completion_tokens)

    @property
    def seconds(self) -> Estimate | None:
        """Of models, embedder and the asset's own work; engines start once and are counted apart."""
        took = [stage.seconds for stage in self.stages]
        prompt, completion = self.prompt_tokens, self.completion_tokens
        if not self.known or None in took or self.embed_seconds is None or prompt is None or completion is None:
            return None
        of_models = sum(part or 0.0 for part in took)
        return self._like_tokens(of_models) + Estimate(self.embed_seconds + self.work_seconds)

    @property
    def cost(self) -> Estimate | None:
        """By the prices of the models."""
        parts = [stage.cost for stage in self.stages]
        return None if not self.known or None in parts else self._like_tokens(sum(part or 0.0 for part in parts))

    def _like_tokens(self, value: float) -> Estimate:
        """A number whose relative error is that of the tokens."""
        tokens = total(part for part in (self.prompt_tokens, self.completion_tokens) if part)
        return Estimate(value, tokens.variance * (value / tokens.value) ** 2 if tokens.value else 0.0)


@dataclass(frozen=True)
class Plan:
    """What the next run would do and cost."""

    made_at: datetime
    sample: int
    offline: bool
    reasons: Mapping[str, Mapping[str, tuple[Reason, ...]]]
    """Why, by asset and partition, in the order of the graph; without those that are up to date."""
    assets: tuple[AssetPlan, ...] = ()
    notes: tuple[str, ...] = ()
    """What is uncertain, or has to be done first."""
    engine_seconds: float = 0.0
    """To start the engines, once."""
    sample_calls: int = 0
    sample_tokens: int = 0
    sample_seconds: float = 0.0
