"""The step: what the function of an asset works with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from infinity_assets.catalog.lake import Lake, StepKey
from infinity_assets.defs.registry import find
from infinity_assets.inference.batched import BatchedInference, InferenceBatch
from infinity_assets.inference.client import Inference, Progress
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.models import Models
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.progress import reporter
from infinity_assets.reading.pool import Pool
from infinity_assets.settings import Settings
from infinity_assets.synthesis.prompting import Asking

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One partition of an asset that is being made."""

    asset: str
    partition: str
    settings: Settings
    lake: Lake
    pool: Pool
    models: Models
    scratch: Path
    """An empty folder for what is too large for memory. It is removed once the result is committed."""
    shared: Path
    """A folder for what all partitions of the asset need. It is removed once the last of this run is committed."""
    ledger: Ledger = field(default_factory=Ledger)
    """Its model calls."""
    batch: InferenceBatch | None = None
    """Batches its model calls with those of other partitions; None where it is made alone."""
    key: StepKey | None = None
    """The key of this materialization; None while it is being computed."""
    trains: bool = True
    """True if models are trained: a plan trains none."""

    def read(self, asset: str) -> pl.LazyFrame:
        """Return the rows of an input: of the same partition if both have the same partitions, else, or if the asset
        names it in `reads_all`, of all partitions.
        """
        return self.lake.scan(asset, self.partition if find(self.asset).reads_same_partition(asset) else None)

    def sampled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that models are asked about: all of them in a run, a sample in `infinity plan`."""
        return rows

    def before(self) -> tuple[pl.LazyFrame | None, list[str]]:
        """Return the rows of the last materialization, and the partitions of the inputs that have been added since.

        The rows are None if anything else has changed since.
        """
        assert self.key
        last = self.lake.manifest(self.asset, self.partition)
        if last is None or not self.lake.intact(last):
            return None, []
        same = (last.code_version, last.settings_hash) == (self.key.code_version, self.key.settings_hash)
        if not same or not last.inputs.items() < self.key.inputs.items():
            return None, []
        return self.lake.scan(self.asset, self.partition), sorted(
            name.partition("/")[2] for name in self.key.inputs.keys() - last.inputs.keys()
        )

    def batches(self, rows: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
        """Yield rows in batches, in their order, and show how many the caller has finished."""
        total = rows.select(pl.len()).collect().item()
        done = 0
        for batch in rows.collect_batches(chunk_size=size, maintain_order=True, engine="streaming"):
            yield batch
            done += batch.height
            self.advance(done, total)

    def inference(self) -> Inference:
        """Return the models, with the response store of this data folder. No engine starts before a response is
        missing.
        """
        make = Inference if self.batch is None else partial(BatchedInference, self.batch)
        store = ResponseStore(self.lake.data / "responses")
        return make(
            store, self.models.engines, show_calls, self.ledger, self.models.budget, self.settings.calls.retries
        )

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` returns, which is made once for all partitions of a batch. It is shared, so it must not be
        changed.
        """
        return make() if self.batch is None else self.batch.once(name, make)

    def asking(self) -> Asking:
        """Return the models, to be asked about frames of rows."""
        return Asking(self.inference(), self.settings, self.asset)

    def advance(self, done: int, total: int | None = None, unit: str = "rows") -> None:
        """Show how far the step is."""
        reporter().advance(done, total, unit)


def show_calls(progress: Progress) -> None:
    """Show how far a batch of model calls is. Calls that the store answered take no time, so rate and time left leave
    them out.
    """
    speed = f", {progress.tokens / progress.seconds:,.0f} tokens/s" if progress.tokens and progress.seconds else ""
    reporter().advance(
        progress.done - progress.cached, progress.total - progress.cached, f"{progress.stage} calls", speed
    )
